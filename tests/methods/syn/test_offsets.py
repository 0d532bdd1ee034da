"""Offsets of the atlas: trained on known ones, used, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tmsprep.evaluation.offsets import OFFSET_COLUMNS, mean_offsets
from tmsprep.methods import get_method
from tmsprep.methods.resources import ResourceError
from tmsprep.outcome import inputs_of
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')
SYN = get_method('syn')
CHECKSUMS = SYN.resources(PROTOCOL, {})['checksums']
#: Of two targets; the others have none.
MOVED = {'LOFC': (1.5, -2.0, 0.25), 'RULIMBMC': (0.0, 4.0, -3.0)}


def write(path: Path, sidecar: object = CHECKSUMS, **changes: tuple[Any, ...] | None) -> Path:
    """Write a table of offsets by hand; None takes a row out."""
    places = {**dict.fromkeys(PROTOCOL.labels, ('n/a',) * 3), **MOVED, **changes}
    rows = ['\t'.join(OFFSET_COLUMNS)]
    for label, place in places.items():
        if place is not None:
            people = 2 if place[0] == 'n/a' else 5
            rows.append('\t'.join(map(str, (label, *place, people, 1, 2, 1))))
    path.write_text('\n'.join(rows) + '\n')
    path.with_suffix('.json').write_text(json.dumps({'AtlasChecksums': sidecar}))
    return path


def test_mean_offsets() -> None:
    """At 1, 2, 4 and 9 mm; the second has three points, the third no place in the atlas."""
    values = np.zeros((4, 3, 3))
    values[:, :, 0] = np.array([1.0, 2, 4, 9])[:, None]
    values[3, 1] = np.nan
    atlas = PointSet(('a', 'b', 'c'), [[0.0] * 3, [0.0] * 3, [np.nan] * 3])
    table = mean_offsets(values, atlas).set_index('label')
    assert table.loc['a', ['offset_x', 'offset_y', 'offset_z']].tolist() == [4, 0, 0]
    assert table['people'].tolist() == [4, 3, 0]
    # From the means of the others, 5, 14/3, 4 and 7/3: 4, 8/3, 0 and 20/3.
    numbers = table.loc['a', ['spread_mm', 'before_mm', 'after_mm']].tolist()
    assert numbers == pytest.approx([np.sqrt(38 / 4), 4, 10 / 3])
    assert table.loc[['b', 'c'], 'offset_x'].isna().all()


def test_resources(tmp_path: Path) -> None:
    plain = SYN.resources(PROTOCOL, {})
    found = SYN.resources(PROTOCOL, {'atlas_offsets': write(tmp_path / 'o.tsv')})
    assert found['offsets']['mm'] == {label: list(mm) for label, mm in MOVED.items()}
    assert found['offsets']['participants'] == 5
    del found['offsets']
    assert found == plain


def test_outdated(tmp_path: Path) -> None:
    """Points are made anew if the offsets change, not if their file is moved."""

    def inputs(path: Path | None) -> object:
        found = SYN.resources(PROTOCOL, {'atlas_offsets': path})
        given = {'random_seed': 1, 'threads': 1, 'after': {}, 'version': '1'}
        return inputs_of(image_sha256='', protocol=PROTOCOL, resources=found, **given)

    first = inputs(write(tmp_path / 'o.tsv'))
    assert inputs(write(tmp_path / 'moved.tsv')) == first
    assert inputs(write(tmp_path / 'o.tsv', LOFC=(1.5, -2.0, 0.5))) != first
    assert inputs(None) != first


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    'another atlas': ({'sidecar': ['0' * 64]}, 'made for another atlas, or other points'),
    'no checksums': ({'sidecar': None}, 'no sidecar o.json that says for which atlas'),
    'a target less': ({'LOFC': None}, 'lacks LOFC of the protocol'),
    'another target': ({'SMA': (1, 2, 3)}, "'SMA' is not a target of the protocol"),
    'far': ({'LOFC': (0, 31, 0)}, 'line 2: an offset of 31 mm, above 30'),
    'not finite': ({'LOFC': (0, 'inf', 0)}, 'line 2: .*inf'),
    'one axis': ({'LOFC': (0, 'n/a', 0)}, 'line 2: .*n/a'),
    'none': (dict.fromkeys(MOVED, ('n/a',) * 3), 'no target of the atlas has an offset'),
}


@pytest.mark.parametrize('case', DAMAGED)
def test_refused(tmp_path: Path, case: str) -> None:
    changes, words = DAMAGED[case]
    path = write(tmp_path / 'o.tsv', **changes)
    with pytest.raises(ResourceError, match=f'--atlas-offsets: .*{words}'):
        SYN.resources(PROTOCOL, {'atlas_offsets': path})


def test_refused_files(tmp_path: Path) -> None:
    path = write(tmp_path / 'o.tsv')
    text = path.read_text()
    for content, words in (
        (text.replace('\t5\t', '\t3\t'), "'3' participants are not 4 or more"),
        (text.replace('people', 'n'), 'people is missing'),
        (text + text.splitlines()[1], "'LOFC' is twice"),
        ('', 'empty'),
    ):
        path.write_text(content)
        with pytest.raises(ResourceError, match=words):
            SYN.resources(PROTOCOL, {'atlas_offsets': path})
    path.write_bytes(b'\xff\xfe\0')
    with pytest.raises(ResourceError, match='UTF-8'):
        SYN.resources(PROTOCOL, {'atlas_offsets': path})
