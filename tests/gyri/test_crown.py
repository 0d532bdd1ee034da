from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation

from tmsprep.gyri.crown import CrownRule, crown_level, crown_point, height_depth, hull_depth

SHAPE = (60, 60, 40)
UPRIGHT = from_matvec(np.eye(3), [-29.5, -29.5, -9.5])
TURNED = from_matvec(
    Rotation.from_euler('xyz', [20, -15, 35], degrees=True).as_matrix(), [4.0, 7.0, -3.0]
)
COARSE = from_matvec(np.diag([2.0, 1.0, 1.5]), [-30.0, -30.0, -10.0])


def ridge(affine: np.ndarray, shape: tuple[int, ...], radius: float) -> np.ndarray:
    """Depth of mm below the surface of a ridge 12 mm wide with its top at z = 20, and x across.

    With a radius the ridge is bent: it runs on a circle about the z axis through (-radius, 0).
    """
    x, y, z = np.moveaxis(apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1)), -1, 0)
    across = np.hypot(x + radius, y) - radius if np.isfinite(radius) else x
    return np.minimum(6 - np.abs(across), 20 - z)


def phantom(
    affine: np.ndarray, shape: tuple[int, ...] = SHAPE, radius: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Grey matter 4 mm thick around the ridge, and the depth below the hull of the brain."""
    deep = ridge(affine, shape, radius)
    brain = deep > 0
    # The floor of the valleys, so that the hull closes over them.
    brain[..., : shape[2] // 3] = True
    return (deep > 0) & (deep < 4), hull_depth(brain, affine)


def test_straight_ridge() -> None:
    gyrus, depth = phantom(UPRIGHT)
    point = crown_point(gyrus, depth, UPRIGHT, np.array([0.0, 3.0, 19.0]))
    assert point[:2] == pytest.approx([0, 3], abs=0.1)
    # Inside the cap from 16 to 20 mm.
    assert 17 < point[2] < 19


@pytest.mark.parametrize('across', [-5.0, -2.0, 4.0])
def test_start_across(across: float) -> None:
    gyrus, depth = phantom(UPRIGHT)
    middle = crown_point(gyrus, depth, UPRIGHT, np.array([0.0, 3.0, 19.0]))
    point = crown_point(gyrus, depth, UPRIGHT, np.array([across, 3.0, 15.0]))
    assert point == pytest.approx(middle, abs=0.3)


def test_start_along() -> None:
    gyrus, depth = phantom(UPRIGHT)
    starts = np.array([[0.0, y, 19.0] for y in np.arange(-4, 4, 0.5)])
    points = np.array([crown_point(gyrus, depth, UPRIGHT, start) for start in starts])
    assert np.abs(points[:, 1] - starts[:, 1]).max() < 0.2


def test_bent_ridge() -> None:
    gyrus, depth = phantom(UPRIGHT, radius=30.0)
    angle = np.radians(20)
    start = np.array([33 * np.cos(angle) - 30, 33 * np.sin(angle), 18.0])
    point = crown_point(gyrus, depth, UPRIGHT, start)
    assert np.hypot(point[0] + 30, point[1]) == pytest.approx(30, abs=0.5)
    assert np.arctan2(point[1], point[0] + 30) == pytest.approx(angle, abs=np.radians(1))


def test_turned_head() -> None:
    gyrus, depth = phantom(UPRIGHT)
    start = np.array([2.0, 3.0, 17.0])
    upright = crown_point(gyrus, depth, UPRIGHT, start)
    turned = crown_point(gyrus, depth, TURNED @ UPRIGHT, apply_affine(TURNED, start))
    assert turned == pytest.approx(apply_affine(TURNED, upright), abs=0.4)


def test_anisotropic_voxels() -> None:
    gyrus, depth = phantom(COARSE, (31, 60, 30))
    point = crown_point(gyrus, depth, COARSE, np.array([2.0, 3.0, 17.0]))
    assert point[:2] == pytest.approx([0, 3], abs=0.5)
    assert 16.5 < point[2] < 19


def test_mirror() -> None:
    mirror = np.diag([-1.0, 1, 1, 1])
    gyrus, depth = phantom(TURNED @ UPRIGHT)
    start = np.array([1.0, 2.0, 17.0])
    point = crown_point(gyrus, depth, TURNED @ UPRIGHT, start)
    mirrored = crown_point(gyrus, depth, mirror @ TURNED @ UPRIGHT, start * [-1, 1, 1])
    assert np.isfinite(point).all()
    assert mirrored == pytest.approx(point * [-1, 1, 1], abs=1e-5)


def test_start_out_of_reach() -> None:
    gyrus, depth = phantom(UPRIGHT)
    near, far = np.array([0.0, 0, 24]), np.array([0.0, 0, 26])
    rule = CrownRule(reach=5.0)
    assert np.isfinite(crown_point(gyrus, depth, UPRIGHT, near, rule)).all()
    assert np.isnan(crown_point(gyrus, depth, UPRIGHT, far, rule)).all()


@pytest.mark.parametrize('start', [[0.0, 0, 19], [np.nan, np.nan, np.nan]])
def test_missing(start: list[float]) -> None:
    gyrus, depth = phantom(UPRIGHT)
    if np.isfinite(start).all():
        gyrus[:] = False
    assert np.isnan(crown_point(gyrus, depth, UPRIGHT, np.array(start))).all()


def test_hull_depth() -> None:
    # A block of 40 mm with a slit 4 mm wide and 20 mm deep, in voxels of 2, 1 and 1 mm.
    affine = np.diag([2.0, 1, 1, 1])
    brain = np.zeros((30, 50, 50), bool)
    brain[5:25, 5:45, 5:45] = True
    brain[14:16, 5:45, 25:] = False
    depth = hull_depth(brain, affine)
    # From the middle of the last voxel; the nearest face is that on top, where the slit is open.
    assert depth[12, 25, 44 - np.array([0, 5, 10])] == pytest.approx(
        [1 / 3, 16 / 3, 31 / 3], abs=0.4
    )
    assert depth[14, 25, 30] == pytest.approx(14.3, abs=1.1)
    assert depth[0, 0, 0] == 0
    assert not hull_depth(np.zeros((4, 4, 4), bool), affine).any()


def test_height_depth() -> None:
    affine = TURNED @ UPRIGHT
    outwards = np.array([0.0, -2.0, 1.0])
    depth = height_depth((5, 6, 7), affine, outwards)
    a, b = np.array([1, 2, 3]), np.array([4, 0, 6])
    moved = apply_affine(affine, a) - apply_affine(affine, b)
    expected = -moved @ outwards / np.sqrt(5)
    assert depth[tuple(a)] - depth[tuple(b)] == pytest.approx(expected, abs=1e-4)


def test_crown_level() -> None:
    places = np.zeros((10, 3))
    depths = np.arange(10.0)[::-1]
    assert crown_level(places, np.ones(10), depths, np.zeros(3), 5.0) == pytest.approx(0)
    half = np.where(depths < 5, 0.0, 1.0)
    assert crown_level(places, half, depths, np.zeros(3), 5.0) == pytest.approx(4.5)
