from __future__ import annotations

import numpy as np
import pytest

from tmsprep.evaluation.dispersion import dispersion


def test_equation_3_by_hand() -> None:
    # First point: 0 and 6 mm along x, mean 3, both 3 away. Second: (0, 0, 0) and (3, 4, 0) are 5
    # apart, so each 2.5 from the middle.
    predictions = np.array([[[0.0, 1, 1], [0, 0, 0]], [[6.0, 1, 1], [3, 4, 0]]])
    np.testing.assert_allclose(dispersion(predictions), [3.0, 2.5])


def test_equation_3_with_three_repetitions_by_hand() -> None:
    # 0, 0 and 9: mean 3, distances 3, 3 and 6, whose mean is 4.
    predictions = np.array([[[0.0, 0, 0]], [[0.0, 0, 0]], [[0.0, 0, 9]]])
    np.testing.assert_allclose(dispersion(predictions), [4.0])


def test_one_repetition_does_not_disperse() -> None:
    np.testing.assert_array_equal(dispersion(np.ones((1, 4, 3))), np.zeros(4))


def test_missing_stays_missing() -> None:
    predictions = np.zeros((2, 2, 3))
    predictions[1, 0] = np.nan
    np.testing.assert_array_equal(dispersion(predictions), [np.nan, 0.0])


def test_expected_factor_of_independent_repetitions() -> None:
    generator = np.random.default_rng(0)
    sizes = {n: dispersion(generator.normal(size=(n, 20000, 3))).mean() for n in (2, 5)}
    # sqrt(1/2) and sqrt(4/5) of the mean distance from the true mean, sqrt(8 / pi).
    assert sizes[2] == pytest.approx(np.sqrt(1 / 2 * 8 / np.pi), rel=0.01)
    assert sizes[5] == pytest.approx(np.sqrt(4 / 5 * 8 / np.pi), rel=0.01)
