from __future__ import annotations

import numpy as np
import pytest
from gyri_data import slabs
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from tmsprep.gyri.frame import SHAPE, SIDES, grid_affine, grid_points
from tmsprep.gyri.labels import CLASSES, NAMES
from tmsprep.gyri.probabilities import Parcellation
from tmsprep.gyri.settle import REACH_MM, settle

HAND = ('L', 'precentral gyrus')


def ribbon(width_mm: float, top: float = 1.0, turn: np.ndarray | None = None) -> Parcellation:
    """Precentral gyri whose probability is a Gaussian of the height over z = 40 mm."""
    shares = {}
    for side in SIDES:
        shares[side] = np.zeros((len(CLASSES), *SHAPE), np.float32)
        height = grid_points(grid_affine(side))[..., 2] - 40
        share = top * np.exp(-np.square(height) / (2 * width_mm**2))
        shares[side][NAMES.index(HAND[1])] = share
    frame = np.eye(4) if turn is None else turn
    return Parcellation(shares, {side: frame @ grid_affine(side) for side in SIDES})


def height_of(start: float, width_mm: float, sd_mm: float) -> float:
    """Height over the middle of the ribbon at which a point settles."""
    point = np.array([[-30.0, 10, 40 + start]])
    (found,) = settle(ribbon(width_mm), point, [HAND], sd_mm)
    assert found[:2] == pytest.approx([-30, 10])
    return found[2] - 40


@pytest.mark.parametrize(('start', 'width', 'sd'), [(4, 4, 4), (-3, 2, 4), (2, 4, 2), (0, 3, 3)])
def test_two_normal_densities(start: float, width: float, sd: float) -> None:
    """The most probable place is the mean weighted by the two precisions; voxels have 2 mm."""
    end = start * width**2 / (width**2 + sd**2)
    assert height_of(start, width, sd) == pytest.approx(end, abs=0.6)


def test_turned_head() -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler('xyz', [20, -30, 50], degrees=True).as_matrix()
    turn[:3, 3] = 5, -20, 60
    point = np.array([[-30.0, 10, 44]])
    (found,) = settle(ribbon(4.0, turn=turn), apply_affine(turn, point), [HAND], 4.0)
    # The steps lie along the axes of the scanner, not of the head.
    assert found == pytest.approx(apply_affine(turn, [-30, 10, 42]), abs=0.5)


@pytest.mark.parametrize(
    ('point', 'expected', 'away'),
    [
        # In the gyrus, all places are equally good.
        ((-31, 21, 55), HAND, 0),
        # 2 log Phi((1 + m) / 1.4) - m^2 / 18 is highest at m = 1.5: away from the surface.
        ((-31, 21, 59), HAND, 1.5),
        ((-31, 21, 62), HAND, 3.5),
        ((-31, -2, 55), HAND, 3),
        # Too far away, of unknown side, or expected nowhere.
        ((-31, -20, 55), HAND, 0),
        ((-31, 21, 62), ('n/a', HAND[1]), 0),
        ((-31, 21, 62), ('L', ''), 0),
    ],
)
def test_slabs(point: tuple, expected: tuple[str, str], away: float) -> None:
    (found,) = settle(slabs(), np.array([point], dtype=float), [expected], 3.0)
    assert np.linalg.norm(found - point) == pytest.approx(away, abs=0.75)
    if not away:
        assert found.tolist() == list(point)


def test_nothing_known() -> None:
    points = np.array([[-30.0, 10, 44], [np.nan, np.nan, np.nan]])
    expected = [HAND, HAND]
    assert np.array_equal(settle(None, points, expected, 3.0), points, equal_nan=True)
    # A gyrus that the network does not see draws no point.
    faint = settle(ribbon(4.0, top=0.2), points, expected, 3.0)
    assert np.array_equal(faint, points, equal_nan=True)
    moved = settle(ribbon(1.5), points, expected, 50.0)
    assert 0 < np.linalg.norm(moved[0] - points[0]) <= REACH_MM
    assert np.isnan(moved[1]).all()
