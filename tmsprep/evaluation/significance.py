"""Are two methods' errors different: Wilcoxon's test on people, corrected for many tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.stats import rankdata

from tmsprep.evaluation.errors import error_per_image

ALPHA = 0.05
MINIMUM_PAIRS = 6
"""With fewer differences no two-sided signed-rank test can reach 5 % (2 / 2**5 = 6 %), while the
normal approximation would claim it."""

_STARS = ((0.001, '***'), (0.01, '**'), (0.05, '*'))
# Differences are ranked to a nanometre, so that rounding does not break ties.
_DECIMALS = 6


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

    Pairs without a difference are dropped (Wilcoxon's way of 1945; scipy's ``zero_method`` and
    ``method`` are 'wilcox' and 'asymptotic'), the variance is corrected for ties, and there is no
    correction for continuity. Baxter et al. 2021, Tables 3 and 5, print these Z.

    Parameters
    ----------
    first, second : numpy.ndarray
        Shape (people,), for example mean errors in mm; pairs with a NaN are left out.
    """
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    difference = difference[np.isfinite(difference)].round(_DECIMALS)
    n = len(difference)
    changed = difference[difference != 0]
    used = len(changed)
    if n < 2 or not used:
        return PairedTest(n, np.nan, np.nan, np.nan, _no_test(n))
    ranks = rankdata(np.abs(changed))
    balance = float((np.sign(changed) * ranks).sum())
    effect = balance / float(ranks.sum())
    tested = stats.wilcoxon(changed, zero_method='wilcox', correction=False, method='asymptotic')
    # For a two-sided test scipy gives the z of the smaller rank sum, which is never positive.
    z = float(np.copysign(tested.zstatistic, balance))
    if used < MINIMUM_PAIRS:
        reason = f'fewer than {MINIMUM_PAIRS} people with a difference: too few for a p-value'
        return PairedTest(n, z, np.nan, effect, reason)
    return PairedTest(n, z, float(tested.pvalue), effect, '')


def _no_test(n: int) -> str:
    return ('no pairs', 'only one person')[n] if n < 2 else 'all differences are zero'


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
    """
    p_values = np.asarray(p_values, dtype=float)
    corrected = np.full(p_values.shape, np.nan)
    tests = np.flatnonzero(np.isfinite(p_values))
    if len(tests):
        from statsmodels.stats.multitest import multipletests

        corrected[tests] = multipletests(p_values[tests], method='holm')[1]
    return corrected


def stars(p: float) -> str:
    """Mark p as the paper's tables do: ``*`` to 5 %, ``**`` to 1 %, ``***`` to 0.1 %."""
    return next((mark for limit, mark in _STARS if p <= limit), '')


def person_pairs(
    errors: pd.DataFrame, first: str, second: str, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Pair two methods by person: one mean error each.

    First repetitions are averaged, then images and targets, only those that both methods have.
    Taking repetitions for people would find differences by chance in a third of tests.

    Parameters
    ----------
    errors : pandas.DataFrame
        As `errors.errors_against_consensus` gives them, or already `errors.error_per_image`.
    first, second : str
        Methods.
    labels : tuple of str
        Targets to average over.

    Returns
    -------
    pandas.DataFrame
        Index `participant_id`, sorted; columns 'first' and 'second', mm; empty without pairs.
    """
    wide = error_per_image(errors) if 'error_mm' in errors.columns else errors
    wide = wide.reindex(columns=[first, second]).set_axis(['first', 'second'], axis=1)
    both = wide[wide.index.get_level_values('label').isin(labels)].dropna()
    return both.groupby(level='participant_id').mean()
