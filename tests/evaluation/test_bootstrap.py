from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from tmsprep.evaluation.bootstrap import bootstrap_mean


def names(n: int) -> list[str]:
    return [f'sub-{i:03}' for i in range(n)]


def test_two_people_by_hand() -> None:
    # Means of the four equally probable draws: 0, 0.5, 0.5, 1.
    assert bootstrap_mean(np.array([0.0, 1.0]), names(2))[:2] == (0, 1)
    assert bootstrap_mean(np.array([0.0, 1.0]), names(2), level=0.4)[:2] == (0.5, 0.5)


def test_values_of_one_person_are_drawn_together() -> None:
    # Drawing sub-a twice gives 0, both 8 / 4 = 2, sub-b twice 8.
    found = bootstrap_mean(np.array([0.0, 0, 0, 8]), ['a', 'a', 'a', 'b'])
    assert found[:2] == (0, 8)
    middle = bootstrap_mean(np.array([0.0, 0, 0, 8]), ['a', 'a', 'a', 'b'], level=0.4)
    assert middle[:2] == (2, 2)


def test_repeating_each_value_changes_nothing() -> None:
    values = np.random.default_rng(3).gamma(2, 3, 20)
    once = bootstrap_mean(values, names(20))
    assert bootstrap_mean(np.repeat(values, 5), np.repeat(names(20), 5)) == pytest.approx(once)


def test_scipy_finds_the_same_interval() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 40)
    theirs = bootstrap((values,), np.mean, method='percentile', rng=2).confidence_interval
    assert bootstrap_mean(values, names(40))[:2] == pytest.approx(theirs, abs=0.08)


def test_order_of_people_does_not_matter_and_the_seed_does() -> None:
    values = np.arange(10.0) ** 2
    found = bootstrap_mean(values, names(10))
    assert bootstrap_mean(values[::-1], names(10)[::-1]) == found
    assert bootstrap_mean(values, names(10), seed=2) != found


@pytest.mark.parametrize('values', [[], [1.0], [1.0, np.nan]])
def test_one_person_has_no_interval(values: list[float]) -> None:
    found = bootstrap_mean(np.array(values), names(len(values)))
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert found.reason == 'fewer than two people'


def test_many_people_have_the_interval_of_a_normal_mean() -> None:
    values = np.arange(4000.0) % 2
    found = bootstrap_mean(values, names(4000))
    half = 1.96 * 0.5 / np.sqrt(4000)
    assert found[:2] == pytest.approx((0.5 - half, 0.5 + half), abs=0.001)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert bootstrap_mean(np.zeros(5), names(5)) == (0, 0, '')
