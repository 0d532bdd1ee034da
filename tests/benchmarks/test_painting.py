"""What the parcellation network is trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gyri_weights import MEASURED, Parcellated, class_weights, parcellation_loss
from painting import corrupt, paint
from torch.nn import functional

from tmsprep.gyri.frame import SHAPE
from tmsprep.gyri.labels import CLASSES, NAMES
from tmsprep.learning.loop import generator_of
from tmsprep.methods.baxter2021.prepared import PreparedImage

#: Outside, fluid, cortex, white matter by the numbers of MUSE.
NUMBERS = (0, 4, 183, 86)


@pytest.fixture(scope='module')
def codes() -> torch.Tensor:
    """Four slabs of equal thickness along the second axis."""
    slabs = torch.tensor(NUMBERS).repeat_interleave(SHAPE[1] // 4)
    return slabs[None, :, None].expand(SHAPE).contiguous()


def inner(values: torch.Tensor, number: int, codes: torch.Tensor) -> torch.Tensor:
    """Values of a slab but for those that the blur of the borders reaches."""
    where = torch.where(codes[0, :, 0] == number)[0][2:-2]
    return values[2:-2, where][:, :, 2:-2]


@pytest.mark.parametrize('seed', range(8))
def test_order_of_a_t1w(codes: torch.Tensor, seed: int) -> None:
    painted = paint(torch.full(SHAPE, 0.5), codes, generator_of(seed), ordered=1.0)
    fluid, grey, white = (inner(painted, number, codes) for number in NUMBERS[1:])
    assert fluid.mean() < grey.mean() < white.mean()
    # A flat image has no texture to keep.
    assert max(tissue.std() for tissue in (fluid, grey, white)) < 1e-4


def test_texture_is_kept(codes: torch.Tensor) -> None:
    rough = 0.5 + 0.05 * torch.randn(SHAPE, generator=generator_of(1))
    painted = paint(rough, codes, generator_of(2), ordered=1.0)
    before, after = (inner(v, 183, codes).flatten() for v in (rough, painted))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.5


@pytest.mark.parametrize('seed', range(12))
def test_corrupt(codes: torch.Tensor, seed: int) -> None:
    values = torch.rand(SHAPE, generator=generator_of(seed))
    seen = corrupt(values, codes, generator_of(seed))
    assert seen.shape == SHAPE
    assert seen.isfinite().all()
    assert (seen >= 0).all()
    assert torch.equal(seen, corrupt(values, codes, generator_of(seed)))


def test_loss() -> None:
    """Without a doubt and right, wrong, and undecided."""
    truth = torch.full((1, 4, 4, 4), NAMES.index(MEASURED[0]))
    right = 50 * functional.one_hot(truth, len(CLASSES)).movedim(-1, 1).float()
    none = torch.zeros_like(right)
    # Of the five gyri one is found; those that are not there have no overlap, whatever is said.
    assert (
        *('orbital gyri', 'middle frontal gyrus', 'transverse temporal gyrus'),
        *('precentral gyrus', 'medial precentral gyrus'),
    ) == MEASURED
    entropy = functional.cross_entropy(right, truth, class_weights(), label_smoothing=0.02)
    found = parcellation_loss(right, truth).item()
    # 64 voxels found of 64: 1 - 2 * 64 / (64 + 64 + 1), and 1 for each of the other four.
    assert found - entropy.item() == pytest.approx(0.5 * (4 + 1 / 129) / 5, abs=1e-4)
    assert found < parcellation_loss(none, truth).item()
    assert parcellation_loss(none, truth).item() > np.log(len(CLASSES))


def test_look() -> None:
    """Intensities and numbers of the parcellation meet at the same place in the scanner."""
    affine = np.array([[-1.0, 0, 0, 128], [0, -1, 0, 100], [0, 0, 1, -128], [0, 0, 0, 1]])
    volume = torch.zeros(128, 128, 128)
    # Its 2 mm voxel (60, 40, 70) holds the 1 mm voxels (120, 80, 140) and the next ones.
    volume[60, 40, 70] = 1.0
    place = affine[:3, :3] @ [120.5, 80.5, 140.5] + affine[:3, 3]
    codes = np.zeros((10, 10, 10), np.uint8)
    codes[3, 4, 5] = 183
    grid = np.diag([2.0, 2, 2, 1])
    grid[:3, 3] = place - [6, 8, 10]
    image = PreparedImage('one', (torch.empty(0), volume), torch.empty(0, 3))
    one = Parcellated(image, codes, np.linalg.inv(grid), affine, np.empty((0, 3)))
    values, numbers = one.look(torch.from_numpy(np.stack([place, place + 40])).float())
    assert values.tolist() == pytest.approx([1, 0], abs=1e-4)
    assert numbers.tolist() == [183, 0]
