from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.outcome import Outcome, describe_error
from tmsprep.points import PointSet

POINTS = PointSet.from_mapping({'A': (1.5, -2, 1 / 3)}, ['A', 'B'])


def test_points_and_columns(tmp_path: Path) -> None:
    columns, files = {'dispersion_mm': [0.25, None]}, {'mask': 'mask.nii.gz'}
    outcome = Outcome('cnn', POINTS, columns, {'EnsembleSize': 2}, files=files, extra={'n': 1})
    again = Outcome.read(outcome.write(tmp_path / 'outcome.json'))
    assert again == outcome
    content = json.loads((tmp_path / 'outcome.json').read_text())
    assert content['points'] == {'A': [1.5, -2.0, 1 / 3], 'B': [None, None, None]}


def test_no_points(tmp_path: Path) -> None:
    empty = Outcome('syn', PointSet.from_mapping({}))
    assert Outcome.read(empty.write(tmp_path / 'o.json')) == empty


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3))
def test_no_digit_is_lost(tmp_path_factory, place: list[float]) -> None:
    outcome = Outcome('cnn', PointSet(('A',), np.array([place])))
    path = tmp_path_factory.mktemp('outcome') / 'o.json'
    assert Outcome.read(outcome.write(path)) == outcome


def test_failed(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError('no brain found')

    try:
        fail()
    except ValueError as error:
        outcome = Outcome.failed('syn', error, {'mask': 'm.nii.gz'})
    assert outcome.points is None
    assert outcome.error['message'] == 'no brain found'
    assert outcome.files == {'mask': 'm.nii.gz'}
    assert 'in fail' in outcome.error['traceback']
    assert Outcome.read(outcome.write(tmp_path / 'o.json')) == outcome


def test_error_without_message() -> None:
    assert describe_error(ValueError())['message'] == 'ValueError()'
