from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.formats import PointsFileError, read_points
from tmsprep.formats.targets_tsv import read_targets, write_table
from tmsprep.points import PointSet

TABLE = (
    'label\themisphere\tx\ty\tz\tstatus\n'
    '007\tL\t-36.5\t23\t41.25\tok\n'
    'NA\tR\tn/a\tn/a\tn/a\tfailed\n'
    'Ç\tR\t0\t-0.0001\t1e2\tok\n'
)


def test_table_by_hand(tmp_path: Path) -> None:
    path = tmp_path / 'targets.tsv'
    path.write_text(TABLE, encoding='utf-8')
    points = read_targets(path)
    assert points == read_points(path)
    assert points.labels == ('007', 'NA', 'Ç')
    np.testing.assert_array_equal(
        points.coordinates, [[-36.5, 23, 41.25], [np.nan] * 3, [0, -0.0001, 100]]
    )
    assert points.found.tolist() == [True, False, True]


def test_decimals_and_missing(tmp_path: Path) -> None:
    table = pd.DataFrame({'label': ['A', 'B'], 'x': [1.23456, np.nan], 'status': ['ok', 'failed']})
    path = write_table(tmp_path / 'deep' / 'targets.tsv', table)
    assert path.read_text() == 'label\tx\tstatus\nA\t1.2346\tok\nB\tn/a\tfailed\n'
    assert [p.name for p in path.parent.iterdir()] == ['targets.tsv']


COORDINATE = st.floats(-500, 500)
ROW = st.one_of(st.tuples(COORDINATE, COORDINATE, COORDINATE), st.just((np.nan,) * 3))


@settings(max_examples=30)
@given(rows=st.lists(ROW, min_size=1, max_size=12))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    points = PointSet(tuple(f'T{i}' for i in range(len(rows))), np.array(rows))
    table = pd.DataFrame(points.coordinates, columns=['x', 'y', 'z'])
    table.insert(0, 'label', points.labels)
    path = write_table(tmp_path_factory.mktemp('points') / 'a.tsv', table)
    again = read_targets(path)
    assert again.labels == points.labels
    np.testing.assert_array_equal(again.found, points.found)
    # Four decimals.
    np.testing.assert_allclose(again.coordinates, points.coordinates, rtol=0, atol=0.5001e-4)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('label\tx\ty\nA\t1\t2\n', 'label, x, y, z'),
        ('name\tx\ty\tz\nA\t1\t2\t3\n', 'label, x, y, z'),
        ('label\tx\ty\tz\nA\t1\t2\t3\nA\t4\t5\t6\n', 'twice'),
        ('label\tx\ty\tz\nA\t1\ttwo\t3\n', 'two'),
        ('label\tx\ty\tz\nA\t1\tn/a\t3\n', 'missing'),
        ('', 'no columns'),
        ('label\tx\ty\tz\nA\t1\t2\t3\t4\t5\t6\t7\nB\t1\n', 'line 2'),
        ('label\tx\ty\tz\nA\t1\t2\t3\nB\t1\n', 'line 3: 2 values'),
        ('label\tx\ty\tz\nA\n', 'line 2: 1 value under 4 columns'),
        ('label\tx\ty\tz\nA\t1,5\t2,5\t3,5\n', 'decimal point'),
        ('label\tx\ty\tz\tx\nA\t1\t2\t3\t4\n', 'x is twice'),
        ('label\tlabel\tx\ty\tz\nA\tB\t1\t2\t3\n', 'label is twice'),
        ('label,x,y,z\nA,1,2,3\n', 'tabs'),
        ('label\tx\ty\tz\n"A\t1\t2\t3\nB"\t1\t2\t3\n', 'quotation marks'),
        ('label\tx\ty\tz\n"A" \t1\t2\t3\n', 'quotation marks'),
        ('label\tx\ty\tz\nA\t1"\t2\t3\n', 'not a number'),
        ('label\tx\ty\tz\nA\tinf\t2\t3\n', 'not a number'),
        ('label\tx\ty\tz\nA\t1_0\t2\t3\n', 'not a number'),
        ('label\tx\ty\tz\nA\t\u0663\t2\t3\n', 'not a number'),
        ('label\tx\ty\tz\nA\t1e7\t2\t3\n', 'no coordinate'),
        ('label\tx\ty\tz\nA\t1e999\t2\t3\n', 'no coordinate'),
        ('label\tx\ty\tz\nA\x00\t1\t2\t3\n', 'printed'),
        ('label\tx\ty\tz\n\t1\t2\t3\n', 'no name'),
    ],
)
def test_wrong_table(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'mine.tsv'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(PointsFileError, match=r'mine\.tsv') as raised:
        read_targets(path)
    assert message in str(raised.value)


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r', '\n\n'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
@pytest.mark.parametrize('quote', ['', '"'])
def test_other_programs(tmp_path: Path, end: str, encoding: str, quote: str) -> None:
    rows = (('label', 'x', 'y', 'z', 'note'), ('A', '-1.5', ' 2', '+3', 'x\u2028y'))
    lines = ['\t'.join(f'{quote}{cell}{quote}' for cell in row) for row in rows]
    path = tmp_path / 'mine.tsv'
    path.write_bytes((end.join(lines) + end).encode(encoding))
    assert read_targets(path) == PointSet.from_mapping({'A': (-1.5, 2, 3)})


def test_table_not_text(tmp_path: Path) -> None:
    path = tmp_path / 'mine.tsv'
    path.write_bytes(b'\xff\xfe\x00\x80label\tx')
    with pytest.raises(PointsFileError, match=r'mine\.tsv'):
        read_targets(path)


def test_missing_file(tmp_path: Path) -> None:
    for reader in (read_targets, read_points):
        with pytest.raises(PointsFileError, match=r'not found.*none\.tsv'):
            reader(tmp_path / 'none.tsv')
