"""Means over participants and over all but one."""

from __future__ import annotations

import numpy as np
import pytest

from tmsprep.evaluation.offsets import by_participant, mean_of_others

NAN = (np.nan,) * 3


def test_mean_of_others() -> None:
    values = np.full((5, 2, 3), np.nan)
    values[:4, 0] = np.array([1.0, 2, 4, 9])[:, None]
    values[:3, 1] = 1
    means = mean_of_others(values)
    assert means[:, 0, 0].tolist() == pytest.approx([5, 14 / 3, 4, 7 / 3, 4])
    # Of three, two are left for each, and three for the fourth.
    assert np.isnan(means[:3, 1]).all()
    assert (means[3:, 1] == 1).all()


def test_images_of_a_participant() -> None:
    values = np.array([[[1.0] * 3], [[5.0] * 3], [[3.0] * 3], [NAN]])
    names, means = by_participant(values, ['sub-02', 'sub-01', 'sub-02', 'sub-03'])
    assert names == ['sub-02', 'sub-01', 'sub-03']
    np.testing.assert_array_equal(means[:, 0, 0], [2, 5, np.nan])
