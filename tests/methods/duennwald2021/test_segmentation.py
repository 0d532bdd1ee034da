from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tmsprep.methods.duennwald2021.segmentation import keep_plausible, n_windows, segment
from tmsprep.networks.windows import cover, inside_volume, read_patch


class Threshold(nn.Module):
    """Untrained network: bright voxels are left, dark ones right, with a known probability."""

    def __init__(self, patch: tuple[int, int, int], odds: float = 20.0):
        super().__init__()
        self.settings = SimpleNamespace(patch=patch)
        self.odds = odds
        self.calls = 0

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        assert tuple(patches.shape[1:]) == self.settings.patch
        self.calls += 1
        return torch.stack(
            [torch.zeros_like(patches), (patches - 0.5) * self.odds, (-0.5 - patches) * self.odds],
            dim=1,
        )


def volume(shape: tuple[int, int, int]) -> np.ndarray:
    """Noise with one bright and one dark block."""
    made = np.random.default_rng(0).uniform(-0.4, 0.4, shape).astype(np.float32)
    made[2:4, 3:5, 3:6] = 2
    made[6:8, 3:5, 3:6] = -2
    return made


def truth(intensities: np.ndarray) -> np.ndarray:
    return np.where(intensities > 0.5, 1, np.where(intensities < -0.5, 2, 0))


@pytest.mark.parametrize('shape', [(16, 16, 16), (9, 21, 13), (10, 5, 6)])
@pytest.mark.parametrize('patch', [(8, 8, 8), (6, 7, 12)])
def test_sliding_window(shape: tuple[int, int, int], patch: tuple[int, int, int]) -> None:
    intensities, network = volume(shape), Threshold(patch)
    labels = segment(intensities, [network], 'npp')
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, truth(intensities))
    assert network.calls == n_windows(shape, patch)


def test_patch_at_points() -> None:
    intensities, network = volume((20, 20, 20)), Threshold((8, 8, 8))
    intensities[15, 15, 15] = 2  # a false positive of the sliding window
    points = np.array([[3.0, 4, 4], [7, 4, 4]])
    labels = segment(intensities, [network], 'lpp', points)
    assert network.calls == 1
    # The middle is (5, 4, 4), so the patch has voxels 2 to 9, 0 or 1 to 7 or 8 (half to even).
    wanted = truth(intensities)
    wanted[15, 15, 15] = 0
    np.testing.assert_array_equal(labels, wanted)
    assert segment(intensities, [network], 'npp')[15, 15, 15] == 1


def test_one_known_point() -> None:
    intensities = np.full((20, 20, 20), 2, np.float32)
    points = np.array([[np.nan] * 3, [10.0, 11, 12]])
    labels = segment(intensities, [Threshold((5, 5, 5))], 'lpp', points)
    found = np.argwhere(labels == 1)
    assert found.min(axis=0).tolist() == [8, 9, 10]
    assert found.max(axis=0).tolist() == [12, 13, 14]


def test_patch_beyond_volume() -> None:
    intensities = volume((12, 8, 8))
    points = np.array([[0.0, 0, 0], [1, 0, 0]])
    labels = segment(intensities, [Threshold((12, 12, 12))], 'lpp', points)
    wanted = truth(intensities)
    # The patch reaches 6 voxels from its middle (0.5, 0, 0).
    wanted[7:] = 0
    np.testing.assert_array_equal(labels, wanted)


def test_no_points() -> None:
    network = Threshold((8, 8, 8))
    labels = segment(volume((12, 12, 12)), [network], 'lpp', np.full((2, 3), np.nan))
    assert not labels.any()
    assert network.calls == 0


@pytest.mark.parametrize('method', ['npp', 'lpp'])
def test_ensemble_mean(method: str) -> None:
    # Left has 0.998 and, from the uniform network, 1/3: the mean is over 0.5. Where the
    # first says exp(0.6) / (exp(0.6) + 1) = 0.65, the mean is 0.49.
    intensities = np.zeros((8, 8, 8), np.float32)
    intensities[2], intensities[5] = 1.0, 0.55
    points = np.array([[3.0, 4, 4], [4, 4, 4]])
    sharp, uniform = Threshold((8, 8, 8), odds=12.0), Threshold((8, 8, 8), odds=0.0)
    alone = segment(intensities, [sharp], method, points)
    assert alone[2, 4, 4] == alone[5, 4, 4] == 1
    together = segment(intensities, [sharp, uniform], method, points)
    assert together[2, 4, 4] == 1
    assert not together[5].any()


def test_post_processing() -> None:
    intensities = volume((30, 30, 30))
    intensities[25:28, 25:28, 25:28] = 2
    labels = segment(intensities, [Threshold((10, 10, 10))], 'pp', voxel_mm=0.75)
    wanted = truth(intensities)
    wanted[25:28] = 0
    np.testing.assert_array_equal(labels, wanted)


@pytest.mark.parametrize(
    ('method', 'networks', 'message'),
    [
        ('best', [Threshold((4, 4, 4))], "unknown segmentation 'best'"),
        ('npp', [], 'one network'),
        ('lpp', [Threshold((4, 4, 4))], 'points'),
    ],
)
def test_wrong_arguments(method: str, networks: list[nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segment(volume((8, 8, 8)), networks, method)


def test_different_patches() -> None:
    networks = [Threshold((4, 4, 4)), Threshold((6, 6, 6))]
    with pytest.raises(ValueError, match='differ'):
        segment(volume((8, 8, 8)), networks, 'lpp', np.ones((2, 3)))


def test_window_counts() -> None:
    # 100 voxels by windows of 40: starts 0, 20, 40 and 60.
    assert n_windows((100, 40, 39), (40, 40, 40)) == 4
    assert n_windows((101, 100, 41), (40, 40, 40)) == 5 * 4 * 2


@given(length=st.integers(1, 60), edge=st.integers(2, 20))
def test_window_weights(length: int, edge: int) -> None:
    total = np.zeros(length)
    windows = cover(length, edge)
    for window in windows:
        (inside,), (within,) = inside_volume((window.start,), (edge,), (length,))
        total[inside] += window.weights[within]
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    starts = [window.start for window in windows]
    assert (np.diff(starts) <= np.ceil(edge / 2)).all()
    if length >= edge:
        assert (starts[0], starts[-1]) == (0, length - edge)


def test_reflected_window() -> None:
    line = np.arange(4.0).reshape(4, 1, 1)
    patch = read_patch(line, (-3, -1, 0), (9, 2, 1))
    assert patch[:, 0, 0].tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert patch.dtype == np.float32
    inside, within = inside_volume((-3, 0, 0), (9, 1, 1), line.shape)
    assert (inside[0], within[0]) == (slice(0, 4), slice(3, 7))
    np.testing.assert_array_equal(patch[within[0], 0, 0], line[inside[0], 0, 0])


VOXEL_MM = 1.0


def boxes_of(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """Volume of 40 mm with boxes: label, x, y, and from where to where in z; 2 x 2 mm thick."""
    made = np.zeros((40, 40, 40), np.uint8)
    for label, x, y, low, high in boxes:
        made[x : x + 2, y : y + 2, low:high] = label
    return made


PAIR = ((1, 14, 20, 10, 20), (2, 24, 20, 10, 20))


def test_pair() -> None:
    np.testing.assert_array_equal(keep_plausible(boxes_of(*PAIR), VOXEL_MM), boxes_of(*PAIR))


@pytest.mark.parametrize(
    'extra',
    [
        (1, 2, 30, 5, 18),
        (2, 34, 2, 0, 13),
        (1, 18, 30, 5, 8),
        (2, 30, 20, 1, 40),
        (1, 20, 0, 7, 7 + 12),
    ],
    ids=['far left', 'far right', 'smaller', 'too long', 'far behind'],
)
def test_false_parts(extra: tuple[int, int, int, int, int]) -> None:
    cleaned = keep_plausible(boxes_of(*PAIR, extra), VOXEL_MM)
    np.testing.assert_array_equal(cleaned, boxes_of(*PAIR))


def test_exchanged_sides() -> None:
    swapped = boxes_of((2, 14, 20, 10, 20), (1, 24, 20, 10, 21))
    # No pair: the larger part alone.
    np.testing.assert_array_equal(keep_plausible(swapped, VOXEL_MM), boxes_of((1, 24, 20, 10, 21)))


def test_single_part() -> None:
    alone = boxes_of(PAIR[0])
    dusty = alone.copy()
    dusty[24, 20, 15] = 2
    np.testing.assert_array_equal(keep_plausible(dusty, VOXEL_MM), alone)


def test_broken_rod() -> None:
    broken = boxes_of(PAIR[0], (2, 24, 20, 10, 13), (2, 24, 20, 15, 22))
    # A gap of two voxels of 0.75 mm is closed, one of two times 1 mm is not.
    np.testing.assert_array_equal(keep_plausible(broken, 0.75), broken)
    longer = boxes_of(PAIR[0], (2, 24, 20, 15, 22))
    np.testing.assert_array_equal(keep_plausible(broken, VOXEL_MM), longer)


def test_no_part() -> None:
    cleaned = keep_plausible(np.zeros((3, 3, 3), np.uint8), VOXEL_MM)
    assert cleaned.dtype == np.uint8
    assert not cleaned.any()
