from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.methods.duennwald2021.dsnt import dsnt, expected_index


def test_a_single_peak_is_its_own_place() -> None:
    maps = torch.full((1, 2, 5, 4, 3), -1e4)
    maps[0, 0, 3, 1, 2] = 0.0
    maps[0, 1, 0, 3, 0] = 0.0
    heatmaps, points = dsnt(maps)
    assert heatmaps[0, 0, 3, 1, 2] == 1
    assert points.tolist() == [[[3, 1, 2], [0, 3, 0]]]


def test_two_equal_peaks_give_the_middle() -> None:
    maps = torch.full((1, 1, 7, 7, 7), -1e4)
    maps[0, 0, 1, 2, 6] = maps[0, 0, 4, 2, 0] = 3.0
    heatmaps, points = dsnt(maps)
    assert heatmaps[0, 0, 1, 2, 6] == 0.5
    assert points.tolist() == [[[2.5, 2, 3]]]


@pytest.mark.parametrize('shape', [(1, 1, 1), (4, 5, 9), (3, 8, 2)])
def test_an_even_map_gives_the_middle_of_the_volume(shape: tuple[int, int, int]) -> None:
    heatmaps, points = dsnt(torch.full((2, 2, *shape), 7.0))
    torch.testing.assert_close(heatmaps, torch.full((2, 2, *shape), 1 / math.prod(shape)))
    expected = torch.tensor([(n - 1) / 2 for n in shape]).expand(2, 2, 3)
    torch.testing.assert_close(points, expected)


def test_weights_by_hand() -> None:
    # exp(0), exp(ln 2), exp(ln 5) along the last axis: 1/8, 2/8, 5/8.
    maps = torch.tensor([0.0, math.log(2), math.log(5)]).reshape(1, 1, 1, 1, 3)
    heatmaps, points = dsnt(maps)
    torch.testing.assert_close(heatmaps.flatten(), torch.tensor([1 / 8, 2 / 8, 5 / 8]))
    torch.testing.assert_close(points.flatten(), torch.tensor([0, 0, 2 / 8 + 2 * 5 / 8]))


def test_the_gradient_by_hand() -> None:
    # d point / d map_i = p_i (i - point), with p = 1/4, 1/4, 1/4, 1/4 and the point at 1.5.
    maps = torch.zeros(1, 1, 4, 1, 1, requires_grad=True)
    dsnt(maps)[1][0, 0, 0].backward()
    expected = torch.tensor([-1.5, -0.5, 0.5, 1.5]) / 4
    torch.testing.assert_close(maps.grad.flatten(), expected)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 1000), st.floats(-20, 20), st.floats(0, 5)
)
def test_points_lie_inside_and_no_constant_moves_them(
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
