"""Bootstrap intervals, paired tests, equivalence and agreement of participants' values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

#: Resamples of the bootstrap: with other seeds the limits move by about 1 % of the width.
RESAMPLES = 9999

#: Significance level.
ALPHA = 0.05

#: With fewer differences no two-sided signed-rank test can reach 5 % (2 / 2**5 = 6 %), while the
#: normal approximation would claim it.
MINIMUM_PAIRS = 6

#: Difference of mean errors that does not matter. There is no clinical margin to go by; this is
#: less than the disagreement of experts (Baxter et al. 2021, Table 2: 7 mm).
MARGIN_MM = 3.0

#: With fewer participants the interval of an ICC says nothing.
MINIMUM_FOR_ICC = 3

# From 2000 participants on fewer suffice, and tables of ten thousand would take minutes.
_FEWEST_RESAMPLES, _DRAWS, _DRAWS_AT_A_TIME = 999, 20_000_000, 4_000_000
_STARS = ((0.001, '***'), (0.01, '**'), (0.05, '*'))
# Differences are ranked to a nanometre, so that rounding does not break ties.
_DECIMALS = 6


class Interval(NamedTuple):
    """Limits in the unit of the values, NaN if unknown for the `reason` given, otherwise ''."""

    low: float
    high: float
    reason: str


def bootstrap_mean(
    values: np.ndarray,
    participants: Sequence[str] | np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> Interval:
    """Percentile interval of the mean of all values, drawing participants with replacement.

    Efron and Tibshirani 1993, section 13.3, with whole participants as the units: all values of a
    participant, such as repetitions, are drawn together (Davison and Hinkley 1997, section 3.8).
    For the difference of two methods give one difference per participant. With few participants
    percentile intervals are too narrow, for ten by about a fifth.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (n,), for example errors in mm; NaN is left out.
    participants : sequence of str
        Participant of each value, shape (n,).
    level : float
        Probability, between 0 and 1.
    resamples : int
        Number of draws; fewer, but at least 999, with more than 2000 participants.
    seed : int
        Seed of the draws.
    """
    values, participants = np.asarray(values, dtype=float), np.asarray(participants, dtype=str)
    known = np.isfinite(values)
    _, participant = np.unique(participants[known], return_inverse=True)
    counts = np.bincount(participant)
    n = len(counts)
    if n < 2:
        return Interval(np.nan, np.nan, 'fewer than two participants')
    sums = np.bincount(participant, weights=values[known])
    draws = _draws(n, min(resamples, max(_FEWEST_RESAMPLES, _DRAWS // n)), seed)
    size = max(1, _DRAWS_AT_A_TIME // n)
    both = np.column_stack([sums, counts])
    drawn = np.concatenate([draws[i : i + size] @ both for i in range(0, len(draws), size)])
    outside = 50 * (1 - level)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [outside, 100 - outside])
    return Interval(float(low), float(high), '')


@lru_cache(maxsize=2)
def _draws(n: int, resamples: int, seed: int) -> np.ndarray:
    """Count how often each of n is drawn in each resample; shape (resamples, n).

    Tables ask for the same draws again and again. They are those of `scipy.stats.bootstrap`.
    """
    random = np.random.default_rng(seed)
    size = max(1, _DRAWS_AT_A_TIME // n)
    counts = np.empty((resamples, n), np.min_scalar_type(n))
    for start in range(0, resamples, size):
        drawn = random.integers(0, n, (min(size, resamples - start), n))
        rows = n * np.arange(len(drawn))[:, None]
        times = np.bincount((drawn + rows).ravel(), minlength=drawn.size)
        counts[start : start + size] = times.reshape(drawn.shape)
    return counts


class PairedTest(NamedTuple):
    """Result of `wilcoxon`; negative `z` and `effect` mean smaller values in the first.

    Parameters
    ----------
    n : int
        Pairs, those without a difference included.
    z : float
        Standardised rank sum.
    p : float
        Two-sided, not corrected for other tests.
    effect : float
        Matched-pairs rank-biserial correlation, -1 to 1: share of the rank sum that speaks for
        the second minus the share that speaks for the first (Kerby 2014, equation 3).
    reason : str
        Why a value is NaN; otherwise empty.
    """

    n: int
    z: float
    p: float
    effect: float
    reason: str


def wilcoxon(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Wilcoxon's signed-rank test by the normal approximation.

    Pairs without a difference are dropped, as Wilcoxon did in 1945, the variance is corrected for
    ties, and there is no correction for continuity. Baxter et al. 2021, Tables 3 and 5, print
    these Z.

    Parameters
    ----------
    first, second : numpy.ndarray
        Shape (participants,), for example mean errors in mm; pairs with a NaN are left out.
    """
    difference = _differences(first, second).round(_DECIMALS)
    n = len(difference)
    changed = difference[difference != 0]
    used = len(changed)
    if n < 2 or not used:
        return PairedTest(n, np.nan, np.nan, np.nan, _too_few(n) or 'all differences are zero')
    ranks = stats.rankdata(np.abs(changed))
    balance = float((np.sign(changed) * ranks).sum())
    effect = balance / float(ranks.sum())
    tested = stats.wilcoxon(changed, zero_method='wilcox', correction=False, method='asymptotic')
    # For a two-sided test scipy gives the z of the smaller rank sum, which is never positive.
    z = float(np.copysign(tested.zstatistic, balance))
    if used < MINIMUM_PAIRS:
        reason = f'fewer than {MINIMUM_PAIRS} participants with a difference: no p-value'
        return PairedTest(n, z, np.nan, effect, reason)
    return PairedTest(n, z, float(tested.pvalue), effect, '')


def holm(p_values: np.ndarray) -> np.ndarray:
    """Correct the p-values of one family of tests by Holm's step-down method (1979).

    Parameters
    ----------
    p_values : numpy.ndarray
        Shape (tests,); NaN, a test that could not be made, is not counted and stays NaN.

    Returns
    -------
    numpy.ndarray
        Shape (tests,): at most `ALPHA` means significant at that level in the whole family.

    Examples
    --------
    >>> holm([0.01, np.nan, 0.04]).tolist()
    [0.02, nan, 0.04]
    """
    p_values = np.asarray(p_values, dtype=float)
    corrected = np.full(p_values.shape, np.nan)
    tests = np.flatnonzero(np.isfinite(p_values))
    if len(tests):
        corrected[tests] = multipletests(p_values[tests], method='holm')[1]
    return corrected


def stars(p: float) -> str:
    """Mark p as the paper does: ``*`` up to 5 %, ``**`` up to 1 %, ``***`` up to 0.1 %."""
    return next((mark for limit, mark in _STARS if p <= limit), '')


class Equivalence(NamedTuple):
    """Result of `tost`.

    Parameters
    ----------
    n : int
        Pairs.
    p_lower, p_upper : float
        Small if the mean difference is above minus the margin, and below the margin.
    p : float
        The larger of both: at most 0.05 means equivalent, in this test by itself.
    reason : str
        Why a value is NaN; otherwise empty.
    """

    n: int
    p_lower: float
    p_upper: float
    p: float
    reason: str


def tost(first: np.ndarray, second: np.ndarray, margin_mm: float = MARGIN_MM) -> Equivalence:
    """Two one-sided t-tests on paired differences (Schuirmann 1987).

    A difference that was not found may still exist; this test shows that it is below the margin.

    Parameters
    ----------
    first, second : numpy.ndarray
        Shape (participants,), mean errors in mm; pairs with a NaN are left out.
    margin_mm : float
        Limit, on either side, within which the mean difference is tested to lie.

    Raises
    ------
    ValueError
        If the margin is not a positive number.
    """
    if not 0 < margin_mm < np.inf:
        raise ValueError(f'equivalence margin: {margin_mm} is not a positive number of mm')
    difference = _differences(first, second)
    n = len(difference)
    # Their standard error: without one there is no test.
    if n < 2 or difference.std(ddof=1) / np.sqrt(n) < 1e-9:
        reason = _too_few(n) or 'all differences are the same'
        return Equivalence(n, np.nan, np.nan, np.nan, reason)
    p, (_, lower, _), (_, upper, _) = DescrStatsW(difference).ttost_mean(-margin_mm, margin_mm)
    return Equivalence(n, float(lower), float(upper), float(p), '')


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    return difference[np.isfinite(difference)]


def _too_few(n: int) -> str:
    return {0: 'no pairs', 1: 'only one participant'}.get(n, '')


class IntraclassCorrelation(NamedTuple):
    """ICC(A,1), the limits of its 95 % interval, and the number of participants."""

    icc: float
    low: float
    high: float
    n: int


def icc_agreement(values: np.ndarray) -> IntraclassCorrelation:
    """Intraclass correlation of absolute agreement: two-way random effects, single measurement.

    ICC(2,1) of Shrout and Fleiss 1979, ICC(A,1) of McGraw and Wong 1996, computed by pingouin.
    Duennwald et al. 2021, section 2.3, compare contrast ratios from automatic and manual masks by
    an ICC but do not say which one; absolute agreement is the strict choice, since a method that
    is off by a constant does not count as agreeing. It can be negative.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (participants, methods), one unit; participants with a NaN are left out.

    Returns
    -------
    IntraclassCorrelation
        All but `n` are NaN for fewer than `MINIMUM_FOR_ICC` participants, or if the values of a
        method are all the same.

    Raises
    ------
    ValueError
        If the shape is not (participants, 2 or more methods).
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f'need the shape (participants, 2 or more methods), not {values.shape}')
    values = values[np.isfinite(values).all(axis=1)]
    n = len(values)
    if n < MINIMUM_FOR_ICC or (np.ptp(values, axis=0) == 0).any():
        return IntraclassCorrelation(np.nan, np.nan, np.nan, n)
    if np.ptp(values, axis=1).max() == 0:
        return IntraclassCorrelation(1.0, 1.0, 1.0, n)
    return IntraclassCorrelation(*_pingouin(values), n)


def _pingouin(values: np.ndarray) -> tuple[float, float, float]:
    """ICC(A,1) and its interval without pingouin's rounding to two digits."""
    import pingouin

    participants, methods = np.indices(values.shape)
    columns = {'participant': participants.ravel(), 'method': methods.ravel()}
    table = pd.DataFrame({**columns, 'value': values.ravel()})
    rounding = 'round.column.CI95'
    before = pingouin.options.get(rounding)
    pingouin.options[rounding] = None
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore')
            found = pingouin.intraclass_corr(table, 'participant', 'method', 'value')
    finally:
        pingouin.options[rounding] = before
    row = found.set_index('Type').loc['ICC(A,1)']
    low, high = row['CI95']
    return float(row['ICC']), float(low), float(high)
