from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.imaging.volume import (
    average_pyramid,
    halve,
    normalise,
    percentile_window,
    to_volume_mm,
    to_world_mm,
)


def test_percentiles_by_hand() -> None:
    # 0, 1, ..., 100: the p-th percentile of these 101 numbers is p.
    data = np.arange(101.0)[::-1].reshape(1, 101, 1)
    assert percentile_window(data) == (5.0, 95.0)
    assert percentile_window(data, 0, 100) == (0.0, 100.0)
    assert percentile_window(data, 10, 50) == (10.0, 50.0)


def test_window_is_not_clipped() -> None:
    data = np.array([5.0, 95.0, 50.0, -13.0, 185.0])
    found = normalise(data, (5.0, 95.0))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.0, 1.0, 0.5, -0.2, 2.0], rtol=1e-6)
    assert data[0] == 5.0


def test_window_of_small_brain() -> None:
    # 4 of 100 voxels are not 0, so the 95th percentile is 0 as well.
    data = np.zeros(100)
    data[:4] = [10, 20, 30, 40]
    assert percentile_window(data) == (0.0, 40.0)


def test_constant_image() -> None:
    with pytest.raises(ValueError, match='constant'):
        percentile_window(np.full((3, 3, 3), 7.0))


@pytest.mark.parametrize(('lower', 'upper'), [(95, 5), (5, 5), (-1, 50), (5, 101)])
def test_percentiles_out_of_order(lower: float, upper: float) -> None:
    with pytest.raises(ValueError, match='0 <= lower < upper <= 100'):
        percentile_window(np.arange(10.0), lower, upper)


@given(gain=st.floats(0.01, 1000), offset=st.floats(-1000, 1000))
def test_gain_and_offset_cancel(gain: float, offset: float) -> None:
    data = np.random.default_rng(0).normal(size=500)
    changed = gain * data + offset
    expected = normalise(data, percentile_window(data))
    found = normalise(changed, percentile_window(changed))
    # float32 keeps 24 bits of an offset that may be large against the contrast.
    tolerance = 1e-5 + 1e-6 * abs(offset) / gain
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_halve_by_hand() -> None:
    # 0 ... 7 in one block: 28 / 8.
    np.testing.assert_array_equal(halve(np.arange(8.0).reshape(2, 2, 2)), [[[3.5]]])
    # Voxel (x, y, z) holds 16 x + 4 y + z; block (1, 0, 1) lies at (2.5, 0.5, 2.5).
    volume = np.arange(64.0).reshape(4, 4, 4)
    assert halve(volume)[1, 0, 1] == 16 * 2.5 + 4 * 0.5 + 2.5


def test_halve_unequal_axes() -> None:
    assert halve(np.ones((2, 4, 6), np.float32)).shape == (1, 2, 3)


@pytest.mark.parametrize('shape', [(3, 2, 2), (2, 5, 2), (2, 2, 1)])
def test_halve_odd_size(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='even'):
        halve(np.zeros(shape))


def test_six_pyramid_levels() -> None:
    volume = np.random.default_rng(0).random((64, 64, 64), dtype=np.float32)
    kept = volume.copy()
    pyramid = average_pyramid(volume)
    assert [level.shape for level in pyramid] == [(n,) * 3 for n in (64, 32, 16, 8, 4, 2)]
    assert pyramid[0] is volume
    np.testing.assert_array_equal(volume, kept)
    for k, level in enumerate(pyramid):
        assert level.dtype == np.float32
        assert level.mean() == pytest.approx(volume.mean(), rel=1e-5)
        n = 2**k
        assert level[-1, 0, 0] == pytest.approx(volume[-n:, :n, :n].mean(), rel=1e-5)


def test_frames_are_inverse() -> None:
    # The centre of the first voxel is half a mm from the corner of the volume.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    np.testing.assert_allclose(to_volume_mm(np.array([[10.0, 20, 30]]), affine), [[0.5] * 3])
    points = np.array([[1.0, 2, 3], [-40, 5, 77]])
    np.testing.assert_allclose(to_world_mm(to_volume_mm(points, affine), affine), points)
