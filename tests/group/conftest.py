from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.tables import write_outcomes
from tmsprep.group.analysis import Group, GroupRequest
from tmsprep.group.collect import collect_group
from tmsprep.group.derivatives import image_of
from tmsprep.methods import methods_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, load_protocol

PROTOCOL = """
name = "toy"
title = "three points"
source = "test"
[[targets]]
label = "LA"
hemisphere = "L"
region = "a"
type = "chronic pain"
mirror = "RA"
[[targets]]
label = "RA"
hemisphere = "R"
region = "a"
type = "chronic pain"
mirror = "LA"
[[targets]]
label = "M"
hemisphere = "n/a"
region = "middle"
type = "test"
"""
TRUTH = {'LA': (-30.0, 10.0, 20.0), 'RA': (31.0, 11.0, 20.0), 'M': (0.0, -40.0, 50.0)}
AFFINE = [[-1.0, 0, 0, 90], [0, 1, 0, -120], [0, 0, 1, -70], [0, 0, 0, 1]]


class Study:
    """A data set without images: directories, outputs and files of points."""

    truth = TRUTH

    @staticmethod
    def moved(by: tuple, points: Mapping[str, tuple] = TRUTH) -> dict[str, tuple]:
        return {label: tuple(np.add(point, by)) for label, point in points.items()}

    def __init__(self, root: Path):
        self.bids, self.out, self.points = root / 'bids', root / 'out', root / 'points'
        self.protocol_file = root / 'toy.toml'
        self.protocol_file.write_text(PROTOCOL)
        for folder in (self.bids, self.points):
            folder.mkdir()
        self.description('Toy study')
        self.layout = Layout(self.out, 'toy')

    def collect(self, *, annotated: bool = True, **changes: object) -> Group:
        protocol = self.protocol
        request = {
            'layout': self.layout,
            'protocol': protocol,
            'methods': tuple(methods_of(protocol)),
            'bids_dir': self.bids,
            'annotations': self.points if annotated else None,
        }
        return collect_group(GroupRequest(**{**request, **changes}))

    @property
    def protocol(self) -> Protocol:
        return load_protocol(self.protocol_file)

    def description(self, name: str) -> None:
        content = {'Name': name, 'BIDSVersion': '1.10.0'}
        (self.bids / 'dataset_description.json').write_text(json.dumps(content))

    def outputs(self, stem: str, **methods: Mapping[str, tuple]) -> ImageRef:
        """Write outputs of the participant level; the image itself never exists."""
        image = image_of(dict(part.split('-') for part in stem.split('_')), self.bids)
        (self.bids / f'sub-{image.subject}').mkdir(exist_ok=True)
        outcomes = {
            method: Outcome(
                method,
                PointSet.from_mapping(points, self.protocol.labels),
                {'dispersion_mm': [1.5, 2.5, 3.5]} if method == 'cnn' else {},
            )
            for method, points in methods.items()
        }
        properties = {'shape': (181, 220, 190), 'affine': AFFINE, 'sha256': 'none'}
        write_outcomes(self.layout, image, outcomes, self.protocol, properties, 1)
        return image

    def rater(self, stem: str, name: str, points: Mapping[str, tuple]) -> Path:
        rows = [f'{label}\t{x}\t{y}\t{z}\n' for label, (x, y, z) in points.items()]
        path = self.points / f'{stem}_desc-{name}_targets.tsv'
        path.write_text('label\tx\ty\tz\n' + ''.join(rows))
        return path

    def predictions(self, *stems: str, variants: tuple[str, ...] = ('shared',)) -> Path:
        """Write a cross-validation of 2 repetitions, 1 and 3 mm off along x and -x."""
        columns = ['participant_id', 'image', 'variant', 'repetition', 'fold', 'label', *'xyz']
        columns += ['reference_x', 'reference_y', 'reference_z', 'error_mm', 'status']
        rows = []
        for stem in stems:
            for variant in variants:
                for repetition, off in ((1, 1.0), (2, -3.0)):
                    for label, point in TRUTH.items():
                        x, y, z = np.add(point, (off, 0, 0))
                        start = (stem.split('_')[0], stem, variant, repetition, 1, label)
                        rows.append((*start, x, y, z, *point, abs(off), 'ok'))
        path = self.layout.level('crossval', 'predictions')
        path.parent.mkdir(exist_ok=True)
        lines = ['\t'.join(map(str, row)) for row in (columns, *rows)]
        path.write_text('\n'.join(lines) + '\n')
        return path


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def full(study: Study) -> Callable[[], Study]:
    """Two participants with both methods and two raters 1 mm to either side of the truth."""

    def make() -> Study:
        for number, stem in enumerate(('sub-01', 'sub-02_ses-A')):
            study.outputs(
                stem, cnn=study.moved((0, number, 3)), syn=study.moved((0, number + 4, 0))
            )
            study.rater(stem, 'ann', study.moved((1, number, 0)))
            study.rater(stem, 'bob', study.moved((-1, number, 0)))
        return study

    return make
