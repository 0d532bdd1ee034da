from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.evaluation.equivalence import tost


def test_three_people_by_hand() -> None:
    # Mean 2, standard error 1 / sqrt(3): t = 6 sqrt(3) and -2 sqrt(3) with two degrees of
    # freedom, of which the upper tail beyond t is 1/2 - t / (2 sqrt(2 + t^2)).
    found = tost(np.array([1.0, 2, 3]), np.zeros(3), margin_mm=4)
    assert found.p_lower == pytest.approx(0.5 - 6 * np.sqrt(3) / (2 * np.sqrt(110)))
    assert found.p_upper == pytest.approx(0.5 - 2 * np.sqrt(3) / (2 * np.sqrt(14)))
    assert (found.n, found.p, found.reason) == (3, found.p_upper, '')


@given(
    st.lists(st.floats(-10, 10), min_size=3, max_size=20).filter(lambda d: np.std(d) > 0.01),
    st.floats(0.1, 10),
)
def test_statsmodels_finds_the_same(values: list[float], margin: float) -> None:
    weightstats = pytest.importorskip('statsmodels.stats.weightstats')
    first, second = np.array(values), np.zeros(len(values))
    p, lower, upper = weightstats.ttost_paired(first, second, -margin, margin)
    found = tost(first, second, margin)
    np.testing.assert_allclose(found[1:4], [lower[1], upper[1], p], rtol=1e-6, atol=1e-12)


def test_not_different_is_not_equivalent() -> None:
    # Differences of +-10 mm: no difference is found, but 3 mm of one cannot be excluded.
    found = tost(np.array([10.0, -10, 10, -10]), np.zeros(4), margin_mm=3)
    assert found.p > 0.3


@pytest.mark.parametrize(
    ('first', 'n', 'reason'),
    [
        ([], 0, 'no pairs'),
        ([1.0], 1, 'only one person'),
        ([2.0, 2, 2, np.nan], 3, 'all differences are the same'),
        ([0.0, 0], 2, 'all differences are the same'),
    ],
)
def test_no_test(first: list[float], n: int, reason: str) -> None:
    found = tost(np.array(first), np.zeros(len(first)))
    assert (found.n, found.reason) == (n, reason)
    assert np.isnan(found[1:4]).all()


@pytest.mark.parametrize('margin', [0, -1, np.nan, np.inf])
def test_a_margin_is_a_positive_number(margin: float) -> None:
    with pytest.raises(ValueError, match='not a positive number of mm'):
        tost(np.zeros(3), np.zeros(3), margin)
