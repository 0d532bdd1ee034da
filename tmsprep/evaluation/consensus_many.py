"""The consensus of raters on many points at once."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from tmsprep.evaluation.consensus import agree, check_threshold, pair_distances

_MOST_RATERS = 8
"""With more raters of one point there are too many groups of them to try one after the other."""


class ManyAgreements(NamedTuple):
    """What raters say about n points; see `consensus.Agreement`.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (n, 3), mm; NaN without a consensus.
    agreeing : numpy.ndarray
        Boolean, shape (n, raters): which raters a point is the mean of.
    statuses : numpy.ndarray
        Shape (n,), keys of `consensus.CONSENSUS_STATUSES`.
    """

    points: np.ndarray
    agreeing: np.ndarray
    statuses: np.ndarray


def agree_many(points: np.ndarray, threshold_mm: float) -> ManyAgreements:
    """Find for each of many points what `consensus.agree` finds for one.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (n, raters, 3), mm; NaN where a rater gave no point.
    threshold_mm : float
        Largest distance, itself included, between two raters who agree.

    Raises
    ------
    ValueError
        If the threshold is not a positive number.
    """
    check_threshold(threshold_mm)
    given = np.isfinite(points).all(axis=2)
    if given.shape[1] > _MOST_RATERS:
        return _one_by_one(points, threshold_mm)
    best = given & (given.sum(axis=1) == 1)[:, None]
    distances = pair_distances(points)
    size, spread = np.ones(len(points), dtype=int), np.full(len(points), np.inf)
    for group in _groups(given.shape[1]):
        first, second = np.array(list(combinations(group, 2))).T
        between = distances[:, first, second]
        mean = between.mean(axis=1).round(6)
        better = (len(group) > size) | ((len(group) == size) & (mean < spread))
        better &= (between <= threshold_mm).all(axis=1)
        best[better] = np.isin(np.arange(given.shape[1]), group)
        size[better], spread[better] = len(group), mean[better]
    return ManyAgreements(_means(points, best), best, _statuses(given, best))


def _groups(raters: int) -> list[tuple[int, ...]]:
    """All groups of two raters or more, the largest first, then those of earlier raters."""
    sizes = range(raters, 1, -1)
    return [group for size in sizes for group in combinations(range(raters), size)]


def _means(points: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of the chosen raters of each point, NaN without any; shape (n, 3)."""
    sums = np.where(chosen[:, :, None], points, 0.0).sum(axis=1)
    number = chosen.sum(axis=1)[:, None]
    return np.where(number > 0, sums / np.maximum(number, 1), np.nan)


def _statuses(given: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    several, agreeing = given.sum(axis=1), chosen.sum(axis=1)
    cases = [several == 0, several == 1, agreeing == 0]
    return np.select(cases, ['missing', 'single', 'no_consensus'], 'consensus')


def _one_by_one(points: np.ndarray, threshold_mm: float) -> ManyAgreements:
    found = [agree(several, threshold_mm) for several in points]
    agreeing = np.zeros(points.shape[:2], dtype=bool)
    for row, agreement in zip(agreeing, found, strict=True):
        row[list(agreement.agreeing)] = True
    places = np.array([agreement.point for agreement in found]).reshape(-1, 3)
    return ManyAgreements(places, agreeing, np.array([agreement.status for agreement in found]))
