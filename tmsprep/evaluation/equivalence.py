"""Are two methods' errors the same but for a margin: two one-sided tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MARGIN_MM = 3.0
"""Difference of mean errors that does not matter. Our choice, for want of a clinical one; it is
less than the disagreement of experts (Baxter et al. 2021, Table 2: 7 mm)."""


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

    That no difference was found does not show that there is none; this does, up to the margin.

    Parameters
    ----------
    first, second : numpy.ndarray
        Shape (people,), mean errors in mm; pairs with a NaN are left out.
    margin_mm : float
        The mean difference is tested to lie between minus and plus this.

    Raises
    ------
    ValueError
        If the margin is not a positive number.
    """
    if not 0 < margin_mm < np.inf:
        raise ValueError(f'equivalence margin: {margin_mm} is not a positive number of mm')
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    difference = difference[np.isfinite(difference)]
    n = len(difference)
    if n < 2:
        return Equivalence(n, np.nan, np.nan, np.nan, ('no pairs', 'only one person')[n])
    error = difference.std(ddof=1) / np.sqrt(n)
    if error < 1e-9:
        return Equivalence(n, np.nan, np.nan, np.nan, 'all differences are the same')
    from statsmodels.stats.weightstats import DescrStatsW

    p, (_, lower, _), (_, upper, _) = DescrStatsW(difference).ttost_mean(-margin_mm, margin_mm)
    return Equivalence(n, float(lower), float(upper), float(p), '')
