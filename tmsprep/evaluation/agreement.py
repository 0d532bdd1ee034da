"""Distances between every two methods or raters."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import AXES, CONSENSUS, POINT, RATER

#: Standard deviations on each side that hold 95 % of a normal distribution.
WITHIN_95 = 1.96


def agreement_table(points: pd.DataFrame) -> pd.DataFrame:
    """Distances between every two methods, on the points that both have.

    Repetitions of a method are averaged to one point first. A rater is not compared with a
    consensus that is this rater's point alone.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors.errors_against_consensus`.

    Returns
    -------
    pandas.DataFrame
        One row per ordered pair of methods: `first`, `second`, `mean_mm`, `sd_mm` (of the
        sample), `median_mm`, `n` (points), `people` (participants); NaN where n is too small.
    """
    places = _places(points)
    methods = list(dict.fromkeys(points['method']))
    rows = []
    for first, second in permutations(methods, 2):
        one, other = _common(places, first, second)
        distance = pd.Series(np.linalg.norm(one - other, axis=1), index=one.index, dtype=float)
        rows.append(
            {
                'first': first,
                'second': second,
                'mean_mm': distance.mean(),
                'sd_mm': distance.std(ddof=1),
                'median_mm': distance.median(),
                'n': len(distance),
                'people': distance.index.get_level_values('participant_id').nunique(),
            }
        )
    columns = ['first', 'second', 'mean_mm', 'sd_mm', 'median_mm', 'n', 'people']
    return pd.DataFrame(rows, columns=columns)


def as_matrix(agreement: pd.DataFrame, value: str = 'mean_mm') -> pd.DataFrame:
    """Lay out an `agreement_table` as a square: rows and columns are methods, NaN on the diagonal.

    Parameters
    ----------
    agreement : pandas.DataFrame
        Result of `agreement_table`, or rows of it.
    value : str
        Column to show.
    """
    methods = list(dict.fromkeys([*agreement['first'], *agreement['second']]))
    square = agreement.pivot(index='first', columns='second', values=value)
    return square.reindex(index=methods, columns=methods)


def axis_differences(points: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Difference of two methods along each axis, as a Bland-Altman plot shows it.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors.errors_against_consensus`.
    first, second : str
        Methods.

    Returns
    -------
    pandas.DataFrame
        One row per common point and axis: `participant_id`, `image`, `label`, `axis` ('x',
        'y' or 'z', RAS+), `mean_mm` (of the two coordinates), `difference_mm` (first - second).
    """
    one, other = _common(_places(points), first, second)
    parts = []
    for axis in AXES:
        middle, apart = (one[axis] + other[axis]) / 2, one[axis] - other[axis]
        part = pd.DataFrame({'mean_mm': middle, 'difference_mm': apart}).reset_index()
        part.insert(len(POINT), 'axis', axis)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def bland_altman(points: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Bias and limits of agreement of two methods along each axis.

    Bland and Altman 1986: bias ± 1.96 sd of the differences, all targets and participants
    pooled.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors.errors_against_consensus`.
    first, second : str
        Methods; differences are first - second.

    Returns
    -------
    pandas.DataFrame
        One row per axis: `first`, `second`, `axis`, `bias_mm`, `sd_mm`, `lower_mm`, `upper_mm`,
        `n` (points), `people` (participants). NaN where n is too small: 0 for the bias, 1 for
        the limits.
    """
    differences = axis_differences(points, first, second)
    rows = []
    for axis in AXES:
        of_axis = differences[differences['axis'] == axis]
        values = of_axis['difference_mm']
        bias, sd = values.mean(), values.std(ddof=1)
        rows.append(
            {
                'first': first,
                'second': second,
                'axis': axis,
                'bias_mm': bias,
                'sd_mm': sd,
                'lower_mm': bias - WITHIN_95 * sd,
                'upper_mm': bias + WITHIN_95 * sd,
                'n': len(values),
                'people': of_axis['participant_id'].nunique(),
            }
        )
    return pd.DataFrame(rows)


def _places(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Known points of each method: index `POINT`, columns x, y, z and `single` (one rater)."""
    points = points.assign(single=points['status'] == 'single')
    return {
        method: rows.groupby(POINT).agg({**dict.fromkeys(AXES, 'mean'), 'single': 'any'}).dropna()
        for method, rows in points.groupby('method')
    }


def _common(
    places: dict[str, pd.DataFrame], first: str, second: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coordinates of the points that both have, in one order, mm; index `POINT`, sorted."""
    index = pd.MultiIndex.from_arrays([[]] * len(POINT), names=POINT)
    nothing = pd.DataFrame(columns=[*AXES, 'single'], index=index, dtype=float)
    one, other = places.get(first, nothing), places.get(second, nothing)
    if CONSENSUS in (first, second) and any(m.startswith(RATER) for m in (first, second)):
        one, other = one[one['single'] == 0], other[other['single'] == 0]
    common = one.index.intersection(other.index).sort_values()
    return one.loc[common, AXES], other.loc[common, AXES]
