from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scalp_data import CENTRE, as_image, grid, spheres

from tmsprep.evaluation.head import MeanHead
from tmsprep.evaluation.shape import protocol_shape
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.scalp.checks import (
    MeanScalp,
    Signs,
    missing_reason,
    stripped_reason,
    unusual_reason,
)
from tmsprep.scalp.measure import BACKWARDS, Coil, head_backwards, measure_coil, needs_scalp
from tmsprep.scalp.outcomes import measure_scalp
from tmsprep.scalp.surface import HeadSurface, head_surface
from tmsprep.tables import COIL_COLUMNS

TMS = load_protocol('tms')
AFFINE, SHAPE = grid()
FIELD = {'shape': list(SHAPE), 'affine': AFFINE.tolist(), 'path': 'sub-01_T1w.nii.gz'}


@cache
def image(radius: float = 90.0) -> nib.Nifti1Image:
    return spheres(AFFINE, SHAPE, ((radius, 800.0), (radius - 6, 60.0), (radius - 15, 1000.0)))


@cache
def surface(radius: float = 90.0) -> HeadSurface:
    return head_surface(image(radius))


def points(depth: float = 20.0, radius: float = 90.0) -> PointSet:
    """All targets at one depth, in the directions in which they lie in MNI152."""
    shape = protocol_shape(TMS)
    assert shape is not None
    away = shape.coordinates - [0, -15, 10]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return PointSet(TMS.labels, CENTRE + (radius - depth) * away)


def rows(columns: dict[str, list[float | None]]) -> np.ndarray:
    return np.array([columns[name] for name in COIL_COLUMNS], dtype=np.float64).T


def test_columns_on_a_ball() -> None:
    found = measure_coil(points(), TMS, surface(), FIELD)
    assert (found.missing, found.unusual) == ({}, {})
    assert tuple(found.columns) == COIL_COLUMNS
    table = rows(found.columns)
    away = (points().coordinates - CENTRE) / 70
    np.testing.assert_allclose(table[:, :3], CENTRE + 90 * away, atol=0.3)
    np.testing.assert_allclose(table[:, 3], 20, atol=0.3)
    normal, handle = table[:, 4:7], table[:, 7:]
    assert ((normal * away).sum(axis=1) > np.cos(np.radians(0.5))).all()
    np.testing.assert_allclose(np.linalg.norm(handle, axis=1), 1)
    np.testing.assert_allclose((normal * handle).sum(axis=1), 0, atol=1e-12)
    sides = np.array([-1 if t.hemisphere == 'L' else 1 for t in TMS.targets])
    motor = np.array([t.handle == 45 for t in TMS.targets])
    # Backwards and away from the midline.
    assert (handle[motor, 1] < -0.3).all()
    assert (handle[motor, 0] * sides[motor] > 0.2).all()


def test_point_missing_or_outside() -> None:
    places = points().coordinates.copy()
    places[0], places[1] = np.nan, CENTRE - np.array([0, 94, 0])
    found = measure_coil(PointSet(TMS.labels, places), TMS, surface(), FIELD)
    assert found.missing == {
        TMS.labels[0]: 'no point',
        TMS.labels[1]: 'the point is not inside the head',
    }
    assert np.isnan(rows(found.columns)[:2]).all()
    assert np.isfinite(rows(found.columns)[2:]).all()


def test_cut_by_the_field_of_view() -> None:
    """The same head in a field of view that ends 70 mm above its middle."""
    cut = np.array(image().dataobj)
    top = round(CENTRE[2] + 70 - AFFINE[2, 3])
    cut[:, :, top:] = 0
    field = {**FIELD, 'shape': [*SHAPE[:2], top]}
    found = measure_coil(points(), TMS, head_surface(nib.Nifti1Image(cut, AFFINE)), field)
    legs = {'LLLIMBMC', 'RLLIMBMC'}
    assert legs <= set(found.missing)
    assert set(found.missing.values()) == {'the head ends here at the edge of the field of view'}
    assert 'LHESCHL' not in found.missing


def test_stripped() -> None:
    """A ball of the size of a brain has no scalp, however deep its targets are."""
    found = measure_coil(points(20, 70), TMS, surface(70.0), FIELD)
    assert set(found.missing) == set(TMS.labels)
    assert 'skull-stripped' in found.missing['LHESCHL']
    assert np.isnan(rows(found.columns)).all()


def test_unusual_depth() -> None:
    found = measure_coil(points(50), TMS, surface(), FIELD)
    assert set(found.unusual) == set(TMS.labels)
    assert found.unusual['LOFC'].startswith(('49.9 mm', '50.0 mm', '50.1 mm'))
    assert np.isfinite(rows(found.columns)).all()


@pytest.mark.parametrize(
    ('signs', 'reason'),
    [
        (Signs(20, 0, 30), ''),
        (Signs(20, np.nan, 30, np.nan, np.nan), ''),
        (Signs(20, 0, 30, 15, 0.6), ''),
        (Signs(20, -12, 30), 'the surface lies 12 mm inside'),
        (Signs(20, 0, 30, 51, 0.6), 'the surface is turned by 51 degrees'),
        (Signs(50, 0, 30, 51, 0.6), ''),
        (Signs(20, 0, 30, 15, 0.1), 'the surface is a plane'),
        (Signs(20, 0, 2), 'the head ends here'),
        (Signs(0.5, 0, 30), 'the point is not inside'),
    ],
)
def test_missing_reason(signs: Signs, reason: str) -> None:
    found = missing_reason(signs)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_other_reasons() -> None:
    assert unusual_reason(Signs(20, 5, 30)) == unusual_reason(Signs(20, np.nan, 30)) == ''
    assert unusual_reason(Signs(5, 0, 30)).startswith('5.0 mm from the scalp')
    assert 'outside of the scalp' in unusual_reason(Signs(30, 15, 30))
    assert unusual_reason(Signs(20, -8.5, 30)).startswith('the surface lies 8 mm inside')
    assert 'turned by 22 degrees' in unusual_reason(Signs(20, 0, 30, 22, 0.6))
    assert 'almost a plane' in unusual_reason(Signs(20, 0, 30, 10, 0.3))
    assert 'has an edge' in unusual_reason(Signs(20, 0, 30, 10, 3))
    assert 'other hemisphere' in unusual_reason(Signs(20, 5, 30), beside_cut=True)
    assert stripped_reason(3000, np.array([-3.0, 2])) == ''
    assert stripped_reason(3000, np.full(2, np.nan)) == ''
    assert stripped_reason(1500, np.array([0.0])) != ''
    assert stripped_reason(3000, np.array([-12.0, -15, 0])) != ''


def test_bend_of_a_ball_and_a_plane() -> None:
    """The heights of a cap over its disk are spread evenly, over 20**2 / (2 * 90) mm."""
    place = CENTRE + 90 * np.array([-0.6, 0.48, 0.64])
    assert surface().bend(place, 20.0) == pytest.approx(20**2 / 180 / np.sqrt(12), abs=0.08)
    solid = spheres(AFFINE, SHAPE, ((90.0, 800.0),))
    flat = head_surface(nib.Nifti1Image(without(solid, lambda x, y, z: z > 90), AFFINE))
    assert flat.bend(CENTRE + np.array([0, 0, 70]), 20.0) < 0.1


def without(whole: nib.Nifti1Image, cut: Callable[..., np.ndarray]) -> np.ndarray:
    """The intensities without the places, mm, for which `cut` holds."""
    data = np.array(whole.dataobj, dtype=np.float32)
    axes = np.ogrid[tuple(slice(n) for n in data.shape)]
    places = (whole.affine[i, i] * axes[i] + whole.affine[i, 3] for i in range(3))
    return np.where(cut(*places), 0, data)


@cache
def average() -> tuple[nib.Nifti1Image, MeanScalp]:
    head = MeanHead.load(TMS.file(TMS.head))
    return as_image(head), MeanScalp(head)


@cache
def entries_on_average(cut: Callable[..., np.ndarray] | None = None) -> Coil:
    whole, mean = average()
    data = np.asarray(whole.dataobj, np.float32) if cut is None else without(whole, cut)
    field = {'shape': list(whole.shape), 'affine': whole.affine.tolist()}
    points = PointSet(mean.head.labels, mean.head.landmarks).reindex(TMS.labels)
    return measure_coil(
        points, TMS, head_surface(nib.Nifti1Image(data, whole.affine)), field, mean_scalp=mean
    )


@pytest.mark.parametrize(
    'cut',
    [
        pytest.param(lambda x, y, z: y > 70 - 0.2 * z, id='forehead'),
        pytest.param(lambda x, y, z: y > 65 + 0.2 * z, id='forehead, backwards'),
        pytest.param(lambda x, y, z: 0.5 * x + 0.866 * y > 70, id='one side of the forehead'),
        pytest.param(lambda x, y, z: x < -66, id='ear'),
        pytest.param(lambda x, y, z: (y > 45) & (z < 15), id='box'),
        pytest.param(lambda x, y, z: (y > 60) & (z < 30), id='small box'),
    ],
)
def test_cut_is_not_taken_for_skin(cut: Callable[..., np.ndarray]) -> None:
    """No entry that a cut moves by 8 mm is given without a mark, and none is refused elsewhere."""
    whole, found = entries_on_average(), entries_on_average(cut)
    assert (whole.missing, whole.unusual) == ({}, {})
    moved = np.linalg.norm(rows(whole.columns)[:, :3] - rows(found.columns)[:, :3], axis=1)
    marked = found.missing.keys() | found.unusual.keys()
    assert marked
    for label, shift in zip(TMS.labels, moved, strict=True):
        assert label in marked or shift < 8
        assert label.endswith(('OFC', 'DLPFC', 'HESCHL', 'FACEMC')) or label not in marked


def test_offsets_from_the_mean_head() -> None:
    """Places at a known distance from the mean scalp, in a head that is moved and larger."""
    mean = MeanScalp(MeanHead.load(TMS.file(TMS.head)))
    top = mean._points[:, 2].argmax()
    there = mean._points[top] + np.outer([-12.0, 0, 5], mean._normals[top])
    entries = 1.1 * there + [5, 6, 7]
    moved = PointSet(mean.head.labels, 1.1 * mean.head.landmarks + [5, 6, 7])
    offsets = mean.offsets(np.vstack([entries, np.full(3, np.nan)]), moved)
    np.testing.assert_allclose(offsets, [-13.2, 0, 5.5, np.nan], atol=1)
    few = PointSet(('LOFC',), mean.head.landmarks[:1])
    assert np.isnan(mean.offsets(entries, few)).all()


def test_backwards_turns_with_the_head() -> None:
    shape = protocol_shape(TMS)
    assert shape is not None
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = PointSet(TMS.labels, shape.coordinates @ quarter.T)
    np.testing.assert_allclose(head_backwards(turned, TMS), [1, 0, 0], atol=1e-9)
    nothing = PointSet(TMS.labels, np.full((11, 3), np.nan))
    np.testing.assert_array_equal(head_backwards(nothing, TMS), BACKWARDS)


def test_protocols_for_a_coil() -> None:
    names = ('tms', 'afids', 'locus-coeruleus')
    assert [needs_scalp(load_protocol(name)) for name in names] == [True, False, False]


def outcomes(**changes: Any) -> dict[str, Outcome]:
    return {'cnn': Outcome('cnn', points(), {'match': [0.9] * 11}, **changes)}


def test_all_points_of_an_image(tmp_path: Path) -> None:
    conformed = tmp_path / 'conformed.nii'
    nib.save(image(), conformed)
    given = outcomes()
    scalp = measure_scalp(given, conformed, FIELD, replace(TMS, head=''))
    added = scalp.outcomes(given, TMS)['cnn']
    assert list(added.columns) == ['match', *COIL_COLUMNS]
    sidecar = added.details['Scalp']
    assert sidecar['CoordinateUnits'] == 'mm'
    assert 'not a recommendation' in sidecar['Description']
    assert sidecar['Handle']['LULIMBMC']['Degrees'] == 45
    assert 'not evidence-based' in sidecar['Handle']['LHESCHL']['Source']
    assert scalp.positions is None
    assert 'no positions of the 10-20 system' in sidecar['TenTwenty']


def test_no_surface(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a head, the points stay, and everybody is told."""
    conformed = tmp_path / 'conformed.nii'
    nib.save(nib.Nifti1Image(np.zeros((32, 32, 32), np.float32), np.eye(4)), conformed)
    given = outcomes()
    added = measure_scalp(given, conformed, FIELD, TMS).outcomes(given, TMS)['cnn']
    assert added.points is given['cnn'].points
    assert np.isnan(rows({name: added.columns[name] for name in COIL_COLUMNS})).all()
    reason = 'the surface of the head was not found: the image is empty or constant'
    assert set(added.details['Scalp']['Missing'].values()) == {reason}
    assert 'sub-01_T1w.nii.gz: no scalp entries' in caplog.text


def test_unusual_depth_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    conformed = tmp_path / 'conformed.nii'
    nib.save(image(), conformed)
    measure_scalp({'cnn': Outcome('cnn', points(50))}, conformed, FIELD, replace(TMS, head=''))
    assert 'sub-01_T1w.nii.gz: cnn, LOFC: ' in caplog.text
    assert 'mm from the scalp, 8 to 45 mm expected' in caplog.text


def test_doubtful_image(tmp_path: Path) -> None:
    conformed = tmp_path / 'conformed.nii'
    nib.save(image(), conformed)
    for given, field in (
        (outcomes(findings=['it is dark']), FIELD),
        (outcomes(refused=True), FIELD),
        (outcomes(), {**FIELD, 'doubts': ['slices in a wrong order']}),
    ):
        scalp = measure_scalp(given, conformed, field, TMS)
        assert scalp.positions is None
        assert 'no method has points that can be relied on' in scalp.why_not
