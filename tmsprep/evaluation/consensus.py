"""One point from those of several raters, or that there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.points import PointSet

CONSENSUS_STATUSES = {
    'consensus': 'the mean of the raters that agree',
    'single': 'only one rater gave the point',
    'no_consensus': 'raters gave the point, but no two of them agree',
    'missing': 'nobody gave the point',
}
"""Closed vocabulary of `Agreement.status`, with its meaning."""

# Distances are compared to a nanometre, so that rounding does not break ties.
_DECIMALS = 6


class Agreement(NamedTuple):
    """What several raters say about one target.

    Parameters
    ----------
    point : numpy.ndarray
        Shape (3,), mm, in the raters' frame; NaN without a consensus.
    agreeing : tuple of int
        Which raters the point is the mean of.
    status : str
        A key of `CONSENSUS_STATUSES`.
    """

    point: np.ndarray
    agreeing: tuple[int, ...]
    status: str


def agree(points: np.ndarray, threshold_mm: float = DISAGREEMENT_MM) -> Agreement:
    """Take the mean of the largest group of raters who are all near each other.

    Baxter et al. 2021, section 2.1: a point needs two raters within 12 mm, and is the centre of
    mass of those with the highest agreement. Of groups of the same size the one with the smaller
    mean distance between its raters counts, then the one of the earlier raters (our choice).

    Parameters
    ----------
    points : numpy.ndarray
        Shape (raters, 3), mm; a row of NaN where a rater gave no point.
    threshold_mm : float
        Largest distance, itself included, between two raters who agree.

    Raises
    ------
    ValueError
        If the threshold is not a positive number.
    """
    check_threshold(threshold_mm)
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    given = [int(i) for i in np.flatnonzero(np.isfinite(points).all(axis=1))]
    if not given:
        return Agreement(np.full(3, np.nan), (), 'missing')
    if len(given) == 1:
        return Agreement(points[given[0]], tuple(given), 'single')
    distances = pair_distances(points)
    groups = [group for group in _groups(given, distances <= threshold_mm) if len(group) > 1]
    if not groups:
        return Agreement(np.full(3, np.nan), (), 'no_consensus')
    best = min(groups, key=lambda group: (-len(group), _spread(group, distances), group))
    return Agreement(points[list(best)].mean(axis=0), best, 'consensus')


def check_threshold(threshold_mm: float) -> None:
    """Refuse a threshold that is not a positive number of mm.

    Raises
    ------
    ValueError
        With the number.
    """
    if not threshold_mm > 0 or math.isinf(threshold_mm):
        raise ValueError(f'consensus threshold: {threshold_mm} is not a positive number of mm')


def pair_distances(points: np.ndarray) -> np.ndarray:
    """Distances in mm between every two raters, to a nanometre.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (..., raters, 3), mm.

    Returns
    -------
    numpy.ndarray
        Shape (..., raters, raters); NaN where one is missing.
    """
    apart = points[..., :, None, :] - points[..., None, :, :]
    return np.linalg.norm(apart, axis=-1).round(_DECIMALS)


def _groups(raters: list[int], near: np.ndarray) -> list[tuple[int, ...]]:
    """All groups of raters of whom each is near all others: few, as raters are few."""
    groups: list[tuple[int, ...]] = [()]
    for rater in raters:
        groups += [(*group, rater) for group in groups if near[rater, list(group)].all()]
    return groups


def _spread(group: tuple[int, ...], distances: np.ndarray) -> float:
    mean = np.mean([distances[pair] for pair in combinations(group, 2)])
    return round(float(mean), _DECIMALS)


def consensus(
    raters: Mapping[str, PointSet], labels: Iterable[str], threshold_mm: float = DISAGREEMENT_MM
) -> tuple[PointSet, list[Agreement]]:
    """Find the consensus for every target.

    Parameters
    ----------
    raters : mapping
        Each rater's points, mm, all in the frame of one image. The order breaks ties.
    labels : iterable of str
        The targets; one that no rater names is missing.
    threshold_mm : float
        See `agree`.

    Returns
    -------
    points : PointSet
        In the order of `labels`, missing where there is no consensus.
    agreements : list of Agreement
        One per target; raters are counted in the order of `raters`.

    Raises
    ------
    ValueError
        If the threshold is not a positive number.
    """
    labels = tuple(labels)
    given = np.full((len(raters), len(labels), 3), np.nan)
    for i, points in enumerate(raters.values()):
        given[i] = points.reindex(labels).coordinates
    agreements = [agree(given[:, j], threshold_mm) for j in range(len(labels))]
    found = np.array([agreement.point for agreement in agreements]).reshape(-1, 3)
    return PointSet(labels, found), agreements
