from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.imaging.similarity import affine_fit, similarity

SHIFT = np.array([1.0, 2.0, 3.0])
POINTS = np.random.default_rng(1).normal(size=(6, 3)) * 50


@given(
    st.tuples(*[st.floats(-90, 90)] * 3),
    st.floats(0.7, 1.4),
    st.tuples(*[st.floats(-60, 60)] * 3),
)
def test_recovery(angles: tuple, scale: float, shift: tuple) -> None:
    matrix = scale * Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    found = similarity(POINTS, POINTS @ matrix.T + shift)
    np.testing.assert_allclose(found[0], matrix, atol=1e-9)
    np.testing.assert_allclose(found[1], shift, atol=1e-9)


def test_no_reflection() -> None:
    matrix, _ = similarity(POINTS, POINTS * [-1, 1, 1])
    assert np.linalg.det(matrix) > 0


@pytest.mark.parametrize('points', [POINTS[:1], POINTS[:2], POINTS[:1] + np.eye(3)[:1] * 5])
def test_shift_alone(points: np.ndarray) -> None:
    matrix, shift = similarity(points, points + SHIFT)
    np.testing.assert_array_equal(matrix, np.eye(3))
    np.testing.assert_allclose(shift, SHIFT)


def test_points_on_a_line() -> None:
    line = np.arange(5.0)[:, None] * [1, 2, -1]
    matrix, shift = similarity(line, line[:, ::-1] + 4)
    np.testing.assert_array_equal(matrix, np.eye(3))
    np.testing.assert_allclose(shift, [0, 4, 8])


@given(st.lists(st.floats(-2, 2), min_size=9, max_size=9), st.tuples(*[st.floats(-60, 60)] * 3))
def test_affine_recovery(linear: list[float], shift: tuple) -> None:
    """Of any affine, mirrored or flat too."""
    matrix = np.reshape(linear, (3, 3))
    found = affine_fit(POINTS, POINTS @ matrix.T + shift)
    np.testing.assert_allclose(found[:3, :3], matrix, atol=1e-9)
    np.testing.assert_allclose(found[:3, 3], shift, atol=1e-9)
    assert found[3].tolist() == [0, 0, 0, 1]
