from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.imaging.normalise import normalise, percentile_window


def test_percentiles_by_hand() -> None:
    # 0, 1, ..., 100: the p-th percentile of these 101 numbers is p.
    data = np.arange(101.0)[::-1].reshape(1, 101, 1)
    assert percentile_window(data) == (5.0, 95.0)
    assert percentile_window(data, 0, 100) == (0.0, 100.0)
    assert percentile_window(data, 10, 50) == (10.0, 50.0)


def test_the_windows_ends_become_0_and_1_and_nothing_is_clipped() -> None:
    data = np.array([5.0, 95.0, 50.0, -13.0, 185.0])
    found = normalise(data, (5.0, 95.0))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.0, 1.0, 0.5, -0.2, 2.0], rtol=1e-6)
    assert data[0] == 5.0


def test_a_brain_in_a_large_empty_field_of_view_has_a_window() -> None:
    # 4 of 100 voxels are not 0, so the 95th percentile is 0 as well.
    data = np.zeros(100)
    data[:4] = [10, 20, 30, 40]
    assert percentile_window(data) == (0.0, 40.0)


def test_a_constant_image_is_refused() -> None:
    with pytest.raises(ValueError, match='constant'):
        percentile_window(np.full((3, 3, 3), 7.0))


@pytest.mark.parametrize(('lower', 'upper'), [(95, 5), (5, 5), (-1, 50), (5, 101)])
def test_percentiles_out_of_order_are_refused(lower: float, upper: float) -> None:
    with pytest.raises(ValueError, match='0 <= lower < upper <= 100'):
        percentile_window(np.arange(10.0), lower, upper)


@settings(deadline=None)
@given(gain=st.floats(0.01, 1000), offset=st.floats(-1000, 1000))
def test_gain_and_offset_of_the_scanner_cancel(gain: float, offset: float) -> None:
    data = np.random.default_rng(0).normal(size=500)
    changed = gain * data + offset
    expected = normalise(data, percentile_window(data))
    found = normalise(changed, percentile_window(changed))
    # float32 keeps 24 bits of an offset that may be large against the contrast.
    tolerance = 1e-5 + 1e-6 * abs(offset) / gain
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
