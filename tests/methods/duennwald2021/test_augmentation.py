from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.methods.duennwald2021.augmentation import (
    KEPT_INSIDE,
    Affine,
    VolumeAugmentation,
    draw_affine,
    identity,
    resample,
    rotation_matrix,
    vary_intensities,
    view_shape,
)

SHAPE = (40, 36, 30)
POINTS = torch.tensor([[14.0, 17.0, 13.5], [22.0, 18.0, 14.5]])
STILL = VolumeAugmentation(0.0, 0.0, 0.0)


def test_scaled_ranges() -> None:
    half = VolumeAugmentation(view=0.75, gamma=0.1).scaled(0.5)
    assert (half.rotation, half.translation, half.scale) == (7.5, 0.25, 0.1)
    assert (half.view, half.gamma) == (0.75, 0.1)


def rod(point: torch.Tensor) -> torch.Tensor:
    """A rod about 5 voxels long with soft edges; `point` is its centre of mass."""
    away = (_grid(SHAPE) - point) / torch.tensor([1.2, 1.2, 2.0])
    return torch.exp(-0.5 * away.square().sum(dim=-1))


def centre_of_mass(view: torch.Tensor) -> torch.Tensor:
    return (_grid(view.shape) * view[..., None]).sum(dim=(0, 1, 2)) / view.sum()


def _grid(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing='ij'), -1)


def test_ranges_of_the_paper() -> None:
    assert VolumeAugmentation() == VolumeAugmentation(rotation=15, translation=0.5, scale=0.2)


def test_no_augmentation() -> None:
    affine = draw_affine(SHAPE, POINTS, STILL, torch.Generator().manual_seed(1))
    torch.testing.assert_close(affine.matrix, identity().matrix)
    torch.testing.assert_close(affine.shift, identity().shift)
    torch.testing.assert_close(
        resample(rod(POINTS[0]), affine, SHAPE), rod(POINTS[0]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize('seed', range(8))
def test_rods_move_with_points(seed: int) -> None:
    affine = draw_affine(SHAPE, POINTS, VolumeAugmentation(), torch.Generator().manual_seed(seed))
    moved = affine.into_view(POINTS)
    assert (moved - POINTS).norm(dim=-1).min() > 1
    for point, expected in zip(POINTS, moved, strict=True):
        found = centre_of_mass(resample(rod(point), affine, SHAPE))
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_points_near_the_edge() -> None:
    corner = torch.tensor([[1.0, 2, 3], [38, 17, 14]])
    affine = draw_affine(SHAPE, corner, STILL, torch.Generator().manual_seed(1))
    torch.testing.assert_close(affine.into_view(corner), corner)
    # At least 8 voxels from the lower end; centred where both ends are near.
    free = VolumeAugmentation(0.0, 0.5, 0.0)
    moved = draw_affine(SHAPE, corner, free, torch.Generator().manual_seed(1)).into_view(corner)
    assert moved[:, 0].tolist() == [1, 38]
    assert (moved[0, 1:] >= 8 - 1e-4).all()


def test_turn_and_shift_by_hand() -> None:
    volume = torch.zeros(4, 5, 6)
    volume[1, 3, 2] = 1
    # View voxel v shows volume voxel matrix @ v + shift: (1, 0, 0) shows (2, 4, 2).
    turn = rotation_matrix(torch.tensor([0.0, 0.0, math.pi / 2]))
    torch.testing.assert_close(
        turn @ torch.tensor([1.0, 0, 0], dtype=torch.float64),
        torch.tensor([0.0, 1, 0], dtype=torch.float64),
    )
    affine = Affine(turn, torch.tensor([2.0, 3, 2], dtype=torch.float64))
    view = resample(volume, affine, (3, 3, 2))
    assert view[0, 1, 0].item() == pytest.approx(1, abs=1e-5)
    assert view.sum().item() == pytest.approx(1, abs=1e-4)
    moved = affine.into_view(torch.tensor([[1.0, 3, 2], [math.nan] * 3]))
    torch.testing.assert_close(moved[0], torch.tensor([0.0, 1, 0]))
    assert moved[1].isnan().all()


def test_part_of_a_view() -> None:
    affine = draw_affine(SHAPE, POINTS, VolumeAugmentation(), torch.Generator().manual_seed(3))
    whole = resample(rod(POINTS[1]), affine, SHAPE)
    part = resample(rod(POINTS[1]), affine.from_corner(torch.tensor([5, 6, 7])), (9, 8, 7))
    torch.testing.assert_close(part, whole[5:14, 6:14, 7:14], atol=1e-4, rtol=0)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from([0.8, 1.0]))
def test_points_stay_inside(seed: int, left: bool, right: bool, share: float) -> None:
    points = POINTS.clone()
    points[0, ~torch.tensor([left] * 3)] = math.nan
    points[1, ~torch.tensor([right] * 3)] = math.nan
    generator = torch.Generator().manual_seed(seed)
    varied = VolumeAugmentation(view=share)
    moved = draw_affine(SHAPE, points, varied, generator).into_view(points)
    known = moved[moved.isfinite().all(dim=-1)]
    assert len(known) == left + right
    assert (known >= KEPT_INSIDE - 1e-3).all()
    last = torch.tensor(view_shape(SHAPE, varied)) - 1
    assert (known <= last - KEPT_INSIDE + 1e-3).all()


def test_smaller_view() -> None:
    small = VolumeAugmentation(0, 0, 0, view=0.5)
    assert view_shape(SHAPE, small) == (20, 18, 15)
    point = torch.tensor([[20.0, 18, 15]])
    affine = draw_affine(SHAPE, point, small, torch.Generator().manual_seed(1))
    torch.testing.assert_close(affine.into_view(point), torch.tensor([[10.0, 9, 7.5]]))
    whole = torch.arange(40.0 * 36 * 30).reshape(SHAPE)
    part = resample(whole, affine, view_shape(SHAPE, small))
    torch.testing.assert_close(part[3, 4, 5], whole[13, 13, 12:14].mean(), rtol=1e-4, atol=0)


def test_draws_fill_the_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    unknown = torch.full((2, 3), math.nan)
    drawn = [draw_affine(SHAPE, unknown, VolumeAugmentation(), generator) for _ in range(400)]
    sizes = torch.tensor([1 / a.matrix.det().item() ** (1 / 3) for a in drawn])
    assert 0.8 <= sizes.min() < 0.81
    assert 1.19 < sizes.max() <= 1.2
    middle = (torch.tensor(SHAPE, dtype=torch.float64) - 1) / 2
    shifts = torch.stack([a.into_view(middle[None])[0] - middle for a in drawn]).abs()
    half = torch.tensor(SHAPE, dtype=torch.float64) / 2
    assert (shifts.amax(dim=0) <= half + 1e-9).all()
    assert (shifts.amax(dim=0) > 0.97 * half).all()


def test_intensities() -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.linspace(-0.5, 1.5, 1000)
    assert vary_intensities(volume, VolumeAugmentation(), generator) is volume
    noisy = vary_intensities(volume, VolumeAugmentation(noise=0.1), generator)
    assert 0 < (noisy - volume).std() < 0.105
    curved = vary_intensities(volume, VolumeAugmentation(gamma=0.3), generator)
    assert (curved.sign() == volume.sign()).all()
    assert (curved.diff() >= 0).all()
    assert (curved - volume).abs().max() > 0.01
