from __future__ import annotations

import numpy as np
import pytest

from tmsprep.imaging.pyramid import average_pyramid, halve


def test_blocks_are_averaged_by_hand() -> None:
    # 0 ... 7 in one block: 28 / 8.
    np.testing.assert_array_equal(halve(np.arange(8.0).reshape(2, 2, 2)), [[[3.5]]])
    # Voxel (x, y, z) holds 16 x + 4 y + z; block (1, 0, 1) lies at (2.5, 0.5, 2.5).
    volume = np.arange(64.0).reshape(4, 4, 4)
    assert halve(volume)[1, 0, 1] == 16 * 2.5 + 4 * 0.5 + 2.5


def test_axes_may_differ() -> None:
    assert halve(np.ones((2, 4, 6), np.float32)).shape == (1, 2, 3)


@pytest.mark.parametrize('shape', [(3, 2, 2), (2, 5, 2), (2, 2, 1)])
def test_odd_sizes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='even'):
        halve(np.zeros(shape))


def test_six_levels_from_1_to_32_mm() -> None:
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
