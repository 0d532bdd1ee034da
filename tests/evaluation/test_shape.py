from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.shape import fit_shape, protocol_shape
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, Target, load_protocol

TMS = load_protocol('tms')


def shape() -> PointSet:
    found = protocol_shape(TMS)
    assert found is not None
    return found


def moved(matrix: np.ndarray, labels: tuple[str, ...] = TMS.labels) -> PointSet:
    """The shape moved by a matrix (3, 3) and by (5, -20, 12) mm."""
    points = shape().reindex(labels)
    return PointSet(labels, points.coordinates @ np.asarray(matrix).T + [5, -20, 12])


@settings(max_examples=30)
@given(size=st.floats(0.5, 3), turn=st.floats(0, 179), axis=st.sampled_from('xyz'))
def test_similarity_fits(size: float, turn: float, axis: str) -> None:
    fit = fit_shape(
        moved(size * Rotation.from_euler(axis, turn, degrees=True).as_matrix()), shape()
    )
    assert fit.used.all()
    assert not fit.mirrored
    assert (fit.size, fit.turn_degrees) == pytest.approx((size, turn), abs=1e-3)
    assert fit.misfit == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    'matrix',
    [
        np.diag([-1, 1, 1]),
        np.diag([1, -1, 1]),
        np.diag([1, 1, -1]),
        np.diag([-1, -1, -1]),
        np.eye(3)[[0, 2, 1]],
        np.eye(3)[[1, 0, 2]],
        np.eye(3)[[2, 1, 0]],
    ],
)
def test_reflections_are_mirrored(matrix: np.ndarray) -> None:
    assert fit_shape(moved(matrix), shape()).mirrored


@pytest.mark.parametrize(
    ('matrix', 'degrees'),
    [
        (np.diag([-1, -1, 1]), 180),
        (np.diag([1, -1, -1]), 180),
        (np.eye(3)[[1, 2, 0]], 120),
        (np.eye(3)[[0, 2, 1]] * [1, 1, -1], 90),
    ],
)
def test_exchanged_axes_turn(matrix: np.ndarray, degrees: float) -> None:
    fit = fit_shape(moved(matrix), shape())
    assert not fit.mirrored
    assert fit.turn_degrees == pytest.approx(degrees, abs=1e-4)


def test_slip() -> None:
    coordinates = moved(np.eye(3)).coordinates.copy()
    coordinates[3, 1] += 100
    fit = fit_shape(PointSet(TMS.labels, coordinates), shape())
    assert np.flatnonzero(~fit.used).tolist() == [3]
    assert fit.residuals_mm == pytest.approx([0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0], abs=1e-4)
    assert (fit.size, fit.turn_degrees, fit.misfit) == pytest.approx((1, 0, 0), abs=1e-3)


def test_exchanged_names_misfit() -> None:
    rolled = PointSet(TMS.labels, np.roll(moved(np.eye(3)).coordinates, 3, axis=0))
    assert fit_shape(rolled, shape()).misfit > 0.6


def test_one_place() -> None:
    fit = fit_shape(PointSet(TMS.labels, np.ones((11, 3))), shape())
    assert (fit.size, fit.misfit, fit.mirrored) == (0, 1, False)
    assert np.isnan(fit.turn_degrees)


@pytest.mark.parametrize('number', [0, 1, 2])
def test_few_points(number: int) -> None:
    labels = ('LOFC', 'RULIMBMC')[:number]
    fit = fit_shape(moved(2 * np.eye(3), labels), shape())
    assert fit.size == pytest.approx(2) if number == 2 else np.isnan(fit.size)
    assert np.isnan([fit.turn_degrees, fit.misfit, *fit.residuals_mm]).all()
    assert not fit.mirrored


def test_points_on_a_line() -> None:
    fit = fit_shape(moved(np.eye(3), ('LLLIMBMC', 'RLLIMBMC', 'LULIMBMC')), shape())
    assert np.isnan(fit.turn_degrees)


def test_missing_points() -> None:
    labels = tuple(label for label in TMS.labels if label not in ('LHESCHL', 'LOFC'))
    points = moved(0.5 * np.eye(3), labels).reindex(TMS.labels)
    fit = fit_shape(points, shape())
    assert fit.used.sum() == 9
    assert np.isnan(fit.residuals_mm).sum() == 2
    assert fit.size == pytest.approx(0.5)


def _with_points(folder: Path, table: str) -> Protocol:
    (folder / 'points.tsv').write_text(table)
    target = Target('A', 'n/a', 'somewhere', 'test')
    atlas = {'image': 'MNI152NLin2009aSym', 'points': 'points.tsv'}
    return Protocol('own', 'Own', 'nobody', (target,), atlas=atlas, folder=folder)


@pytest.mark.parametrize('place', ['-600\t0\t0', '0\t0\t121', '1e6\t0\t0'])
def test_atlas_point_far_away(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValueError, match=r'points\.tsv: A outside the head'):
        protocol_shape(_with_points(tmp_path, f'label\tx\ty\tz\nA\t{place}\n'))


def test_protocol_without_atlas() -> None:
    assert protocol_shape(load_protocol('locus-coeruleus')) is None
