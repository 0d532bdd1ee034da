from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.formats import PointsFileError, read_points, write_points
from tmsprep.points import PointSet

POINTS = PointSet.from_mapping(
    {'LOFC': (-10.5, 20, 30), 'ROFC': (np.nan,) * 3, '7': (0, -0.00004, 3)}
)
KINDS = [
    ('p.tsv', 'LPS'),
    ('p.txt', 'LPS'),
    ('p.mrk.json', 'LPS'),
    ('p.mrk.json', 'RAS'),
    ('p.fcsv', 'LPS'),
    ('p.fcsv', 'RAS'),
    ('p.fcsv', '0'),
    ('p.fcsv', '1'),
]
COORDINATE = st.floats(-500, 500)
ROW = st.one_of(st.tuples(COORDINATE, COORDINATE, COORDINATE), st.just((np.nan,) * 3))
NAME = st.text(
    st.characters(categories=('L', 'N', 'P', 'S'), exclude_characters=',"'), min_size=1, max_size=6
).filter(lambda name: not name.startswith('#'))
SYSTEM = 'NIfTI:S:Scanner'


@pytest.mark.parametrize(('name', 'frame'), KINDS)
@settings(max_examples=25)
@given(points=st.dictionaries(NAME, ROW, min_size=1, max_size=8))
def test_round_trips(
    tmp_path_factory: pytest.TempPathFactory, name: str, frame: str, points: dict
) -> None:
    given_points = PointSet.from_mapping(points)
    path = tmp_path_factory.mktemp('points') / name
    again = read_points(write_points(path, given_points, frame, SYSTEM))
    assert set(again.labels) >= set(np.array(given_points.labels)[given_points.found])
    assert set(again.labels) <= set(given_points.labels)
    np.testing.assert_allclose(
        again.reindex(given_points.labels).coordinates,
        given_points.coordinates,
        rtol=0,
        atol=0.5001e-4,
    )


def test_write_markups(tmp_path: Path) -> None:
    path = write_points(tmp_path / 'p.mrk.json', POINTS)
    markup = json.loads(path.read_text())['markups'][0]
    assert (markup['type'], markup['coordinateSystem']) == ('Fiducial', 'LPS')
    assert [point['positionStatus'] for point in markup['controlPoints']] == [
        'defined',
        'undefined',
        'defined',
    ]
    assert markup['controlPoints'][0]['position'] == [10.5, -20, 30]
    assert '-0.0' not in path.read_text()


def test_write_fcsv(tmp_path: Path) -> None:
    path = write_points(tmp_path / 'p.fcsv', POINTS)
    lines = path.read_text().splitlines()
    assert lines[1] == '# CoordinateSystem = LPS'
    assert lines[3:] == [
        '1,10.5000,-20.0000,30.0000,0,0,0,1,1,1,0,LOFC,,',
        '2,0.0000,0.0000,3.0000,0,0,0,1,1,1,0,7,,',
    ]


def test_write_table(tmp_path: Path) -> None:
    path = write_points(tmp_path / 'p.tsv', POINTS.reindex(['LOFC', 'ROFC']))
    assert path.read_text() == (
        'label\tx\ty\tz\nLOFC\t-10.5000\t20.0000\t30.0000\nROFC\tn/a\tn/a\tn/a\n'
    )


@pytest.mark.parametrize('name', ['p.tsv', 'p.txt', 'p.mrk.json', 'p.fcsv'])
@pytest.mark.parametrize('label', ['', ' A', 'A ', '#A', 'A\tB', 'A\nB', 'A\u2028B'])
def test_unwritable_name(tmp_path: Path, name: str, label: str) -> None:
    with pytest.raises(PointsFileError, match=name.replace('.', r'\.')):
        write_points(tmp_path / name, PointSet.from_mapping({label: (1, 2, 3)}), system=SYSTEM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('label', ['A,B', 'A"B'])
def test_separators_of_fcsv(tmp_path: Path, label: str) -> None:
    points = PointSet.from_mapping({label: (1, 2, 3)})
    with pytest.raises(PointsFileError, match=r'p\.fcsv'):
        write_points(tmp_path / 'p.fcsv', points)
    for name in ('p.tsv', 'p.txt', 'p.mrk.json'):
        assert read_points(write_points(tmp_path / name, points, system=SYSTEM)) == points


def test_unknown_format_and_frame(tmp_path: Path) -> None:
    with pytest.raises(PointsFileError, match=r'p\.csv.*\.mrk\.json'):
        write_points(tmp_path / 'p.csv', POINTS)
    for name in ('p.mrk.json', 'p.fcsv'):
        with pytest.raises(PointsFileError, match="'IJK' is neither"):
            write_points(tmp_path / name, POINTS, frame='IJK')
    assert list(tmp_path.iterdir()) == []


def test_frame_of_brainsight_is_given(tmp_path: Path) -> None:
    with pytest.raises(PointsFileError, match=r'p\.txt: .* the codes in the header'):
        write_points(tmp_path / 'p.txt', POINTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['p.txt', 'p.mrk.json', 'p.fcsv'])
def test_no_negative_zero(tmp_path: Path, name: str) -> None:
    path = write_points(tmp_path / name, POINTS.reindex(['7']), 'RAS', SYSTEM)
    assert '-0.0' not in path.read_text()


def test_read_unknown_format(tmp_path: Path) -> None:
    (tmp_path / 'points.csv').touch()
    with pytest.raises(PointsFileError, match=r'points\.csv.*\.mrk\.json'):
        read_points(tmp_path / 'points.csv')
