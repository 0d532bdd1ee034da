from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tmsprep.options import NamedPath, Option, settle

STEPS = Option('steps', 'steps', int, 5, minimum=1, levels=('train',))
RATE = Option('rate', 'rate', float, 0.5, above=0)
KINDS = Option(
    'kinds', 'kinds', default=('a',), choices=('a', 'b'), several=True, single=('train',)
)


@pytest.mark.parametrize(
    ('option', 'value', 'expected'),
    [
        (STEPS, 3, 3),
        (STEPS, None, None),
        (RATE, 2, 2.0),
        (KINDS, ['b', 'a', 'b'], ('b', 'a')),
        (Option('labels', '', several=True, default=()), [], ()),
        (Option('label', '', read=lambda text: text.removeprefix('sub-')), 'sub-01', '01'),
        (Option('place', '', Path, exists=''), 'x', Path.cwd() / 'x'),
    ],
)
def test_value(option: Option, value: Any, expected: Any) -> None:
    checked = option.check(value, 'crossval')
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ('option', 'value', 'message'),
    [
        (STEPS, 0, '--steps must be 1 or more, not 0'),
        (STEPS, True, '--steps: True is not of type int'),
        (STEPS, '3', "--steps: '3' is not of type int"),
        (STEPS, 3.0, '--steps: 3.0 is not of type int'),
        (RATE, 0.0, '--rate must be above 0, not 0.0'),
        (RATE, float('nan'), '--rate must be above 0, not nan'),
        (RATE, float('inf'), '--rate must be above 0, not inf'),
        (Option('seed', '', int, minimum=1, maximum=9), 10, '--seed must be from 1 to 9, not 10'),
        (Option('fast', '', bool, False), 1, '--fast: 1 is not of type bool'),
        (KINDS, 'a', "--kinds: 'a' is not a list"),
        (KINDS, [], '--kinds: give at least one of a, b'),
        (KINDS, ['a', 'c'], "--kinds: 'c' is not known; choose from a, b"),
        (KINDS, ['a', 'b'], '--kinds: train takes one of a, b'),
        (Option('own_file', '', Path), '/absent', '--own-file: no file /absent'),
        (Option('own', '', Path, exists='folder'), '/absent', '--own: no folder /absent'),
        (
            Option('own', '', Path, exists='folder'),
            '~no-such-user/x',
            '--own: no home directory for ~no-such-user/x',
        ),
        (Option('own', '', Path), '', 'an empty path; is a variable of your script unset?'),
    ],
)
def test_refusal(option: Option, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        option.check(value, 'train')
    assert str(caught.value) == message


def test_flag() -> None:
    assert STEPS.flag == '--steps'
    assert Option('work_dir', '').flag == '--work-dir'
    assert Option('mem_gb', '', flags=('-m', '--mem', '--mem-mb')).flag == '--mem'


def test_describe() -> None:
    assert STEPS.describe() == 'steps (default: 5)'
    assert KINDS.describe() == 'kinds (default: a)'
    assert Option('fast', 'be fast', bool, False).describe() == 'be fast'
    assert Option('k', 'folds (default: all)', int, 3).describe() == 'folds (default: all)'


def test_parse() -> None:
    assert STEPS.parse('3') == 3
    assert RATE.parse('1e-3') == 0.001
    with pytest.raises(ValueError, match=r"^'two' is not a whole number$"):
        STEPS.parse('two')
    with pytest.raises(ValueError, match=r"^'far' is not a number$"):
        RATE.parse('far')


def test_settle_order() -> None:
    sources = {'protocol': {'steps': 2, 'rate': 3}, 'file': {'steps': 4}, '': {}}
    assert settle([STEPS, RATE], sources, 'train') == {'steps': 4, 'rate': 3.0}
    assert settle([STEPS, RATE], sources, 'group') == {'rate': 3.0}
    assert settle([Option('n', '', int, lambda: 7)], {}, 'group') == {'n': 7}


def test_settle_names_source() -> None:
    with pytest.raises(ValueError, match=r'^run\.toml: --steps must be 1 or more, not 0$'):
        settle([STEPS], {'run.toml': {'steps': 0}, '': {}}, 'train')
    with pytest.raises(ValueError, match=r'^--steps must'):
        settle([STEPS], {'run.toml': {'steps': 1}, '': {'steps': 0}}, 'train')


def test_settle_pair() -> None:
    pair = [Option('image', '', needs='points'), Option('points', '', needs='image')]
    assert settle(pair, {'': {'image': 'a', 'points': 'b'}}, 'train')['points'] == 'b'
    assert settle(pair, {}, 'train') == {'image': None, 'points': None}
    with pytest.raises(ValueError, match=r'^--image: give --points as well$'):
        settle(pair, {'': {'image': 'a'}}, 'train')


FOLDERS = Option('folders', '', NamedPath, exists='folder', several=True, default=())


def test_named_paths(tmp_path: Path) -> None:
    """As fMRIPrep takes them: PATH, or NAME=PATH; they come back from a settings file."""
    (tmp_path / 'a=b').mkdir()
    given = [f'prep={tmp_path}', str(tmp_path), f'{tmp_path}/a=b']
    values = FOLDERS.check(given, 'participant')
    assert values == (
        NamedPath(tmp_path, 'prep'),
        NamedPath(tmp_path),
        NamedPath(tmp_path / 'a=b'),
    )
    assert FOLDERS.check([str(value) for value in values], 'participant') == values
    assert [value.label for value in values] == ['prep', tmp_path.name, 'ab']


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (['x=/absent'], '--folders: no folder /absent'),
        (['x='], 'an empty path; is a variable of your script unset?'),
        ([''], 'an empty path; is a variable of your script unset?'),
        (['x=/', 'x=/tmp'], "the name 'x' stands before two folders; give another NAME=PATH"),
        (['raw=/'], "the name 'raw' is that of the data set"),
        ([7], '--folders: 7 is not of type NamedPath'),
    ],
)
def test_refused_names(given: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FOLDERS.check(given, 'participant')
