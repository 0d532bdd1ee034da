from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.evaluation.statistics import (
    bootstrap_mean,
    holm,
    icc_agreement,
    stars,
    tost,
    wilcoxon,
)

# Fisher 1935, chapter 3: Darwin's cross- and self-fertilised maize, eighths of an inch.
MAIZE = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], float)

# Hollander and Wolfe 1973, page 29, in the documentation of R's wilcox.test, where V = 40.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

# Baxter et al. 2021, Table 3: z and stars of each pair of methods.
TABLE_3 = {
    'CNN vs. Reg.': (
        [3.74, 1.46, 0.55, 1.28, 0.89, 3.84, 3.65, 2.81, 0.85, 2.66, 3.04],
        ['**', '', '', '', '', '**', '**', '*', '', '*', '*'],
    ),
    'CNN vs. Expert': ([2.11, 1.64, 0.63, 1.23, 0.61, 2.12], [''] * 6),
}
# Baxter et al. 2021, Table 5, columns 1 to 3 (each printed three times), then the others.
ENSEMBLE = [4.45, 4.45, 4.28, 4.28, 4.19, 4.36, 4.45, 4.28, 4.45, 4.36, 4.45]
ENSEMBLE_STARS = ['***', '***', '**', '**', '**', '**', '***', '**', '***', '**', '***']

# Table 2 of Shrout and Fleiss 1979: six participants, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)


def names(n: int) -> list[str]:
    return [f'sub-{i:03}' for i in range(n)]


def test_bootstrap_by_hand() -> None:
    # Means of the four equally probable draws: 0, 0.5, 0.5, 1.
    assert bootstrap_mean(np.array([0.0, 1.0]), names(2))[:2] == (0, 1)
    assert bootstrap_mean(np.array([0.0, 1.0]), names(2), level=0.4)[:2] == (0.5, 0.5)


def test_bootstrap_draws_participants() -> None:
    # Drawing sub-a twice gives 0, both 8 / 4 = 2, sub-b twice 8.
    found = bootstrap_mean(np.array([0.0, 0, 0, 8]), ['a', 'a', 'a', 'b'])
    assert found[:2] == (0, 8)
    middle = bootstrap_mean(np.array([0.0, 0, 0, 8]), ['a', 'a', 'a', 'b'], level=0.4)
    assert middle[:2] == (2, 2)


def test_bootstrap_pinned() -> None:
    # The draws of a seed must stay the same with every version of scipy.
    values = np.arange(10.0) ** 2
    assert bootstrap_mean(values, names(10))[:2] == (12.8, 46.2)
    assert bootstrap_mean(values, [*'aabbccddde'])[:2] == (6.9, 50.625)


def test_bootstrap_repetitions() -> None:
    values = np.random.default_rng(3).gamma(2, 3, 20)
    once = bootstrap_mean(values, names(20))
    assert bootstrap_mean(np.repeat(values, 5), np.repeat(names(20), 5)) == pytest.approx(once)


def test_bootstrap_order_and_seed() -> None:
    values = np.arange(10.0) ** 2
    found = bootstrap_mean(values, names(10))
    assert bootstrap_mean(values[::-1], names(10)[::-1]) == found
    assert bootstrap_mean(values, names(10), seed=2) != found


@pytest.mark.parametrize('values', [[], [1.0], [1.0, np.nan]])
def test_bootstrap_of_one(values: list[float]) -> None:
    found = bootstrap_mean(np.array(values), names(len(values)))
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert found.reason == 'fewer than two participants'


@pytest.mark.parametrize(('people', 'values'), [(2, 2), (7, 30), (300, 900), (2500, 2500)])
def test_bootstrap_of_scipy(people: int, values: int) -> None:
    """The same draws, and limits, as those of `scipy.stats.bootstrap`."""
    who, errors = np.arange(values) % people, np.random.default_rng(5).gamma(2, 2, values)
    sums, counts = np.bincount(who, weights=errors), np.bincount(who)
    expected = scipy.stats.bootstrap(
        (sums, counts),
        lambda total, number, axis: total.sum(axis=axis) / number.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=9999 if people < 2000 else 20_000_000 // people,
        batch=4_000_000 // people,
        method='percentile',
        random_state=np.random.default_rng(1),
    ).confidence_interval
    found = bootstrap_mean(errors, [f'{number:04}' for number in who])
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12)


def test_bootstrap_of_many() -> None:
    values = np.arange(4000.0) % 2
    found = bootstrap_mean(values, names(4000))
    half = 1.96 * 0.5 / np.sqrt(4000)
    assert found[:2] == pytest.approx((0.5 - half, 0.5 + half), abs=0.001)


def test_bootstrap_of_equal_values() -> None:
    assert bootstrap_mean(np.zeros(5), names(5)) == (0, 0, '')


def two_sided(z: list[float]) -> np.ndarray:
    return 2 * scipy.stats.norm.sf(np.abs(z))


def test_wilcoxon_maize() -> None:
    # -48 and -67 have the ranks 10 and 14: 24 of 120, and z = (24 - 60) / sqrt(310).
    found = wilcoxon(MAIZE, np.zeros(15))
    assert found.n == 15
    assert found.z == pytest.approx(36 / np.sqrt(310))
    assert found.p == pytest.approx(0.04089, abs=1e-5)
    assert found.effect == pytest.approx((96 - 24) / 120)


def test_wilcoxon_depression() -> None:
    # z = (40 - 22.5) / sqrt(9 * 10 * 19 / 24).
    found = wilcoxon(BEFORE, AFTER)
    assert found.z == pytest.approx(17.5 / np.sqrt(71.25))
    assert found.effect == pytest.approx((40 - 5) / 45)


@pytest.mark.parametrize(('n', 'z'), [(26, 4.45), (24, 4.28), (23, 4.19)])
def test_wilcoxon_largest_z(n: int, z: float) -> None:
    # Table 5 cuts decimals: ensembles are better in all participants.
    errors = np.linspace(1, 9, n)
    found = wilcoxon(errors, errors + np.arange(1, n + 1))
    assert np.trunc(100 * found.z) / 100 == -z
    assert found.effect == -1


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=20))
def test_wilcoxon_sign(values: list[float]) -> None:
    one, other = np.array(values), np.zeros(len(values))
    forth, back = wilcoxon(one, other), wilcoxon(other, one)
    np.testing.assert_allclose(
        [forth.z, forth.p, forth.effect], [-back.z, back.p, -back.effect], equal_nan=True
    )


def test_wilcoxon_rounded_ties() -> None:
    first = np.array([0.1 + 0.2, 0.3, 1, 1, 1, 1])
    assert wilcoxon(first, np.zeros(6)) == wilcoxon(first.round(3), np.zeros(6))


@pytest.mark.parametrize(
    ('first', 'n', 'reason'),
    [
        ([], 0, 'no pairs'),
        ([np.nan], 0, 'no pairs'),
        ([3.0], 1, 'only one participant'),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 7, 'all differences are zero'),
    ],
)
def test_no_wilcoxon(first: list[float], n: int, reason: str) -> None:
    found = wilcoxon(np.array(first), np.zeros(len(first)))
    assert (found.n, found.reason) == (n, reason)
    assert np.isnan([found.z, found.p, found.effect]).all()


def test_wilcoxon_of_five() -> None:
    # z = 7.5 / sqrt(13.75) = 2.02 would be 4.3 %, the exact test gives 6.25 %.
    found = wilcoxon(np.arange(1.0, 6), np.zeros(5))
    assert found.z == pytest.approx(7.5 / np.sqrt(13.75))
    assert np.isnan(found.p)
    assert found.effect == 1
    assert 'fewer than 6 participants' in found.reason


def test_holm_by_hand() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 is raised to 0.06.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_missing() -> None:
    np.testing.assert_allclose(holm([np.nan, 0.02, 0.8, np.nan]), [np.nan, 0.04, 0.8, np.nan])
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).shape == (0,)


@pytest.mark.parametrize('pair', TABLE_3)
def test_stars_of_table_3(pair: str) -> None:
    z, expected = TABLE_3[pair]
    assert [stars(p) for p in holm(two_sided(z))] == expected


def test_stars_of_table_5() -> None:
    # The other 66 tests have |z| up to 2.11; where they are exactly does not matter.
    corrected = holm(two_sided(ENSEMBLE * 3 + [2.11] * 66))
    assert [stars(p) for p in corrected] == ENSEMBLE_STARS * 3 + [''] * 66


def test_star_limits() -> None:
    given = [0.0009, 0.001, 0.0011, 0.01, 0.05, 0.0501, np.nan]
    assert [stars(p) for p in given] == ['***', '***', '**', '**', '*', '', '']


def false_positives(errors_mm: np.ndarray, *, pooled: bool) -> float:
    """Share of p <= 5 % in experiments of shape (experiments, participants, repetitions)."""
    differences = errors_mm.reshape(len(errors_mm), -1) if pooled else errors_mm.mean(axis=2)
    return np.mean([wilcoxon(d, np.zeros(len(d))).p <= 0.05 for d in differences])


def test_pooled_repetitions() -> None:
    random = np.random.default_rng(1)
    own = random.normal(size=(400, 12, 1))
    differences = own + random.normal(size=(400, 12, 5))
    assert false_positives(differences, pooled=True) > 0.25
    assert false_positives(differences, pooled=False) < 0.08


def test_tost_by_hand() -> None:
    # Mean 2, standard error 1 / sqrt(3): t = 6 sqrt(3) and -2 sqrt(3) with two degrees of
    # freedom, of which the upper tail beyond t is 1/2 - t / (2 sqrt(2 + t^2)).
    found = tost(np.array([1.0, 2, 3]), np.zeros(3), margin_mm=4)
    assert found.p_lower == pytest.approx(0.5 - 6 * np.sqrt(3) / (2 * np.sqrt(110)))
    assert found.p_upper == pytest.approx(0.5 - 2 * np.sqrt(3) / (2 * np.sqrt(14)))
    assert (found.n, found.p, found.reason) == (3, found.p_upper, '')


def test_tost_wide_differences() -> None:
    # Differences of +-10 mm: no difference is found, but 3 mm of one cannot be excluded.
    found = tost(np.array([10.0, -10, 10, -10]), np.zeros(4), margin_mm=3)
    assert found.p > 0.3


@pytest.mark.parametrize(
    ('first', 'n', 'reason'),
    [
        ([], 0, 'no pairs'),
        ([1.0], 1, 'only one participant'),
        ([2.0, 2, 2, np.nan], 3, 'all differences are the same'),
        ([0.0, 0], 2, 'all differences are the same'),
    ],
)
def test_no_tost(first: list[float], n: int, reason: str) -> None:
    found = tost(np.array(first), np.zeros(len(first)))
    assert (found.n, found.reason) == (n, reason)
    assert np.isnan(found[1:4]).all()


@pytest.mark.parametrize('margin', [0, -1, np.nan, np.inf])
def test_tost_margin(margin: float) -> None:
    with pytest.raises(ValueError, match='not a positive number of mm'):
        tost(np.zeros(3), np.zeros(3), margin)


def test_icc_shrout_fleiss() -> None:
    found = icc_agreement(SHROUT_FLEISS)
    # ICC(2,1) of their Table 4; the interval as McGraw and Wong's formulas give it.
    assert found.icc == pytest.approx(0.29, abs=0.005)
    assert found.low == pytest.approx(0.019, abs=0.0005)
    assert found.high == pytest.approx(0.761, abs=0.0005)
    assert found.n == 6


def test_icc_by_hand() -> None:
    # Values 1, 2, 3, the second method 1 higher: mean squares of participants 2, methods 1.5,
    # rest 0, so (2 - 0) / (2 + 0 + 2 (1.5 - 0) / 3) = 2 / 3.
    found = icc_agreement(np.array([[1, 2], [2, 3], [3, 4.0]]))
    assert found.icc == pytest.approx(2 / 3)


def test_icc_of_equal_values() -> None:
    values = np.repeat([[1.1], [1.2], [1.35]], 2, axis=1)
    assert icc_agreement(values) == (1, 1, 1, 3)


def test_icc_missing() -> None:
    values = np.vstack([SHROUT_FLEISS[:, :2], [[5, np.nan], [np.nan, 5]]])
    assert icc_agreement(values) == icc_agreement(SHROUT_FLEISS[:, :2])


@pytest.mark.parametrize(
    'values',
    [
        np.empty((0, 2)),
        np.array([[1.0, 2], [3, 4]]),
        np.array([[1.0, 2], [1, 4], [1, 5]]),
        np.array([[np.nan, 2], [1, 4], [2, 5]]),
    ],
    ids=['none', 'two participants', 'a constant method', 'two left'],
)
def test_no_icc(values: np.ndarray) -> None:
    found = icc_agreement(values)
    assert np.isnan(found[:3]).all()
    assert found.n == np.isfinite(values).all(axis=1).sum()


def test_pingouin_options() -> None:
    import pingouin

    before = dict(pingouin.options)
    icc_agreement(SHROUT_FLEISS)
    assert pingouin.options == before


@pytest.mark.parametrize('shape', [(5,), (5, 1)])
def test_icc_of_one_method(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='methods'):
        icc_agreement(np.ones(shape))
