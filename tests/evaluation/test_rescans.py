from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.rescans import rigid_residuals
from tmsprep.points import PointSet

LABELS = tuple('abcdefghijk')
POINTS = np.random.default_rng(2).normal(size=(11, 3)) * 40


@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.floats(-200, 200)] * 3))
def test_moved_head(angles: tuple, shift: tuple) -> None:
    turned = POINTS @ Rotation.from_euler('xyz', angles, degrees=True).as_matrix().T + shift
    residuals = rigid_residuals(PointSet(LABELS, POINTS), PointSet(LABELS, turned))
    np.testing.assert_allclose(residuals, 0, atol=1e-9)


def test_scale_stays_a_distance() -> None:
    # The corners of a cube of 20 mm edges, and of 22 mm: each is sqrt(3) mm nearer to the centre.
    corners = np.array(np.meshgrid(*[[-10.0, 10.0]] * 3)).reshape(3, -1).T
    labels = tuple('abcdefgh')
    residuals = rigid_residuals(PointSet(labels, corners), PointSet(labels, corners * 1.1 + 7))
    np.testing.assert_allclose(residuals, np.sqrt(3), atol=1e-9)


def test_part_that_the_fit_takes_up() -> None:
    rng = np.random.default_rng(3)
    kept = []
    for _ in range(300):
        noise = rng.normal(size=(11, 3))
        found = rigid_residuals(PointSet(LABELS, POINTS), PointSet(LABELS, POINTS + noise))
        kept.append(np.square(found).sum() / np.square(noise).sum())
    np.testing.assert_allclose(np.sqrt(np.mean(kept)), 0.90, atol=0.015)


def test_missing_points() -> None:
    gap = POINTS.copy()
    gap[2] = np.nan
    moved = PointSet(LABELS[::-1], gap[::-1] + np.array([5, 0, 0]))
    residuals = rigid_residuals(PointSet(LABELS, POINTS), moved)
    assert np.flatnonzero(np.isnan(residuals)).tolist() == [2]
    np.testing.assert_allclose(np.delete(residuals, 2), 0, atol=1e-9)


def test_too_few() -> None:
    some = PointSet(LABELS[:3], POINTS[:3])
    assert np.isnan(rigid_residuals(PointSet(LABELS, POINTS), some)).all()
