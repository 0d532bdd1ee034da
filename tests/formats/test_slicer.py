from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tmsprep.formats import PointsFileError, read_points
from tmsprep.points import PointSet

RAS = PointSet.from_mapping({'LOFC': (-10.5, 20, 30), 'odd, name': (1, -2, 3)})


def point(label: str, position: list[float], **more: str) -> dict:
    return {'label': label, 'position': position, **more}


def markups(path: Path, frame: str | None, *points: dict, kind: str = 'Fiducial') -> Path:
    markup = {'type': kind, 'coordinateSystem': frame, 'controlPoints': list(points)}
    path.write_text(json.dumps({'markups': [markup]}))
    return path


def fcsv(path: Path, frame: str | None, *rows: str) -> Path:
    lines = ['# Markups fiducial file version = 4.10']
    lines += [] if frame is None else [f'# CoordinateSystem = {frame}']
    lines += ['# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID', *rows]
    path.write_text('\n'.join(lines) + '\n')
    return path


@pytest.mark.parametrize(
    ('frame', 'sign'), [('RAS', 1), ('LPS', -1), ('0', 1), ('1', -1), ('lps', -1)]
)
def test_markups_by_hand(tmp_path: Path, frame: str, sign: int) -> None:
    path = markups(
        tmp_path / 'p.mrk.json',
        frame,
        point('LOFC', [sign * -10.5, sign * 20, 30], positionStatus='defined'),
        point('odd, name', [sign * 1, sign * -2, 3]),
    )
    assert read_points(path) == RAS


@pytest.mark.parametrize(
    ('frame', 'sign'), [('RAS', 1), ('LPS', -1), ('0', 1), ('1', -1), (' lps ', -1)]
)
def test_fcsv_by_hand(tmp_path: Path, frame: str, sign: int) -> None:
    path = fcsv(
        tmp_path / 'P.FCSV',
        frame,
        f'vtkMRMLMarkupsFiducialNode_0,{sign * -10.5},{sign * 20},30,0,0,0,1,1,1,0,LOFC,,',
        f'vtkMRMLMarkupsFiducialNode_1,{sign * 1},{sign * -2},3,0,0,0,1,1,1,0,"odd, name",,',
    )
    assert read_points(path) == RAS


def test_undefined_points(tmp_path: Path) -> None:
    path = markups(
        tmp_path / 'p.mrk.json',
        'LPS',
        point('A', [0, 0, 0], positionStatus='undefined'),
        point('B', [0, 0, 0], positionStatus='preview'),
        point('C', [-1, -2, 3]),
    )
    points = read_points(path)
    assert points.found.tolist() == [False, False, True]
    np.testing.assert_array_equal(points['C'], [1, 2, 3])


@pytest.mark.parametrize('frame', [None, '', 'IJK', '2'])
def test_missing_frame(tmp_path: Path, frame: str | None) -> None:
    one = markups(tmp_path / 'mine.mrk.json', frame, point('A', [1, 2, 3]))
    with pytest.raises(PointsFileError, match=r'mine\.mrk\.json.*neither RAS nor LPS'):
        read_points(one)
    other = fcsv(tmp_path / 'mine.fcsv', frame, 'id,1,2,3,0,0,0,1,1,1,0,A,,')
    with pytest.raises(PointsFileError, match=r'mine\.fcsv.*neither RAS nor LPS'):
        read_points(other)


LIST = '{"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [%s]}]}'


@pytest.mark.parametrize(
    'text',
    [
        'not json',
        '{}',
        '[]',
        '{"markups": []}',
        '{"markups": [{"type": "Line", "coordinateSystem": "LPS", "controlPoints": []}]}',
        '{"markups": [{"type": "Fiducial", "coordinateSystem": "LPS"}]}',
        LIST % '{"position": [1, 2, 3]}',
        LIST % '{"label": "A", "position": null}',
        LIST % '{"label": "A", "position": ["x", "y", "z"]}',
        LIST % '{"label": "A", "position": [1, 2]}',
        LIST % '{"label": "A", "position": [1, 2, NaN]}',
        LIST % '{"label": "A", "position": [1, 2, null]}',
        LIST % '{"label": "A", "position": [1, 2, true]}',
        LIST % '{"label": "A", "position": [1, 2, "3,5"]}',
        LIST % '{"label": "A", "position": [1, 2, 1e7]}',
        LIST % f'{{"label": "A", "position": [1, 2, {10**400}]}}',
        LIST % '{"label": "A", "position": [1, 2, 3], "position": [4, 5, 6]}',
        LIST % '{"label": "A", "position": [1, 2, 3], "positionStatus": "skipped"}',
        LIST % '{"label": 1, "position": [1, 2, 3]}',
        LIST % '{"label": "A\\u0000", "position": [1, 2, 3]}',
        LIST.replace('LPS', 'RAS", "coordinateSystem": "LPS') % '',
        '{"markups": ' + '[' * 100_000,
    ],
)
def test_wrong_markups_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'mine.mrk.json'
    path.write_text(text)
    with pytest.raises(PointsFileError, match=r'mine\.mrk\.json'):
        read_points(path)


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('id,1,2', 'point'),
        ('id,1,two,3,0,0,0,1,1,1,0,A,,', "'A'"),
        ('id,1,nan,3,0,0,0,1,1,1,0,A,,', "'A'"),
        ('id,1,2,3,0,0,0,1,1,1,0,A,,\nid,4,5,6,0,0,0,1,1,1,0,A,,', "'A' appears twice"),
    ],
)
def test_wrong_fcsv_row(tmp_path: Path, row: str, message: str) -> None:
    path = fcsv(tmp_path / 'mine.fcsv', 'RAS', row)
    with pytest.raises(PointsFileError, match=r'mine\.fcsv') as raised:
        read_points(path)
    assert message in str(raised.value)


def test_markups_point_twice(tmp_path: Path) -> None:
    path = markups(tmp_path / 'p.mrk.json', 'RAS', point('A', [1, 2, 3]), point('A', [4, 5, 6]))
    with pytest.raises(PointsFileError, match="'A' appears twice"):
        read_points(path)


@pytest.mark.parametrize(
    'row',
    [
        'id,1,5,2,0,3,0,0,0,0,1,1,1,0,A,,',  # decimal commas
        'id,1,2,3,0,0,0,1,1,1,0,odd, name,,',  # a comma without quotes
        'id,1,2,3,0,0,0,1,1,1,0,"A,,\nid,1,2,3,0,0,0,1,1,1,0,B,,',  # a lone quotation mark
    ],
)
def test_shifted_fcsv_values(tmp_path: Path, row: str) -> None:
    path = fcsv(tmp_path / 'mine.fcsv', 'RAS', row)
    with pytest.raises(PointsFileError, match=r'mine\.fcsv: point '):
        read_points(path)


def test_fcsv_of_slicer_5(tmp_path: Path) -> None:
    path = fcsv(
        tmp_path / 'p.fcsv',
        'LPS',
        '1,-1,-2,3,0,0,0,1,1,1,0,A,a note,,2,0',
        '2,0,0,0,0,0,0,1,1,1,0,B,,,0,0',
        '3,-4,-5,6,0,0,0,1,1,1,0,C,,vtkMRMLScalarVolumeNode1,2,1',
        '4,7,7,7,0,0,0,1,1,1,0,D,,,1,0',
        '5,8,8,8,0,0,0,1,1,1,0,E,,,3,0',
    )
    points = read_points(path)
    assert points.labels == tuple('ABCDE')
    assert points.found.tolist() == [True, False, True, False, False]
    np.testing.assert_array_equal(points.coordinates[[0, 2]], [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ('before', 'after', 'message'),
    [
        (
            'CoordinateSystem = RAS',
            'CoordinateSystem = RAS\n# CoordinateSystem = LPS',
            'two values',
        ),
        ('id,x,y,z', 'id,x,y,z,x', 'stands twice'),
        (',1,1,0,A,,', ',1,1,0,A,,,2', 'more values'),
        (',1,1,0,A,,', ',1,1,0,A,,,4,0', 'more values'),
        (',1,1,0,A,,', ',1,1,0,A,,,2,0,', 'more values'),
        ('id,1,2,3,', 'id,1,2,', 'fewer values'),
        ('id,1,2,3,0', 'id,1,2,3', 'fewer values'),
        ('0,0,0,1,1,1', '0,1,0,0,5,1', 'under their columns'),
        ('id,1,2,3,', 'id,1,2,true,', 'not a number'),
    ],
)
def test_wrong_fcsv(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = fcsv(tmp_path / 'mine.fcsv', 'RAS', 'id,1,2,3,0,0,0,1,1,1,0,A,,')
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(PointsFileError, match=r'mine\.fcsv') as raised:
        read_points(path)
    assert message in str(raised.value)


def test_point_without_name(tmp_path: Path) -> None:
    one = fcsv(tmp_path / 'mine.fcsv', 'RAS', 'id,1,2,3,0,0,0,1,1,1,0,,,')
    other = markups(tmp_path / 'mine.mrk.json', 'RAS', point(' ', [1, 2, 3]))
    for path in (one, other):
        with pytest.raises(PointsFileError, match=r'mine.*no name'):
            read_points(path)


def test_several_markups_lists(tmp_path: Path) -> None:
    lists = [
        {'type': 'Fiducial', 'coordinateSystem': 'RAS', 'controlPoints': [point('A', [1, 2, 3])]},
        {'type': 'Line', 'coordinateSystem': 'RAS', 'controlPoints': [point('C', [1, 2, 3])]},
        {'type': 'Fiducial', 'coordinateSystem': 'LPS', 'controlPoints': [point('B', [1, 2, 3])]},
    ]
    path = tmp_path / 'p.mrk.json'
    path.write_text(json.dumps({'markups': lists}), encoding='utf-8-sig')
    assert read_points(path) == PointSet.from_mapping({'A': (1, 2, 3), 'B': (-1, -2, 3)})


def test_other_units(tmp_path: Path) -> None:
    path = markups(tmp_path / 'mine.mrk.json', 'RAS', point('A', [1, 2, 3]))
    path.write_text(path.read_text().replace('"type"', '"coordinateUnits": "m", "type"'))
    with pytest.raises(PointsFileError, match=r"mine\.mrk\.json: coordinates in 'm'"):
        read_points(path)
