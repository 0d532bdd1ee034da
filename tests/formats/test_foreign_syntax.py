"""Files as their readers take them: by code of others where it installs, else by its syntax.

Each test names the public source whose way of reading it follows; none uses a reader of ours.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from formats.marker_data import GOOD, MARKERS, POSE, SHAPE, WARNED, grid, header

from tmsprep.formats import brainsight, invesalius, localite, navinibs, nibs_bids, simnibs
from tmsprep.formats.slicer import write_fcsv, write_markups
from tmsprep.points import PointSet

X, Y, Z, CENTRE = POSE[:3, 0], POSE[:3, 1], POSE[:3, 2], POSE[:3, 3]


def test_slicer_fcsv_by_slicerio(tmp_path: Path) -> None:
    """slicerio (PyPI), read_markups_fcsv."""
    slicerio = pytest.importorskip('slicerio')
    points = PointSet.from_mapping({'LDLPFC': (-38.5, 44, 26), 'ROFC': (np.nan,) * 3})
    for frame, place in (('LPS', [38.5, -44, 26]), ('RAS', [-38.5, 44, 26])):
        path = write_fcsv(tmp_path / 'p.fcsv', points, frame)
        (markup,) = slicerio.read_markups_fcsv(str(path))['markups']
        assert markup['coordinateSystem'] == frame
        (point,) = markup['controlPoints']
        assert (point['label'], point['position']) == ('LDLPFC', place)


def test_slicer_markups(tmp_path: Path) -> None:
    """Slicer, Markups/Resources/Schema/markups-schema-v1.0.0.json and v1.0.3.json.

    Required entries, types and values that they list; a control point needs no position.
    """
    path = write_markups(tmp_path / 'a.mrk.json', MARKERS, name='sub-01', locked=True)
    content = json.loads(path.read_text())
    assert content['@schema'].endswith('markups-schema-v1.0.0.json#')
    (markup,) = content['markups']
    assert markup['type'] == 'Fiducial'
    assert markup['name'] == 'sub-01'
    assert markup['coordinateSystem'] == 'LPS'
    assert markup['coordinateUnits'] == 'mm'
    assert markup['locked'] is True
    for colour in (markup['display']['color'], markup['display']['selectedColor']):
        assert len(colour) == 3
        assert all(0 <= value <= 1 for value in colour)
    good, warned, missing = markup['controlPoints']
    assert good == {
        'id': '1',
        'label': 'LDLPFC',
        'description': 'left DLPFC; CNN; status ok; 90 % radius 5.2 mm',
        'position': [10.0, -20.0, 70.5],
        'selected': True,
        'positionStatus': 'defined',
    }
    assert warned['position'] == [-40.125, 20.0, 8.0]
    assert (warned['label'], warned['selected']) == ('RHESCHL (check: near_edge)', False)
    assert 'status near_edge' in warned['description']
    assert 'position' not in missing
    assert missing['positionStatus'] == 'undefined'
    assert missing['description'] == 'right orbitofrontal: no point. No point may be used'


def test_brainsight(tmp_path: Path) -> None:
    """pyNIBS, expio/brainsight.py, read_targets_brainsight, and SimNIBS, utils/nnav.py.

    Both read three axes as the columns of a matrix; SimNIBS then turns x and z.
    """
    path = brainsight.write_brainsight(tmp_path / 'a.txt', MARKERS, 'NIfTI:Q:Scanner')
    lines = path.read_text().splitlines()
    assert lines[:2] == ['# Version: 14', '# Coordinate system: NIfTI:Q:Scanner']
    start = next(i for i, line in enumerate(lines) if line.startswith('# Target'))
    good, warned = (line.split('\t') for line in lines[start + 1 :])
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(good[4:13], dtype=float).reshape(3, 3).T
    matrix[:3, 3] = np.array(good[1:4], dtype=float)
    simnibs_axes = matrix @ np.diag([-1, 1, -1, 1])
    np.testing.assert_allclose(simnibs_axes[:3, :3], POSE[:3, :3])
    np.testing.assert_allclose(matrix[:3, 3], GOOD.target)
    # Brainsight's z axis points out of the head.
    np.testing.assert_allclose(matrix[:3, 2], -Z)
    assert warned[0] == 'RHESCHL (check: near_edge)'
    older = brainsight.write_brainsight(tmp_path / 'b.txt', MARKERS, 'NIfTI:Scanner', 13)
    assert older.read_text().splitlines()[:2] == [
        '# Version: 13',
        '# Coordinate system: NIfTI:Scanner',
    ]


def test_brainsight_with_one_target(tmp_path: Path) -> None:
    """BabelBrain, GetBrainSightHeader: it takes the last line of a file with one target."""
    path = brainsight.write_brainsight(tmp_path / 'a.txt', [GOOD], 'NIfTI:Q:Scanner')
    assert path.read_text().splitlines()[-1].split('\t')[:4] == [
        'LDLPFC',
        '-10.0000',
        '20.0000',
        '70.5000',
    ]


def test_localite_instrument_marker(tmp_path: Path) -> None:
    """SimNIBS, utils/nnav.py, localite._parse_localite_xml, and pyNIBS, expio/localite.py."""
    path = tmp_path / f'InstrumentMarker{localite.TIMESTAMP}.xml'
    localite.write_instrument_markers(path, MARKERS, 'sub-01')
    root = ElementTree.parse(path).getroot()
    assert root.get('coordinateSpace') == 'RAS'
    (element,) = root.iter('InstrumentMarker')
    marker = element.find('Marker')
    assert marker is not None
    assert marker.get('description') == 'LDLPFC'
    matrix = marker.find('Matrix4D')
    assert matrix is not None
    values = [[float(matrix.attrib[f'data{i}{j}']) for j in range(4)] for i in range(4)]
    # Localite's x axis points into the head, its y axis against the handle.
    np.testing.assert_allclose(values, np.column_stack([[*Z, 0], [*-Y, 0], [*X, 0], [*CENTRE, 1]]))


def test_localite_entry_target(tmp_path: Path) -> None:
    """A session file of Localite TMS Navigator, EntryTarget<time>.xml: pairs of one index."""
    path = localite.write_entry_targets(tmp_path / 'EntryTarget0.xml', MARKERS)
    root = ElementTree.parse(path).getroot()
    assert (root.tag, root.get('coordinateSpace')) == ('EntryTargetList', 'RAS')
    places = {}
    for kind in ('Entry', 'Target'):
        (element,) = root.findall(kind)
        assert element.get('index') == '0'
        vector = element.find('Marker/ColVec3D')
        assert vector is not None
        places[kind] = [float(vector.attrib[f'data{i}']) for i in range(3)]
    assert places == {'Entry': [-10.0, 20.0, 90.0], 'Target': [-10.0, 20.0, 70.5]}


def test_localite_of_other_programs(tmp_path: Path) -> None:
    """A pair in LPS, as in the session file, and text that declares entities."""
    path = tmp_path / 'EntryTarget0.xml'
    localite.write_entry_targets(path, MARKERS)
    path.write_text(path.read_text().replace('"RAS"', '"LPS"'))
    (pair,) = localite.read_entry_targets(path)
    np.testing.assert_array_equal(pair.target, [10, -20, 70.5])
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><EntryTargetList coordinateSpace="RAS"/>')
    with pytest.raises(ValueError, match='declares entities'):
        localite.read_entry_targets(path)


def test_simnibs_positions(tmp_path: Path) -> None:
    """SimNIBS, utils/csv_reader.py, read_csv_positions."""
    path = simnibs.write_positions(tmp_path / 'a.csv', MARKERS)
    rows = list(csv.reader(path.open(newline='')))
    assert [row[0] for row in rows] == ['Generic', 'Generic', 'CoilPos']
    assert [float(n) for n in rows[0][1:4]] == [-10, 20, 70.5]
    assert [row[4] for row in rows[:2]] == ['LDLPFC', 'RHESCHL (check: near_edge)']
    place, z, y, distance = (
        [float(n) for n in rows[2][i:j]] for i, j in ((1, 4), (4, 7), (7, 10), (10, 11))
    )
    assert (place, z, y) == ([-10, 20, 94], [0, 0, -1], [0, -1, 0])
    assert distance == [4.0]
    assert rows[2][11] == 'LDLPFC'


def test_visor2(tmp_path: Path) -> None:
    """SimNIBS, utils/nnav.py, ant.read: it compares the image with the numbers of its header."""
    made = header(1, 1)
    forms = grid(1, 1).forms
    assert forms is not None
    path = simnibs.write_visor2(tmp_path / 'a.mrk', MARKERS, forms)
    content = json.loads(path.read_text())
    image = content['Configuration']['AssociatedImageInfo']
    expected = {
        'NIfTI_quatern': [float(made[f'quatern_{axis}']) for axis in 'bcd'],
        'NIfTI_qoffset': [float(made[f'qoffset_{axis}']) for axis in 'xyz'],
        'NIfTI_pixdim': np.asarray(made['pixdim'][:4], dtype=float).tolist(),
    }
    assert image == expected
    (target,) = content['TargetMarkers']
    coil = target['CoilTarget']
    assert coil['CoordinateSystem'] == 'ASSOCIATED_IMAGE'
    assert coil['PositionalUnit'] == 'mm'
    assert coil['CoilAxesConvention'] == 'simnibs'
    assert coil['Name'] == 'LDLPFC'
    np.testing.assert_allclose(coil['CoilPose']['RigidTransformMatrix4x4'], POSE)


def parse_value(value: str) -> Any:
    """Read a cell as InVesalius does (gui/task_navigator.py, ParseValue)."""
    words = {'None': None, 'True': True, 'False': False, '[]': []}
    value = value.strip()
    if value in words:
        return words[value]
    kind: Callable[[str], Any] = float if '.' in value or 'e' in value.lower() else int
    try:
        return kind(value)
    except ValueError:
        return value[1:-1] if value[0] == value[-1] == '"' else value


def test_invesalius(tmp_path: Path) -> None:
    """InVesalius, task_navigator.py, GetMarkersFromFile, and data/markers/marker.py, from_dict.

    The image has voxels of 1 x 2 x 3 mm and axes LAS; the first voxel is at (30, -40, -50).
    """
    affine = np.array([[-1.0, 0, 0, 30], [0, 2, 0, -40], [0, 0, 3, -50], [0, 0, 0, 1]])
    path = invesalius.write_mkss(tmp_path / 'a.mkss', MARKERS, affine, SHAPE)
    magic, names, *lines = path.read_text().splitlines()
    assert magic.startswith('##INVESALIUS3_MARKER_FILE_')
    assert int(magic.split('_')[-1]) in (0, 1, 2, 3, 4)
    columns = [parse_value(name) for name in names.split('\t')]
    rows = [dict(zip(columns, map(parse_value, line.split('\t')), strict=True)) for line in lines]
    needed = {'size', 'label', 'is_target', 'session_id', 'marker_type', 'r', 'g', 'b'}
    assert needed <= rows[0].keys()
    good, warned = rows
    assert [row['label'] for row in rows] == ['LDLPFC', 'RHESCHL (check: near_edge)']
    assert good['marker_type'] == 1
    assert (good['alpha'], good['is_target']) == (None, False)
    # Along x the image is turned to RAS: voxel 79 is at 30 - 79 = -49. Along y there are 72 voxels
    # of 2 mm, counted from the front; in voxels the point is at (-10 + 49, (20 + 40) / 2, ...).
    assert [good[axis] for axis in 'xyz'] == [39.0, 2 * 71 - 60.0, 70.5 + 50]
    assert [good[f'{axis}_world'] for axis in 'xyz'] == [-10.0, 20.0, 70.5]
    assert (warned['r'], warned['g']) != (good['r'], good['g'])


def test_navinibs(tmp_path: Path) -> None:
    """NaviNIBS, Model/Targets.py: keys of a target; -y along the handle, -z into the head."""
    path = navinibs.write_navinibs(tmp_path / 'a.json', MARKERS)
    good, warned = json.loads(path.read_text())
    assert set(good) == {'key', 'targetCoord', 'entryCoord', 'color', 'coilToMRITransf'}
    assert good['key'] == 'LDLPFC'
    assert good['targetCoord'] == [-10.0, 20.0, 70.5]
    assert good['entryCoord'] == [-10.0, 20.0, 90.0]
    coil = np.array(good['coilToMRITransf'])
    np.testing.assert_allclose(coil[:3, :3] @ [0, -1, 0], Y)
    np.testing.assert_allclose(coil[:3, :3] @ [0, 0, -1], Z)
    assert np.linalg.det(coil) == pytest.approx(1)
    np.testing.assert_allclose(coil[:3, 3], CENTRE)
    assert set(warned) == {'key', 'targetCoord', 'color'}
    assert warned['color'] != good['color']


def test_nibs_bids(tmp_path: Path) -> None:
    """github.com/nigelrogasch/nibs-bids, draft 6.3: columns of *_markers.tsv, axes as SimNIBS."""
    path = nibs_bids.write_markers(tmp_path / 'sub-01_task-plan_markers.tsv', MARKERS)
    with path.open(newline='') as file:
        good, warned, missing = csv.DictReader(file, delimiter='\t')
    assert next(iter(good)) == 'nibs_position_id'
    assert good['position_label'] == 'LDLPFC'
    for name, expected in (
        ('target', GOOD.target),
        ('element_centre', CENTRE),
        ('element_xdir', X),
        ('element_ydir', Y),
        ('element_zdir', Z),
    ):
        np.testing.assert_allclose([float(good[f'{name}_{axis}']) for axis in 'xyz'], expected)
    assert float(good['element_distance']) == 4
    assert warned['warning'] == WARNED.warning
    assert warned['element_centre_x'] == 'n/a'
    assert [missing[f'target_{axis}'] for axis in 'xyz'] == ['n/a'] * 3
    described = json.loads(path.with_suffix('.json').read_text())
    assert set(good) <= set(described)
    system = nibs_bids.coordinate_system('bids:raw:sub-01/anat/sub-01_T1w.nii.gz', 'sform')
    assert system['NIBSCoordinateSystem'] == 'IndividualMRI'
    assert system['NIBSCoordinateUnits'] == 'mm'
    assert system['IntendedFor'] == 'bids:raw:sub-01/anat/sub-01_T1w.nii.gz'
