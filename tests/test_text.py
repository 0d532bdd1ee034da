from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.atomic import write_text
from tmsprep.group.derivatives import _read_table as read_compared
from tmsprep.reports.collect import read_targets as read_shown
from tmsprep.reports.svg import text as svg_text
from tmsprep.tables import read_json, write_json, write_table
from tmsprep.text import (
    MOST_LEVELS,
    cell,
    parse_json,
    parse_toml,
    parse_yaml,
    plain,
    printable,
    read_text,
    shown,
    without_folders,
)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('sub-01', 'sub-01'),
        ('12\xa0mm', '12\xa0mm'),
        ('Müller, 東京', 'Müller, 東京'),
        ('a\x1b[2Jb', 'a\\x1b[2Jb'),
        ('a\r\nb\x9bc\x7f', 'a\\r\\nb\\x9bc\\x7f'),
        ('gnp.\u202ezn', 'gnp.\\u202ezn'),
        ('a\u2028b', 'a\\u2028b'),
        (os.fsdecode(b'f\xfcr'), 'f\\xfcr'),
        ('\ud800', '\\ud800'),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(st.characters(categories=['L', 'N', 'C', 'Z', 'P'])))
def test_any_text_is_safe(text: str) -> None:
    safe = cell(text)
    assert set(map(unicodedata.category, safe)).isdisjoint(('Cc', 'Cf', 'Cs', 'Zl', 'Zp'))
    safe.encode('utf-8')
    assert not safe.startswith(('=', '+', '@')) or _is_number(safe)
    assert printable(safe) == safe


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    'text', ['=1+1', '+49', '@SUM(A1)', '-cmd|calc', '\t=1', "'x", '-3.5', '']
)
def test_cell_is_read_back(text: str) -> None:
    assert plain(cell(text)) == printable(text)


def test_cells(tmp_path: Path) -> None:
    rows = {
        'label': ['=1+1', '+anna', '-2.5', '@b\tc', os.fsdecode(b'\xff'), '', 'n/a'],
        'n': [-1, 2, 3, 4, 5, 6, 7],
        'mean': [-1.5, 2.0, 3.0, 4.0, 5.0, 6.0, float('nan')],
    }
    path = write_table(tmp_path / 'a.tsv', pd.DataFrame(rows), '', {})
    lines = path.read_text(encoding='utf-8').splitlines()
    first = [line.split('\t')[0] for line in lines[1:]]
    assert first == ["'=1+1", "'+anna", '-2.5', "'@b\\tc", '\\xff', 'n/a', 'n/a']
    assert [line.split('\t')[1:] for line in lines[1:3]] == [['-1', '-1.5000'], ['2', '2.0000']]


def test_long_message() -> None:
    assert shown('x' * 10**6) == 'x' * 10_000 + ' ... (990000 more characters)'
    assert shown('one\ntwo\x1b') == 'one\ntwo\\x1b'


def test_text_with_foreign_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9')
    path = write_json(tmp_path / 'a.json', {'message': name})
    assert read_json(path) == {'message': name}
    assert write_text(tmp_path / 'a.txt', name).read_bytes() == b'caf\\udce9'


def test_svg_text() -> None:
    assert '>a\\x0b&lt;b\\u202e</text>' in svg_text(0, 0, 'a\x0b<b\u202e')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (
            '/home/anna/ds/sub-01/ses-A/anat/x.nii.gz: damaged',
            'sub-01/ses-A/anat/x.nii.gz: damaged',
        ),
        ('no space in /scratch/anna/work', 'no space in work'),
        ('(/a/b/c.h5) and "/d/e"', '(c.h5) and "e"'),
        ('file:///home/anna/bids', 'bids'),
        ('bids:raw:sub-01/anat/x, 3/4, a/b/c, https://doi.org/10.1/x', None),
        ('see docs/usage.md or /', None),
        ('  File "/usr/lib/python3.11/json/decoder.py", line 3', '  File "decoder.py", line 3'),
    ],
)
def test_without_folders(text: str, expected: str | None) -> None:
    assert without_folders(text) == (text if expected is None else expected)


def test_read_text(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(b'\xef\xbb\xbf{}')
    assert read_text(path) == '{}'
    path.write_bytes(b'12345')
    assert read_text(path, most=5) == '12345'
    with pytest.raises(ValueError, match='larger than 0 MiB'):
        read_text(path, most=4)
    path.write_bytes(b'\xff')
    with pytest.raises(ValueError, match='utf-8'):
        read_text(path)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to('/dev/zero')


def _loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize('make', [_pipe, _socket, _device, _loop, Path.mkdir])
def test_no_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make) -> None:
    # A socket's name must be short.
    monkeypatch.chdir(tmp_path)
    make(Path('a.json'))
    with pytest.raises(OSError):  # noqa: PT011
        read_text(Path('a.json'))
    assert read_json(Path('a.json')) == {}


DEEP = 100_000


@pytest.mark.parametrize(
    ('parse', 'text'),
    [
        (parse_json, '[' * DEEP),
        (parse_json, '[' * DEEP + ']' * DEEP),
        (parse_json, '[' * (MOST_LEVELS + 1) + ']' * (MOST_LEVELS + 1)),
        (parse_json, '{"a":' * DEEP + '1' + '}' * DEEP),
        (parse_toml, 'a = ' + '[' * DEEP),
        (parse_toml, '.'.join('a' * 5000) + ' = 1'),
        (parse_yaml, '[' * 5000),
        (parse_yaml, '{a: ' * 5000),
    ],
)
def test_deep(parse, text: str) -> None:
    with pytest.raises(ValueError, match='nested too deeply'):
        parse(text)


def test_yaml_bomb() -> None:
    lines = ['a0: &a0 [x, x]', *(f'a{i}: &a{i} [*a{i - 1}, *a{i - 1}]' for i in range(1, 60))]
    for text in ('\n'.join(lines), 'a: &a [*a]', 'base: &b {x: 1}\nc:\n  <<: *b'):
        with pytest.raises(ValueError, match='alias'):
            parse_yaml(text)
    assert parse_yaml('plugin: SLURM\nplugin_args: {max_jobs: 3}') == {
        'plugin': 'SLURM',
        'plugin_args': {'max_jobs': 3},
    }


@given(st.text(st.sampled_from('{}[]:"\',=.-&*!|>#01eE\\\n atruefalsenull'), max_size=60))
def test_parsers_raise_only_value_errors(text: str) -> None:
    for parse in (parse_json, parse_toml, parse_yaml):
        try:
            parse(text)
        except ValueError:
            continue


HEAD = 'label\themisphere\tregion\tx\ty\tz\tstatus\n'


@pytest.mark.parametrize('content', [b'\xff', b'"' * 999, b'\0', HEAD[:20].encode()])
def test_damaged_table(tmp_path: Path, content: bytes) -> None:
    """Tables of the outputs were written by anybody, and concern one participant."""
    path = tmp_path / 'a.tsv'
    path.write_bytes(content)
    path.with_suffix('.json').write_text('{}')
    for read in (read_shown, read_compared):
        with pytest.raises(ValueError, match=r'.'):
            read(path)
    path.write_text(f'{HEAD}A{"x" * 200_000}\n')
    with pytest.raises(ValueError, match='field larger'):
        read_shown(path)
    path.unlink()
    os.mkfifo(path)
    for read in (read_shown, read_compared):
        with pytest.raises(OSError, match='no regular file'):
            read(path)
