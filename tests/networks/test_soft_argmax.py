from __future__ import annotations

import math

import pytest
import torch

from tmsprep.networks.soft_argmax import map_centroids, weighted_point

LOG3 = math.log(3)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_equation_1_centroid_of_two_voxels_by_hand(axis: int) -> None:
    # exp(log 3) = 3 against exp(0) = 1: probabilities 3/4 and 1/4 at +1/2 and -1/2 voxel, so
    # 3/8 - 1/8 = 1/4 along this axis, and 0 along the others, where the maps are even.
    maps = torch.zeros(2, 2, 2, dtype=torch.float64)
    maps.select(axis, 1).fill_(LOG3)
    expected = torch.zeros(3, dtype=torch.float64)
    expected[axis] = 0.25
    torch.testing.assert_close(map_centroids(maps), expected)


def test_equation_1_centroid_of_one_bright_voxel_by_hand() -> None:
    # One of eight voxels has weight 3, seven have 1: the sum is 10. Along each axis the bright
    # half holds 3 + 3 = 6, the other 4: (6 - 4) / 10 * 1/2 = 1/10, signs by the voxel's side.
    maps = torch.zeros(2, 2, 2, dtype=torch.float64)
    maps[1, 0, 1] = LOG3
    expected = torch.tensor([0.1, -0.1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(map_centroids(maps), expected)


def test_a_certain_map_points_at_its_voxel_and_an_even_one_at_the_middle() -> None:
    maps = torch.zeros(2, 5, 5, 5)
    maps[0, 4, 0, 3] = 100.0
    centroids = map_centroids(maps)
    torch.testing.assert_close(centroids, torch.tensor([[2.0, -2.0, 1.0], [0.0, 0.0, 0.0]]))


def test_equation_1_is_unnormalised() -> None:
    maps = torch.randn(3, 4, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(map_centroids(maps + 7.0), map_centroids(maps))


def test_equation_1_weights_by_hand() -> None:
    # Weights log 3 and 0 become 3/4 and 1/4: (1, 0, 4) * 3/4 + (0, 2, 0) * 1/4.
    centroids = torch.tensor([[1.0, 0.0, 4.0], [0.0, 2.0, 0.0]])
    point = weighted_point(centroids, torch.tensor([LOG3, 0.0]))
    torch.testing.assert_close(point, torch.tensor([0.75, 0.5, 3.0]))


def test_people_and_targets_do_not_mix() -> None:
    maps, weights = torch.randn(2, 3, 4, 5, 5, 5), torch.randn(2, 3, 4)
    points = weighted_point(map_centroids(maps), weights)
    assert points.shape == (2, 3, 3)
    one = weighted_point(map_centroids(maps[1, 2]), weights[1, 2])
    torch.testing.assert_close(points[1, 2], one)
