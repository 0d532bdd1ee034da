from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.imaging.volume import average_pyramid
from tmsprep.networks.crops import crop_positions, sample, snap_to_voxels

SIZE = 32
SLOPES = torch.tensor([1.0, 10.0, -3.0], dtype=torch.float64)

# Far enough from the faces that crops of five voxels of 4 mm stay inside.
INSIDE = st.tuples(*[st.floats(11, 21)] * 3)


def ramp() -> np.ndarray:
    """Value ``x + 10 y - 3 z`` at voxel centres, in mm from the corner; voxels of 1 mm."""
    centres = (np.indices((SIZE,) * 3) + 0.5).transpose(1, 2, 3, 0)
    return centres @ SLOPES.numpy()


@pytest.mark.parametrize('level', [0, 1, 2, 3])
def test_ramp(level: int) -> None:
    # Averages of a linear function are its values in the middle; so is linear interpolation.
    volume = torch.from_numpy(average_pyramid(ramp(), 4)[level])
    resolution = 2**level
    assert volume.shape == (SIZE // resolution,) * 3
    steps = (torch.arange(SIZE // resolution, dtype=torch.float64) + 0.5) * resolution
    centres = torch.cartesian_prod(steps, steps, steps)
    found = sample(volume, centres, SIZE)
    torch.testing.assert_close(found, volume.flatten(), rtol=0, atol=1e-9)
    torch.testing.assert_close(found, centres @ SLOPES, rtol=0, atol=1e-9)
    generator = torch.Generator().manual_seed(level)
    between = torch.rand(50, 3, dtype=torch.float64, generator=generator)
    between = resolution / 2 + between * (SIZE - resolution)
    torch.testing.assert_close(sample(volume, between, SIZE), between @ SLOPES)


@settings(max_examples=40)
@given(centre=INSIDE, size=st.integers(1, 5), level=st.integers(0, 2))
def test_snapped_crop(centre: tuple[float, ...], size: int, level: int) -> None:
    resolution = 2**level
    n = SIZE // resolution
    volume = torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.tensor(centre, dtype=torch.float64)
    snapped = snap_to_voxels(wanted, resolution, size)
    assert (snapped - wanted).abs().max() <= resolution / 2
    crop = sample(volume, crop_positions(snapped, resolution, size), SIZE)
    first = (snapped / resolution - size / 2).round().long()
    x, y, z = (slice(int(i), int(i) + size) for i in first)
    torch.testing.assert_close(crop, volume[x, y, z])


@pytest.mark.parametrize(('size', 'expected'), [(2, 8.0), (3, 6.0)])
def test_snapped_centre(size: int, expected: float) -> None:
    # Voxels of 4 mm: edges at 0, 4, 8, ..., centres at 2, 6, 10, ...
    assert snap_to_voxels(torch.tensor([7.5]), 4.0, size).item() == expected


def test_positions() -> None:
    positions = crop_positions(torch.tensor([[8.0, 8.0, 8.0]]), 4.0, 2)
    assert positions.shape == (1, 2, 2, 2, 3)
    torch.testing.assert_close(positions[0, 0, 0, 0], torch.tensor([6.0, 6.0, 6.0]))
    torch.testing.assert_close(positions[0, 1, 0, 0], torch.tensor([10.0, 6.0, 6.0]))
    torch.testing.assert_close(positions[0, 0, 0, 1], torch.tensor([6.0, 6.0, 10.0]))


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_outside(axis: int) -> None:
    volume = torch.ones(4, 4, 4)
    positions = torch.full((3, 3), 8.0)
    # Voxels of 4 mm: from half a voxel beyond the faces on nothing is left.
    positions[:, axis] = torch.tensor([-2.1, 18.1, 1000.0])
    torch.testing.assert_close(sample(volume, positions, 16.0), torch.zeros(3))
