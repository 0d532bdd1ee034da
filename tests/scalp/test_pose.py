from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.scalp.pose import coil_pose, handle_direction

BACK = np.array([0.0, -1, 0])
HALF = np.sqrt(0.5)

units = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array)


@given(units, units, units, st.floats(0, 30))
def test_rotation_and_shift(
    entry: np.ndarray, normal: np.ndarray, handle: np.ndarray, distance: float
) -> None:
    size = np.linalg.norm(normal)
    assume(size > 0.1 and np.linalg.norm(np.cross(normal, handle)) > 0.01)
    pose = coil_pose(100 * entry, normal, handle, distance)
    turn, centre, outwards = pose[:3, :3], pose[:3, 3], normal / size
    np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn[:, 2], -outwards, atol=1e-12)
    assert turn[:, 1] @ outwards == pytest.approx(0, abs=1e-12)
    assert turn[:, 1] @ handle > 0
    assert (centre - 100 * entry) @ outwards == pytest.approx(distance, abs=1e-9)
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ('entry', 'normal', 'handle'),
    [
        ([np.nan] * 3, [0, 0, 1], [0, 1, 0]),
        ([0, 0, 90], [np.nan] * 3, [0, 1, 0]),
        ([0, 0, 90], [0, 0, 1], [np.nan] * 3),
        ([0, 0, 90], [0, 0, 1], [0, 0, -1]),
    ],
)
def test_no_pose(entry: list[float], normal: list[float], handle: list[float]) -> None:
    assert np.isnan(coil_pose(*map(np.array, (entry, normal, handle)))).all()


@pytest.mark.parametrize(
    ('degrees', 'side', 'expected'),
    [
        (0, -1, [0, -1, 0]),
        (45, -1, [-HALF, -HALF, 0]),
        (45, 1, [HALF, -HALF, 0]),
        (90, -1, [-1, 0, 0]),
        (180, 1, [0, 1, 0]),
        (45, 0, [HALF, -HALF, 0]),
    ],
)
def test_at_the_vertex(degrees: float, side: float, expected: list[float]) -> None:
    found = handle_direction(np.array([0.0, 0, 1]), BACK, degrees, side)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(units, st.floats(-180, 180), st.sampled_from([-1.0, 1.0]), units)
def test_angle_to_the_midline(
    normal: np.ndarray, degrees: float, side: float, turned: np.ndarray
) -> None:
    """The angle is exact in the plane of the coil, and turns with the head."""
    assume(np.linalg.norm(normal) > 0.1)
    normal = normal / np.linalg.norm(normal)
    assume(np.hypot(normal[0], normal[2]) > 0.2)
    handle = handle_direction(normal, BACK, degrees, side)
    assert handle @ normal == pytest.approx(0, abs=1e-12)
    along = handle_direction(normal, BACK, 0, side)
    # No other direction in the plane of the coil is nearer to backwards.
    assert along @ BACK == pytest.approx(np.hypot(normal[0], normal[2]))
    assert handle @ along == pytest.approx(np.cos(np.radians(degrees)))
    head = Rotation.from_rotvec(turned).as_matrix()
    moved = handle_direction(head @ normal, head @ BACK, degrees, side)
    np.testing.assert_allclose(moved, head @ handle, atol=1e-9)


def test_sides_mirror() -> None:
    normal = np.array([-0.6, 0.5, np.sqrt(1 - 0.36 - 0.25)])
    left = handle_direction(normal, BACK, 45, -1)
    right = handle_direction(normal * [-1, 1, 1], BACK, 45, 1)
    np.testing.assert_allclose(left, right * [-1, 1, 1])
    # Backwards, and away from the midline.
    assert left[0] < 0
    assert left[1] < 0


def test_not_clear_at_a_pole() -> None:
    assert np.isnan(handle_direction(np.array([0.0, 1, 0]), BACK, 45, -1)).all()
