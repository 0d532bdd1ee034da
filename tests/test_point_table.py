from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from gyri_data import TOP_MM, slabs

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import POINTS
from tmsprep.methods import register, unregister
from tmsprep.methods.base import Method, Request
from tmsprep.outcome import INPUTS, Outcome
from tmsprep.own_points import OwnPoints
from tmsprep.point_table import POINT_STATUSES, delete_points, write_point_table
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.template import TemplateMap, between

PROTOCOL = load_protocol('tms')
BIDS = Path('/data')
IMAGE = ImageRef.from_path(BIDS, BIDS / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz')
TEMPLATE = 'MNI152NLin2009aSym'
# A ball of white matter with a ribbon of grey matter from 40 to 44 mm, and fluid to 48 mm.
GRID = np.array([[1.0, 0, 0, -55], [0, 1, 0, -65], [0, 0, 1, -45], [0, 0, 0, 1]])
MIDDLE = (5.0, -5, 15)
# From the template to the image: larger, turned by 10 degrees about z, and moved to MIDDLE.
TURN = np.array([[0.985, -0.174, 0], [0.174, 0.985, 0], [0, 0, 1]])
TO_IMAGE = np.vstack([np.column_stack([1.1 * TURN, MIDDLE]), [0, 0, 0, 1]])
PROPERTIES: dict[str, Any] = {
    'shape': [120, 120, 120],
    'affine': GRID.tolist(),
    'sha256': 'abc',
}
SIDES = {'Right': (30.0, 0, 0), 'Left': (-30.0, 0, 0), 'Top': (0.0, 0, 39)}


class AffineMethod(Method):
    """Registers every image by the same affine."""

    name = 'affine'
    title = 'Affine'
    description = 'Known affine'
    space = TEMPLATE

    def locate(self, request: Request) -> Outcome:
        raise NotImplementedError

    def template_map(
        self, outcome: Outcome, image: ImageRef, layout: Layout, sha256: str
    ) -> TemplateMap | None:
        if outcome.points is None:
            return None
        there, back = np.linalg.inv(TO_IMAGE), TO_IMAGE
        return TemplateMap(
            'affine',
            self.space,
            'by a known affine',
            lambda points: nib.affines.apply_affine(there, points),
            lambda points: nib.affines.apply_affine(back, points),
        )


class Study:
    """One image that is registered by a known affine, and its outputs."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root / 'out', 'tms')
        self.conformed = root / 'conformed.nii.gz'
        radius = np.linalg.norm(
            nib.affines.apply_affine(GRID, np.moveaxis(np.indices((120,) * 3), 0, -1)) - MIDDLE,
            axis=-1,
        )
        image = np.select([radius <= 40, radius <= 44, radius <= 48], [100.0, 70.0, 25.0])
        nib.save(nib.Nifti1Image(image.astype(np.float32), GRID), self.conformed)
        mask = root / 'mask.nii.gz'
        nib.save(nib.Nifti1Image((radius <= 48).astype(np.uint8), GRID), mask)
        places = np.arange(33.0).reshape(11, 3)
        self.outcome = Outcome(
            'affine',
            PointSet(PROTOCOL.labels, places).transformed(TO_IMAGE),
            details={INPUTS: {'Image': 'abc'}},
            files={'mask': str(mask)},
        )

    @property
    def path(self) -> Path:
        return self.layout.table(IMAGE, POINTS)

    def write(
        self, own: OwnPoints | None, outcome: Outcome | None = None, **properties: Any
    ) -> pd.DataFrame:
        outcomes = {'affine': outcome or self.outcome}
        where = self.layout, IMAGE, PROTOCOL
        write_point_table(own, outcomes, *where, {**PROPERTIES, **properties}, self.conformed, 1)
        return self.read()

    def read(self) -> pd.DataFrame:
        return pd.read_csv(self.path, sep='\t', na_values=['n/a'], keep_default_na=False)

    def sidecar(self) -> dict[str, Any]:
        return json.loads(self.path.with_suffix('.json').read_text())


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    register('affine', f'{__name__}:AffineMethod')
    yield Study(tmp_path)
    unregister('affine')


def coordinates(table: pd.DataFrame, *columns: str) -> np.ndarray:
    return table[list(columns)].to_numpy(dtype=np.float64)


def test_carried_through_registration(study: Study) -> None:
    table = study.write(OwnPoints(SIDES, TEMPLATE))
    given = np.array(list(SIDES.values()))
    expected = nib.affines.apply_affine(TO_IMAGE, given)
    np.testing.assert_allclose(coordinates(table, *'xyz'), expected, atol=1e-4)
    np.testing.assert_allclose(coordinates(table, 'mni_x', 'mni_y', 'mni_z'), given, atol=1e-4)
    np.testing.assert_allclose(coordinates(table, 'given_x', 'given_y', 'given_z'), given)
    assert table['label'].tolist() == list(SIDES)
    assert table['hemisphere'].fillna('n/a').tolist() == ['R', 'L', 'n/a']
    assert set(table['status']) == {'ok'}
    assert table['snap_mm'].isna().all()
    sidecar = study.sidecar()
    assert set(table.columns) <= set(sidecar)
    assert sidecar['Localizer'] == 'affine'
    assert sidecar['MNI']['Space'] == TEMPLATE
    assert sidecar['ReferenceImage']['SHA256'] == 'abc'
    assert sidecar['status']['Levels'] == POINT_STATUSES


def test_gyri(study: Study, tmp_path: Path) -> None:
    """Places are told, but nobody has said where the points should lie."""
    # The brain of slabs, moved so that the point 'Top' is 4 mm below its crown.
    top = nib.affines.apply_affine(TO_IMAGE, SIDES['Top'])
    shift = tuple(np.subtract(top, (-31, 21, TOP_MM - 4)))
    path = slabs(shift).save(tmp_path / 'gyri.npz')
    outcome = replace(study.outcome, files={**study.outcome.files, 'gyri': str(path)})
    table = study.write(OwnPoints(SIDES, TEMPLATE), outcome).set_index('label')
    assert list(table.columns)[5:8] == ['status', 'gyrus', 'crown_depth_mm']
    assert table.loc['Top', 'gyrus'] == 'left precentral gyrus'
    assert table.loc['Top', 'crown_depth_mm'] == pytest.approx(4, abs=0.3)
    assert set(table['status']) == {'ok'}
    assert set(table.columns) <= set(study.sidecar())


def test_space_of_fsl(study: Study) -> None:
    """The affine between the templates comes first: x = 0 is at -0.68 mm there."""
    table = study.write(OwnPoints({'SMA': (0, -6, 38)}, 'MNI152NLin6Asym'))
    place = np.array([[-0.6762, -6.3602, 37.9910]])
    expected = nib.affines.apply_affine(TO_IMAGE, place)
    np.testing.assert_allclose(coordinates(table, *'xyz'), expected, atol=0.01)
    assert study.sidecar()['PointSpace']['Name'] == 'MNI152NLin6Asym'
    assert '1.2 mm on average' in study.sidecar()['PointSpace']['Accuracy']


def test_registration_to_another_template(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of another program: the columns are in the template of the protocol all the same."""
    monkeypatch.setattr(AffineMethod, 'space', 'MNI152NLin2009cAsym')
    table = study.write(OwnPoints(SIDES, 'MNI152NLin2009cAsym'))
    given = np.array(list(SIDES.values()))
    expected = nib.affines.apply_affine(TO_IMAGE, given)
    np.testing.assert_allclose(coordinates(table, *'xyz'), expected, atol=1e-3)
    there = between(given, 'MNI152NLin2009cAsym', TEMPLATE)
    np.testing.assert_allclose(coordinates(table, 'mni_x', 'mni_y', 'mni_z'), there, atol=1e-3)
    assert study.sidecar()['MNI']['Space'] == TEMPLATE
    assert 'then to MNI152NLin2009aSym (by an affine' in study.sidecar()['MNI']['Mapping']


def test_snapped(study: Study) -> None:
    """Right and left are 33 mm from the middle, 7 mm below grey matter; the top is inside it."""
    table = study.write(OwnPoints({**SIDES, 'Deep': (0.0, 0, 1)}, TEMPLATE, snap=True))
    depth = np.linalg.norm(coordinates(table, *'xyz') - MIDDLE, axis=1)
    assert ((depth[:2] > 40) & (depth[:2] < 43)).all()
    np.testing.assert_allclose(table['snap_mm'], [8, 8, 0, np.nan], atol=1.0)
    np.testing.assert_allclose(depth[2:], [42.9, 1.1], atol=0.05)
    assert table['status'].tolist() == ['ok', 'ok', 'ok', 'off_cortex']
    # The place in the template is that of the moved point.
    back = nib.affines.apply_affine(np.linalg.inv(TO_IMAGE), coordinates(table, *'xyz'))
    np.testing.assert_allclose(coordinates(table, 'mni_x', 'mni_y', 'mni_z'), back, atol=1e-3)
    assert study.sidecar()['SnapToCortex'] == {'LargestShift': 10.0, 'Units': 'mm'}


def test_statuses(study: Study) -> None:
    points = {'Out': (-56.0, 0, 0), 'Edge': (53.0, 0, 0), 'In': (0.0, 0, 0)}
    table = study.write(OwnPoints(points, TEMPLATE))
    assert table['status'].tolist() == ['outside_image', 'near_edge', 'ok']
    assert np.isnan(table['mni_x']).tolist() == [True, False, False]


@pytest.mark.parametrize('why', ['image', 'refused', 'nearest'])
def test_unreliable(study: Study, why: str) -> None:
    points = OwnPoints({'In': (0.0, 0, 0), 'Far': (29.0, 30, 31)}, TEMPLATE)
    doubts = ['noise'] if why == 'image' else []
    outcome = replace(
        study.outcome,
        refused=why == 'refused',
        # At (0, 1, 2) in the template; the last target is at (30, 31, 32).
        unreliable=[PROTOCOL.labels[0]] if why == 'nearest' else [],
    )
    table = study.write(points, outcome, doubts=doubts)
    bad = ['unreliable', 'ok' if why == 'nearest' else 'unreliable']
    assert table['status'].tolist() == bad


def test_failed_registration(study: Study) -> None:
    table = study.write(OwnPoints(SIDES, TEMPLATE), Outcome('affine', error={'message': 'no'}))
    assert set(table['status']) == {'failed'}
    assert np.isnan(coordinates(table, 'x', 'y', 'z', 'mni_x')).all()
    assert table['given_x'].tolist() == [30, -30, 0]


def test_other_points_replace_all(study: Study) -> None:
    study.write(OwnPoints(SIDES, TEMPLATE))
    figures = [study.layout.figure(IMAGE, name) for name in (*SIDES, 'LOFC', 'brain', 'mine')]
    figures[0].parent.mkdir(parents=True)
    for figure in figures:
        figure.touch()
    table = study.write(OwnPoints({'SMA': (0, -6, 38)}, TEMPLATE))
    assert table['label'].tolist() == ['SMA']
    assert [figure.exists() for figure in figures] == [False] * 3 + [True] * 3


def test_run_without_points_keeps_them(study: Study) -> None:
    before = study.write(OwnPoints(SIDES, TEMPLATE))
    pd.testing.assert_frame_equal(study.write(None), before)


@pytest.mark.parametrize('changed', ['image', 'registration'])
def test_outdated_points_are_deleted(
    study: Study, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    study.write(OwnPoints(SIDES, TEMPLATE))
    outcome, properties = study.outcome, dict(PROPERTIES)
    if changed == 'image':
        properties['sha256'] = 'other'
    else:
        details = {**study.outcome.details, INPUTS: {'Image': 'abc', 'RandomSeed': 2}}
        outcome = replace(study.outcome, details=details)
    where = study.layout, IMAGE, PROTOCOL
    with caplog.at_level(logging.WARNING):
        write_point_table(None, {'affine': outcome}, *where, properties, study.conformed, 1)
    assert not study.path.exists()
    assert not study.path.with_suffix('.json').exists()
    assert 'deleted' in caplog.text


def test_hostile_table_deletes_no_other_figure(study: Study) -> None:
    study.write(OwnPoints(SIDES, TEMPLATE))
    study.path.write_text('label\tx\ty\tz\nLOFC\t1\t2\t3\n../../x\t1\t2\t3\noverview\t1\t2\t3\n')
    figures = [study.layout.figure(IMAGE, name) for name in ('LOFC', 'overview')]
    figures[0].parent.mkdir(parents=True)
    for figure in figures:
        figure.touch()
    delete_points(study.layout, IMAGE, PROTOCOL)
    assert all(figure.exists() for figure in figures)
    assert not study.path.exists()


def test_foreign_table_is_left_alone(study: Study) -> None:
    study.path.parent.mkdir(parents=True)
    study.path.write_text('label\tx\ty\tz\n')
    delete_points(study.layout, IMAGE, PROTOCOL)
    assert study.path.exists()


def test_same_bytes(study: Study) -> None:
    own = OwnPoints(SIDES, TEMPLATE, snap=True)
    study.write(own)
    before = study.path.read_bytes(), study.path.with_suffix('.json').read_bytes()
    study.write(own)
    assert (study.path.read_bytes(), study.path.with_suffix('.json').read_bytes()) == before
