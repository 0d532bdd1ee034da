from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.networks.soft_argmax import (
    expected_index,
    map_centroids,
    spatial_softmax,
    weighted_point,
)

LOG3 = math.log(3)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_centroid_of_two_voxels(axis: int) -> None:
    # exp(log 3) = 3 against exp(0) = 1: probabilities 3/4 and 1/4 at +1/2 and -1/2 voxel, so
    # 3/8 - 1/8 = 1/4 along this axis, and 0 along the others, where the maps are even.
    maps = torch.zeros(2, 2, 2, dtype=torch.float64)
    maps.select(axis, 1).fill_(LOG3)
    expected = torch.zeros(3, dtype=torch.float64)
    expected[axis] = 0.25
    torch.testing.assert_close(map_centroids(maps), expected)


def test_centroid_of_one_voxel() -> None:
    # One of eight voxels has weight 3, seven have 1: the sum is 10. Along each axis the bright
    # half holds 3 + 3 = 6, the other 4: (6 - 4) / 10 * 1/2 = 1/10, signs by the voxel's side.
    maps = torch.zeros(2, 2, 2, dtype=torch.float64)
    maps[1, 0, 1] = LOG3
    expected = torch.tensor([0.1, -0.1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(map_centroids(maps), expected)


def test_certain_and_even_maps() -> None:
    maps = torch.zeros(2, 5, 5, 5)
    maps[0, 4, 0, 3] = 100.0
    centroids = map_centroids(maps)
    torch.testing.assert_close(centroids, torch.tensor([[2.0, -2.0, 1.0], [0.0, 0.0, 0.0]]))


def test_unnormalised_maps() -> None:
    maps = torch.randn(3, 4, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(map_centroids(maps + 7.0), map_centroids(maps))


def test_weighted_point() -> None:
    # Weights log 3 and 0 become 3/4 and 1/4: (1, 0, 4) * 3/4 + (0, 2, 0) * 1/4.
    centroids = torch.tensor([[1.0, 0.0, 4.0], [0.0, 2.0, 0.0]])
    point = weighted_point(centroids, torch.tensor([LOG3, 0.0]))
    torch.testing.assert_close(point, torch.tensor([0.75, 0.5, 3.0]))


def test_batch() -> None:
    maps, weights = torch.randn(2, 3, 4, 5, 5, 5), torch.randn(2, 3, 4)
    points = weighted_point(map_centroids(maps), weights)
    assert points.shape == (2, 3, 3)
    one = weighted_point(map_centroids(maps[1, 2]), weights[1, 2])
    torch.testing.assert_close(points[1, 2], one)


def dsnt(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    heatmaps = spatial_softmax(maps)
    return heatmaps, expected_index(heatmaps)


def test_single_peak() -> None:
    maps = torch.full((1, 2, 5, 4, 3), -1e4)
    maps[0, 0, 3, 1, 2] = 0.0
    maps[0, 1, 0, 3, 0] = 0.0
    heatmaps, points = dsnt(maps)
    assert heatmaps[0, 0, 3, 1, 2] == 1
    assert points.tolist() == [[[3, 1, 2], [0, 3, 0]]]


def test_two_peaks() -> None:
    maps = torch.full((1, 1, 7, 7, 7), -1e4)
    maps[0, 0, 1, 2, 6] = maps[0, 0, 4, 2, 0] = 3.0
    heatmaps, points = dsnt(maps)
    assert heatmaps[0, 0, 1, 2, 6] == 0.5
    assert points.tolist() == [[[2.5, 2, 3]]]


@pytest.mark.parametrize('shape', [(1, 1, 1), (4, 5, 9), (3, 8, 2)])
def test_even_map(shape: tuple[int, int, int]) -> None:
    heatmaps, points = dsnt(torch.full((2, 2, *shape), 7.0))
    torch.testing.assert_close(heatmaps, torch.full((2, 2, *shape), 1 / math.prod(shape)))
    expected = torch.tensor([(n - 1) / 2 for n in shape]).expand(2, 2, 3)
    torch.testing.assert_close(points, expected)


def test_heatmap_by_hand() -> None:
    # exp(0), exp(ln 2), exp(ln 5) along the last axis: 1/8, 2/8, 5/8.
    maps = torch.tensor([0.0, math.log(2), math.log(5)]).reshape(1, 1, 1, 1, 3)
    heatmaps, points = dsnt(maps)
    torch.testing.assert_close(heatmaps.flatten(), torch.tensor([1 / 8, 2 / 8, 5 / 8]))
    torch.testing.assert_close(points.flatten(), torch.tensor([0, 0, 2 / 8 + 2 * 5 / 8]))


def test_gradient_by_hand() -> None:
    # d point / d map_i = p_i (i - point), with p = 1/4, 1/4, 1/4, 1/4 and the point at 1.5.
    maps = torch.zeros(1, 1, 4, 1, 1, requires_grad=True)
    dsnt(maps)[1][0, 0, 0].backward()
    expected = torch.tensor([-1.5, -0.5, 0.5, 1.5]) / 4
    torch.testing.assert_close(maps.grad.flatten(), expected)


@settings(max_examples=25)
@given(
    st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 1000), st.floats(-20, 20), st.floats(0, 5)
)
def test_any_maps(
    shape: tuple[int, int, int], seed: int, constant: float, sharpness: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = sharpness * torch.randn(1, 2, *shape, generator=generator, dtype=torch.float64)
    heatmaps, points = dsnt(maps)
    torch.testing.assert_close(heatmaps.sum((-3, -2, -1)), torch.ones(1, 2, dtype=torch.float64))
    assert (points >= -1e-9).all()
    assert (points <= torch.tensor(shape) - 1 + 1e-9).all()
    torch.testing.assert_close(dsnt(maps + constant)[1], points)
    # The definition, written out.
    grid = np.indices(shape)
    by_hand = np.einsum('btnmk,cnmk->btc', heatmaps.numpy(), grid)
    np.testing.assert_allclose(expected_index(heatmaps).numpy(), by_hand, atol=1e-9)
