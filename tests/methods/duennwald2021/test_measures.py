from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.methods.duennwald2021.measures import (
    ANTERIOR_MM,
    HALF_SEPARATION_MM,
    RADIUS_MM,
    contrast_ratios,
    reference_centre,
    reference_region,
    volume_mm3,
)

LEFT, RIGHT = np.array([-5.0, -37, -26]), np.array([5.0, -37, -26])
POINTS = np.stack([LEFT, RIGHT])
MISSING = np.full(3, np.nan)
SHAPE = (60, 60, 40)
AFFINE = nib.affines.from_matvec(np.diag([0.75] * 3), [-22, -55, -40])


def test_centre_by_hand() -> None:
    np.testing.assert_allclose(reference_centre(POINTS), [0, -37 + ANTERIOR_MM, -26])


def test_turned_head() -> None:
    # Right further back: the line from left to right points 30 degrees to posterior.
    turned = np.array([[0, 0, 0], [10 * np.cos(np.pi / 6), -10 * np.sin(np.pi / 6), 0]])
    wanted = turned.mean(axis=0) + ANTERIOR_MM * np.array([0.5, np.sqrt(3) / 2, 0])
    np.testing.assert_allclose(reference_centre(turned), wanted)


@given(angle=st.floats(-0.6, 0.6), roll=st.floats(-0.6, 0.6))
def test_equal_distances(angle: float, roll: float) -> None:
    turn = nib.eulerangles.euler2mat(z=angle, y=roll)
    points = POINTS @ turn.T
    distances = np.linalg.norm(reference_centre(points) - points, axis=1)
    np.testing.assert_allclose(distances, np.hypot(ANTERIOR_MM, 5))
    # Well over the radius: the loci coerulei are never in their reference.
    assert distances.min() > 2 * RADIUS_MM


def test_missing_side() -> None:
    wanted = reference_centre(np.stack([LEFT, LEFT + np.array([2 * HALF_SEPARATION_MM, 0, 0])]))
    np.testing.assert_allclose(reference_centre(np.stack([LEFT, MISSING])), wanted)
    np.testing.assert_allclose(reference_centre(np.stack([MISSING, RIGHT])), wanted)


@pytest.mark.parametrize(
    'points',
    [
        np.stack([MISSING, MISSING]),
        np.stack([LEFT, LEFT]),
        np.stack([LEFT, LEFT + np.array([0, -8, 0])]),
        POINTS + np.array([0, 200, 0]),
    ],
    ids=['missing', 'coincide', 'one behind the other', 'outside'],
)
def test_no_region(points: np.ndarray) -> None:
    region = reference_region(SHAPE, AFFINE, points)
    assert region.shape == SHAPE
    assert not region.any()


def test_field_of_view() -> None:
    # The ball's middle lies at y = -37 + 10 = -27 mm, index 37.3.
    assert reference_region((60, 40, 40), AFFINE, POINTS).any()
    assert not reference_region((60, 36, 40), AFFINE, POINTS).any()


@pytest.mark.parametrize('turn', [0.0, 0.4])
def test_ball_in_mm(turn: float) -> None:
    matrix = nib.eulerangles.euler2mat(x=turn) @ np.diag([-0.5, 0.75, 1.0])
    at = reference_centre(POINTS)
    affine = nib.affines.from_matvec(matrix, at - matrix @ [20.3, 15.1, 12.2])
    region = reference_region((40, 30, 24), affine, POINTS)
    everywhere = nib.affines.apply_affine(affine, np.moveaxis(np.indices(region.shape), 0, -1))
    np.testing.assert_array_equal(region, np.linalg.norm(everywhere - at, axis=-1) <= RADIUS_MM)
    assert volume_mm3(region, affine) == pytest.approx(268.1, rel=0.03)


def test_ratios_by_hand() -> None:
    intensities = np.array([100.0, 110, 90, 120, 130, 150, 7]).reshape(7, 1, 1)
    reference = np.array([1, 1, 1, 0, 0, 0, 0], bool).reshape(7, 1, 1)
    region = np.array([0, 0, 0, 2, 2, 2, 0]).reshape(7, 1, 1)
    assert contrast_ratios(intensities, region, reference) == pytest.approx((1.3, 1.5))


def test_scale_of_intensities() -> None:
    generator = np.random.default_rng(0)
    intensities = generator.uniform(1, 2, (4, 4, 4))
    region, reference = generator.random((2, 4, 4, 4)) > 0.5
    ratios = contrast_ratios(intensities, region, reference)
    assert contrast_ratios(37 * intensities, region, reference) == pytest.approx(ratios)


def test_no_ratio() -> None:
    ones, none = np.ones((2, 2, 2)), np.zeros((2, 2, 2))
    for intensities, region, reference in (
        (ones, none, ones),
        (ones, ones, none),
        (none, ones, ones),
    ):
        assert np.isnan(contrast_ratios(intensities, region, reference)).all()


def test_volume_by_hand() -> None:
    region = np.zeros((3, 3, 3))
    assert volume_mm3(region, AFFINE) == 0
    region[0, :2] = 2
    assert volume_mm3(region, np.diag([-0.5, 2, 0.75, 1])) == pytest.approx(6 * 0.75)
