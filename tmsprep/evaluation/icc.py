"""How well two ways of measuring agree on people: the intraclass correlation."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

MIN_PEOPLE = 3
"""With fewer there is no interval worth the name (our choice)."""


class Agreement(NamedTuple):
    """ICC(A,1), its 95 % interval, and the number of people it is of."""

    icc: float
    low: float
    high: float
    n: int


def icc_agreement(values: np.ndarray) -> Agreement:
    """Intraclass correlation of absolute agreement: two-way random effects, single measurement.

    ICC(2,1) of Shrout and Fleiss 1979, ICC(A,1) of McGraw and Wong 1996. Duennwald et al. 2021,
    section 2.3, compare contrast ratios from automatic and manual masks by an ICC but do not say
    which one; absolute agreement is the strict choice, since a method that is off by a constant
    does not count as agreeing. It can be negative. Computed by pingouin.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (people, methods), one unit; people with a NaN are left out.

    Returns
    -------
    Agreement
        `icc`, `low` and `high` (95 %) and `n` (people with all values). The first three are NaN
        for fewer than `MIN_PEOPLE` people, or if a method says the same of everybody.

    Raises
    ------
    ValueError
        If the shape is not (people, 2 or more methods).
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f'need the shape (people, 2 or more methods), not {values.shape}')
    values = values[np.isfinite(values).all(axis=1)]
    n = len(values)
    if n < MIN_PEOPLE or (np.ptp(values, axis=0) == 0).any():
        return Agreement(*(float('nan'),) * 3, n)
    if np.ptp(values, axis=1).max() == 0:
        return Agreement(1.0, 1.0, 1.0, n)
    return Agreement(*_pingouin(values), n)


def _pingouin(values: np.ndarray) -> tuple[float, float, float]:
    """ICC(A,1) and its interval without pingouin's rounding to two digits."""
    import pingouin

    people, methods = np.indices(values.shape)
    table = pd.DataFrame(
        {'person': people.ravel(), 'method': methods.ravel(), 'value': values.ravel()}
    )
    rounding = 'round.column.CI95'
    before = pingouin.options.get(rounding)
    pingouin.options[rounding] = None
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore')
            found = pingouin.intraclass_corr(table, 'person', 'method', 'value')
    finally:
        pingouin.options[rounding] = before
    row = found.set_index('Type').loc['ICC(A,1)']
    low, high = row['CI95']
    return float(row['ICC']), float(low), float(high)
