"""The registration as a way between image and template, against a shift that is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods import get_method
from tmsprep.methods.base import Method
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.registration.frames import write_linear

SYN = get_method('syn')
IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))
TEMPLATE = 'MNI152NLin2009aSym'
SHIFT = np.array([5.0, -6, 7])
POINTS = PointSet(('a',), [[1.0, 2, 3]])


def shifts(folder: Path, by: np.ndarray) -> dict[str, str]:
    """Write transforms of both directions: points of the template plus `by` lie in the image."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for key, mm in (('to_atlas', by), ('from_atlas', -by)):
        matrix = np.eye(4)
        matrix[:3, 3] = mm
        files[key] = str(write_linear(matrix, folder / f'{key}.mat'))
    return files


def outcome(atlas: str = TEMPLATE, **fields: object) -> Outcome:
    return Outcome('syn', POINTS, details={'Atlas': {'Name': atlas}}, **fields)


def test_transforms_of_this_run(tmp_path: Path) -> None:
    layout = Layout(tmp_path / 'out', 'tms')
    of_run = outcome(files=shifts(tmp_path, SHIFT))
    way = SYN.template_map(of_run, IMAGE, layout, 'abc')
    assert (way.method, way.space) == ('syn', TEMPLATE)
    place = np.array([[-42.0, -21, 62]])
    np.testing.assert_allclose(way.from_template(place), place + SHIFT, atol=1e-4)
    np.testing.assert_allclose(way.to_template(place), place - SHIFT, atol=1e-4)


@pytest.mark.parametrize('made_from', ['abc', 'other', ''])
def test_transforms_of_an_earlier_run(tmp_path: Path, made_from: str) -> None:
    """They count if their sidecars have the checksum of this very image."""
    layout = Layout(tmp_path / 'out', 'tms')
    for start, end in (('T1w', TEMPLATE), (TEMPLATE, 'T1w')):
        names = {'from': start, 'to': end, 'mode': 'image'}
        path = layout.derivative(IMAGE, 'xfm', '.h5', **names)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'not read here')
        reference = {'ReferenceImage': {'SHA256': made_from}} if made_from else {}
        path.with_suffix('.json').write_text(json.dumps({**reference, 'SynPreset': 'paper'}))
    way = SYN.template_map(outcome(), IMAGE, layout, 'abc')
    assert (way is not None) == (made_from == 'abc')
    if way:
        assert way.words == f'through the registration to {TEMPLATE} by SyN, preset paper'
        with pytest.raises(ValueError, match=r'xfm\.h5'):
            way.to_template(np.zeros((1, 3)))


def test_no_way(tmp_path: Path) -> None:
    layout, files = Layout(tmp_path / 'out', 'tms'), shifts(tmp_path, SHIFT)
    assert SYN.template_map(outcome('atlas', files=files), IMAGE, layout, 'abc') is None
    assert SYN.template_map(outcome(), IMAGE, layout, 'abc') is None
    failed = Outcome('syn', details={'Atlas': {'Name': TEMPLATE}}, files=files)
    assert SYN.template_map(failed, IMAGE, layout, 'abc') is None


def test_template() -> None:
    assert SYN.template({'atlas': TEMPLATE}) == TEMPLATE
    assert SYN.template({'atlas': '/home/own.nii.gz'}) == ''
    assert Method.template(get_method('cnn'), {}) == ''


def test_distance_from_brain() -> None:
    """The vertex of the template's brain is at z = 78 mm."""
    places = np.array([[0.0, -20, 20], [0, -30, 98], [0, -30, 198], [500, 0, 0]])
    distances = SYN.brain_distance(places)
    assert distances[0] == 0
    assert distances[1] == pytest.approx(20, abs=4)
    assert distances[2:].tolist() == [np.inf, np.inf]
