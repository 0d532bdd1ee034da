"""Derivatives with chosen numbers, and a reader of the pages made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tmsprep.bids.names import Layout
from tmsprep.protocols import load_protocol
from tmsprep.reports.participant import write_participant_report

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
HOSTILE = '<script>alert("x")</script>'


class FakeOutput:
    """Writes the derivatives of one protocol as the workflow does."""

    def __init__(self, root: Path, protocol: str = 'tms') -> None:
        self.root = root
        self.protocol = load_protocol(protocol)
        self.layout = Layout(root, protocol)

    def path(self, image: str, desc: str, rest: str, folder: str = 'anat') -> Path:
        parts = [part for part in image.split('_') if part.startswith(('sub-', 'ses-'))]
        path = self.root.joinpath(*parts, folder)
        path.mkdir(parents=True, exist_ok=True)
        return path / f'{image}_protocol-{self.layout.label}_desc-{desc}_{rest}'

    def table(
        self,
        image: str,
        desc: str,
        rows: list[Mapping[str, Any]],
        suffix: str = 'targets',
        **sidecar: Any,
    ) -> Path:
        """Write a table of these targets, as a run of some targets does."""
        if 'SoftwareVersion' in sidecar:
            sidecar = {'ChosenTargets': [row['label'] for row in rows], **sidecar}
        path = self.path(image, desc, f'{suffix}.tsv')
        names = list(rows[0])
        lines = ['\t'.join(names)] + ['\t'.join(str(r[name]) for name in names) for r in rows]
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        path.with_suffix('.json').write_text(json.dumps(sidecar), encoding='utf-8')
        return path

    def figure(self, image: str, desc: str, content: str = SVG, suffix: str = 'T1w') -> None:
        path = self.path(image, desc, f'{suffix}.svg', 'figures')
        path.write_text(content, encoding='utf-8')

    def error(self, source: str, node: str, **record: Any) -> Path:
        """Record a failed step; `source` is an image with suffix, or 'sub-<label>' alone."""
        subject = source.split('_')[0]
        folder = self.root / 'logs' / subject
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f'{source}_protocol-{self.layout.label}_{node}.error.json'
        path.write_text(json.dumps({'node': node, **record}), encoding='utf-8')
        return path

    def write(self, subject: str = '01') -> Page:
        return Page(write_participant_report(self.layout, self.protocol, subject))


def make_row(label: str, xyz: tuple = ('n/a',) * 3, status: str = 'ok', **more: Any) -> dict:
    """One row of a table of targets; the side is the first letter of the label."""
    x, y, z = xyz
    region = more.pop('region', f'region of {label}')
    side = label[0]
    return {'label': label, 'hemisphere': side, 'region': region, 'x': x, 'y': y, 'z': z,
            'status': status, **more}  # fmt: skip


class Page(HTMLParser):
    """Tags, links, numbers and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.source = path.read_text(encoding='utf-8')
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.numbers: list[str] = []
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        for found, key in ((self.ids, 'id'), (self.links, 'href'), (self.images, 'src')):
            found += [attributes[key]] if key in attributes else []
        if tag == 'data':
            self.numbers.append(attributes['value'])

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return ' '.join(' '.join(self.words).split())

    def assert_alone(self) -> None:
        """Check that the page loads nothing, runs at most the viewer, and that its links work."""
        assert ('script' in self.tags) == ('script-src' in self.source)
        assert not self.tags & {'link', 'iframe', 'object', 'embed', 'base', 'form'}
        assert 'url(' not in self.source
        assert '@import' not in self.source
        assert "default-src 'none'" in self.source
        assert all(image.startswith('data:image/svg+xml,') for image in self.images)
        inner = {link[1:].split('/')[0] for link in self.links if link.startswith('#')}
        assert inner
        assert inner <= set(self.ids)
        assert len(self.ids) == len(set(self.ids))
