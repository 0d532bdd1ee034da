from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.outcome import Outcome, describe_error, inputs_of
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

POINTS = PointSet.from_mapping({'A': (1.5, -2, 1 / 3)}, ['A', 'B'])


def test_points_and_columns(tmp_path: Path) -> None:
    columns, files = {'dispersion_mm': [0.25, None]}, {'mask': 'mask.nii.gz'}
    outcome = Outcome('cnn', POINTS, columns, {'EnsembleSize': 2}, files=files, extra={'n': 1})
    again = Outcome.read(outcome.write(tmp_path / 'outcome.json'))
    assert again == outcome
    content = json.loads((tmp_path / 'outcome.json').read_text())
    assert content['points'] == {'A': [1.5, -2.0, 1 / 3], 'B': [None, None, None]}


@pytest.mark.parametrize(
    'content',
    [
        '',
        '[]',
        '{"method": "cnn"}',
        '{"method": "cnn", "points": {"A": [1, 2]}}',
        '{"method": "cnn", "points": {"A": [1, 2, "x"]}}',
        '{"method": "cnn", "points": {"A": [1, 2, null]}}',
        '{"method": "cnn", "points": null, "files": [1]}',
        '{"method": "cnn", "points": null, "files": {"mask": 3}}',
        '{"method": "cnn", "points": {"A": [1, 2, 3]}, "columns": {"d": [1, 2]}}',
        '{"method": "cnn", "points": {"A": [1, 2, 3]}, "columns": {"d": ["far"]}}',
        '{"method": 3, "points": null}',
        '{"method": "cnn", "points": null, "error": "no brain"}',
        '{"method": "cnn", "points": null, "more": 1}',
        '{"method": "cnn", "points": ' + '[' * 99_999,
    ],
)
def test_damaged_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / 'outcome.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r'outcome\.json: damaged .*start the command again'):
        Outcome.read(path)


def inputs(**changed: Any) -> dict[str, Any]:
    given = {
        'image_sha256': 'a',
        'protocol': load_protocol('tms'),
        'resources': {},
        'version': '1',
        'random_seed': 1,
        'threads': 1,
        'after': {},
    }
    return inputs_of(**{**given, **changed})


def test_inputs_of_files(tmp_path: Path) -> None:
    """Files count by their content, at any depth; other texts as they are."""
    first, second = tmp_path / 'a.h5', tmp_path / 'b.h5'
    first.write_text('warp')
    second.write_text('warp')

    def digest(path: Path | str, preset: str = 'default') -> str:
        given = {'given': {'MNI': [str(path)]}, 'preset': preset}
        return str(inputs(resources=given)['Resources'])

    assert digest(first) == digest(second) != digest(tmp_path / 'none.h5')
    assert digest(first) != digest(first, 'paper')
    second.write_text('Warp')
    assert digest(first) != digest(second)


def test_inputs_of_protocol() -> None:
    """A list counts by its targets, not by its title, its folder, or words for readers."""
    tms = load_protocol('tms')
    reworded = tuple(replace(t, name='', doubt='') for t in tms.targets)
    moved = replace(tms, title='others', folder=Path('/elsewhere'))
    region = replace(tms.targets[0], region='left ear')
    for protocol, same in (
        (moved, True),
        (replace(tms, targets=reworded), True),
        (replace(tms, targets=tms.targets[::-1]), False),
        (replace(tms, targets=(region, *tms.targets[1:])), False),
        (replace(tms, voxel_mm=0.5), False),
    ):
        assert (inputs(protocol=protocol) == inputs()) == same


@pytest.mark.parametrize('model', ['head', 'gyri'])
def test_inputs_of_models(tmp_path: Path, model: str) -> None:
    """The mean head, and the network that tells gyri apart, decide statuses."""
    (tmp_path / 'mine.safetensors').write_text('a model')
    mine = replace(load_protocol('tms'), **{model: 'mine.safetensors'}, folder=tmp_path)
    first = inputs(protocol=mine)['Resources']
    assert first != inputs()['Resources']
    (tmp_path / 'mine.safetensors').write_text('A model')
    assert inputs(protocol=mine)['Resources'] != first
    assert inputs(protocol=replace(mine, **{model: ''}))['Resources'] != first


@pytest.mark.parametrize('change', [{'words': {'gyrus': ['a']}}, {'words': {'gyrus': [1, 2]}}])
def test_damaged_words(tmp_path: Path, change: dict[str, Any]) -> None:
    path = Outcome('cnn', POINTS).write(tmp_path / 'outcome.json')
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r'outcome\.json: damaged'):
        Outcome.read(path)


def test_inputs_of_others() -> None:
    assert inputs(after={'cnn': inputs(random_seed=2)}) != inputs(after={'cnn': inputs()})
    assert inputs(after={'cnn': inputs()}) != inputs()


def test_no_points(tmp_path: Path) -> None:
    empty = Outcome('syn', PointSet.from_mapping({}))
    assert Outcome.read(empty.write(tmp_path / 'o.json')) == empty


@settings(max_examples=30)
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
