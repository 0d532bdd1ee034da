from __future__ import annotations

from pathlib import Path

import pytest

from tmsprep.own_points import MOST, OwnPoints, parse_point, read_own_points
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')
SPACE = 'MNI152NLin2009cAsym'


def read(*given: str, table: Path | None = None) -> OwnPoints | None:
    return read_own_points([parse_point(text) for text in given], table, SPACE, False, PROTOCOL)


def write(folder: Path, *rows: str) -> Path:
    path = folder / 'points.tsv'
    path.write_text('\n'.join(['label\tx\ty\tz', *rows]) + '\n')
    return path


def test_both_sources(tmp_path: Path) -> None:
    own = read('SMA 0 -6 58', 'PMd -30 -5.5 60', table=write(tmp_path, 'V5\t45\t-68\t0.5'))
    assert own == OwnPoints(
        {'SMA': (0, -6, 58), 'PMd': (-30, -5.5, 60), 'V5': (45, -68, 0.5)}, SPACE
    )


def test_none() -> None:
    assert read() is None


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('SMA 0 -6', 'give a name and x, y and z'),
        ('', 'give a name'),
        ('S_MA 0 -6 58', 'letters and digits'),
        ('../x 0 -6 58', 'letters and digits'),
        (f'{"a" * 41} 0 -6 58', 'at most 40'),
        ('SMA 0 six 58', "'six' is not a coordinate"),
        ('SMA 0 nan 58', "'nan' is not a coordinate"),
        ('SMA 0 inf 58', "'inf' is not a coordinate"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_point(text)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (('LOFC 1 2 3',), 'LOFC is a target of protocol tms'),
        (('lofc 1 2 3',), 'lofc is a target of protocol tms'),
        (('overview 1 2 3',), 'the name of a figure'),
        (('SMA 1 2 3', 'sma 4 5 6'), 'sma is given twice'),
    ],
)
def test_names_taken(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(*given)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ((), 'holds no point'),
        (('SMA\tn/a\tn/a\tn/a',), 'SMA has no coordinates'),
        (('a b\t1\t2\t3',), 'letters and digits'),
        (('SMA\t1\t2',), '3 values under 4 columns'),
        (tuple(f'p{i}\t1\t2\t3' for i in range(MOST + 1)), '200 at most'),
    ],
)
def test_tables_refused(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(table=write(tmp_path, *rows))


def test_inputs_change_with_everything() -> None:
    own = OwnPoints({'SMA': (0, -6, 58)}, SPACE)
    others = [
        OwnPoints({'SMA': (0, -6, 59)}, SPACE),
        OwnPoints({'SMB': (0, -6, 58)}, SPACE),
        OwnPoints({'SMA': (0, -6, 58)}, 'MNI152NLin6Asym'),
        OwnPoints({'SMA': (0, -6, 58)}, SPACE, snap=True),
    ]
    digests = {other.inputs({})['Points'] for other in [own, *others]}
    assert len(digests) == 5
    assert own.inputs({'Image': 'a'})['Registration'] != own.inputs({})['Registration']
