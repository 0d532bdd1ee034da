from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from formats.marker_data import GOOD, MARKERS, MISSING, WARNED, grid, oblique
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.formats import PointsFileError
from tmsprep.formats.left_out import LeftOut
from tmsprep.formats.markers import TOLERANCE_MM, Marker, largest_difference
from tmsprep.formats.navigators import Grid, NavigatorFile, plan_files

EVERY = {
    '3D Slicer',
    'Brainsight 2.5.3 and later',
    'Brainsight before 2.5.3',
    'Localite TMS Navigator',
    'SimNIBS',
    'ANT visor2',
    'InVesalius',
    'NaviNIBS',
}


def files(plan: list) -> list[NavigatorFile]:
    return [planned for planned in plan if isinstance(planned, NavigatorFile)]


def left_out(plan: list) -> dict[str, str]:
    return {p.what: p.reason for p in plan if isinstance(p, LeftOut)}


def frames(plan: list) -> dict[str, str]:
    return {file.system: file.frame for file in files(plan)}


def check(folder: Path, plan: list) -> None:
    for file in files(plan):
        path = file.write(folder / file.name)
        assert largest_difference(file.markers, file.read(path), file.holds) <= TOLERANCE_MM


def test_usual_header(tmp_path: Path) -> None:
    plan = plan_files(MARKERS, grid(1, 1))
    assert {file.system for file in files(plan)} == EVERY
    assert left_out(plan) == {
        'RHESCHL in Localite TMS Navigator, InstrumentMarker': 'no pose of the coil is known',
        'RHESCHL in Localite TMS Navigator, EntryTarget': 'no entry on the scalp is known',
        'RHESCHL in ANT visor2': 'no pose of the coil is known',
    }
    found = frames(plan)
    assert found['Brainsight 2.5.3 and later'] == 'NIfTI:Q:Scanner'
    assert found['Brainsight before 2.5.3'] == 'NIfTI:Scanner'
    check(tmp_path, plan)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.*')}
    assert written == {
        'sub-01_protocol-x_slicer.mrk.json',
        'sub-01_protocol-x_brainsight-v13.txt',
        'sub-01_protocol-x_brainsight-v14.txt',
        *(
            f'brainsight-v{version}/sub-01_protocol-x_{label}.txt'
            for version in (13, 14)
            for label in ('LDLPFC', 'RHESCHL')
        ),
        'localite/InstrumentMarker20000101000000000.xml',
        'localite/EntryTarget20000101000000000.xml',
        'sub-01_protocol-x_simnibs.csv',
        'sub-01_protocol-x_visor2.mrk',
        'sub-01_protocol-x_invesalius.mkss',
        'sub-01_protocol-x_navinibs.json',
    }


def test_no_qform() -> None:
    plan = plan_files(MARKERS, grid(0, 2))
    assert {file.system for file in files(plan)} == EVERY - {'ANT visor2'}
    assert frames(plan)['Brainsight 2.5.3 and later'] == 'NIfTI:S:Aligned'
    assert frames(plan)['Brainsight before 2.5.3'] == 'NIfTI:Aligned'
    reasons = {system: why for system, why in left_out(plan).items() if ' in ' not in system}
    assert set(reasons) == {'ANT visor2', 'Readers of Brainsight text that want NIfTI:Q'}
    assert all('qform_code is 0' in reason for reason in reasons.values())


def test_no_sform() -> None:
    plan = plan_files(MARKERS, grid(1, 0))
    assert {file.system for file in files(plan)} == EVERY
    assert frames(plan)['Brainsight 2.5.3 and later'] == 'NIfTI:Q:Scanner'


@pytest.mark.parametrize(
    ('codes', 'v13'), [((1, 1), None), ((1, 2), 'NIfTI:Aligned'), ((1, 4), 'NIfTI:MNI-152')]
)
def test_forms_that_differ(codes: tuple[int, int], v13: str | None) -> None:
    """By the sform half a millimetre to the right, which the reader of images lets pass."""
    plan = plan_files(MARKERS, grid(*codes, sform=oblique(shift=0.5)))
    found = frames(plan)
    assert found['Brainsight 2.5.3 and later'].startswith('NIfTI:S:')
    assert found.get('Brainsight before 2.5.3') == v13
    either = {'3D Slicer', 'Localite TMS Navigator', 'SimNIBS', 'ANT visor2'}
    assert not either & set(found)
    reasons = left_out(plan)
    assert '0.50 mm apart' in reasons['3D Slicer']
    assert 'fslorient' in reasons['SimNIBS']


def test_unknown_header(tmp_path: Path) -> None:
    """Outputs of an early version without the image."""
    known = grid(1, 1)
    plan = plan_files(MARKERS, Grid(known.name, known.shape, known.affine, None))
    assert set(frames(plan)) == {'3D Slicer', 'InVesalius', 'NaviNIBS'}
    assert 'codes' in left_out(plan)['SimNIBS']
    check(tmp_path, plan)


def test_no_pose(tmp_path: Path) -> None:
    plan = plan_files([WARNED, MISSING], grid(1, 1))
    assert set(left_out(plan)) == {
        'Localite TMS Navigator, InstrumentMarker',
        'Localite TMS Navigator, EntryTarget',
        'ANT visor2',
    }
    check(tmp_path, plan)
    text = (tmp_path / 'sub-01_protocol-x_brainsight-v14.txt').read_text()
    neutral = '-1.0000\t0.0000\t0.0000\t0.0000\t-1.0000\t0.0000\t0.0000\t0.0000\t1.0000'
    assert (
        text.splitlines()[-1]
        == f'RHESCHL (check: near_edge)\t40.1250\t-20.0000\t8.0000\t{neutral}'
    )


def test_no_point(tmp_path: Path) -> None:
    plan = plan_files([MISSING], grid(1, 1))
    assert {file.system for file in files(plan)} == {'3D Slicer'}
    assert 'no point' in left_out(plan)['InVesalius']
    check(tmp_path, plan)
    assert 'position"' not in (tmp_path / 'sub-01_protocol-x_slicer.mrk.json').read_text()


def test_names_that_are_no_file_names(tmp_path: Path) -> None:
    outside = replace(GOOD, label='../../LDLPFC')
    plan = plan_files([outside], grid(1, 1))
    assert all('..' not in file.name for file in files(plan))
    check(tmp_path / 'a' / 'b', plan)


@pytest.mark.parametrize('marker', MARKERS, ids=lambda marker: marker.label)
def test_warnings_and_missing_points_in_every_file(tmp_path: Path, marker: Marker) -> None:
    """A warning is in every file that has the point; a missing point is in none as numbers."""
    for file in files(plan_files(MARKERS, grid(1, 1))):
        text = file.write(tmp_path / file.name).read_text()
        if marker is WARNED and any(m.warning for m in file.markers):
            assert 'RHESCHL (check: near_edge)' in text, file.name
        if marker is MISSING and file.system != '3D Slicer':
            assert 'ROFC' not in text, file.name


COORDINATES = st.tuples(*[st.floats(-150, 150, allow_nan=False)] * 3).map(np.array)
AXES = st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(random_state=seed).as_matrix())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    targets=st.lists(st.tuples(COORDINATES, COORDINATES, AXES), min_size=1, max_size=3),
    codes=st.sampled_from([(1, 1), (2, 2), (0, 1), (1, 0), (1, 2), (4, 4)]),
    left_handed=st.booleans(),
)
def test_every_file_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    targets: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    codes: tuple[int, int],
    left_handed: bool,
) -> None:
    markers = []
    for number, (target, entry, axes) in enumerate(targets):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = axes, entry
        markers.append(Marker(f'T{number}', target, 'a target', entry, pose, 'ok', 4.0))
    plan = plan_files(markers, grid(*codes, oblique(left_handed)))
    check(tmp_path_factory.mktemp('nav'), plan)


def test_difference_is_found() -> None:
    moved = replace(GOOD, target=np.add(GOOD.target, [0, 0, 0.002]))
    assert largest_difference([GOOD], [moved], ['target']) == pytest.approx(0.002)
    assert largest_difference([GOOD], [moved], ['entry', 'pose']) == 0
    assert largest_difference([GOOD], [replace(GOOD, pose=None)], ['axes']) == np.inf
    assert largest_difference([GOOD], [replace(GOOD, entry=MISSING.entry)], ['entry']) == np.inf
    with pytest.raises(PointsFileError, match='holds the targets ROFC, not LDLPFC'):
        largest_difference([GOOD], [MISSING], ['target'])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What other hands made of a file is read, or refused by its name."""
    folder = tmp_path_factory.mktemp('nav')
    file = data.draw(st.sampled_from(files(plan_files(MARKERS, grid(1, 1)))))
    text = file.write(folder / file.name).read_text()
    start = data.draw(st.integers(0, len(text)))
    rest = text[start + data.draw(st.integers(0, 40)) :]
    put = data.draw(
        st.sampled_from(['', '"', '[', '{}', '<', 'nan', '\t', ',', '\n', 'null', '1'])
    )
    (folder / file.name).write_text(text[:start] + put + rest)
    try:
        file.read(folder / file.name)
    except PointsFileError as error:
        assert file.name.rpartition('/')[2] in str(error)  # noqa: PT017
