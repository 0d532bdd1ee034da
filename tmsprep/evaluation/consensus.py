"""One point from those of several raters (Baxter et al. 2021, section 2.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.points import PointSet

#: Closed vocabulary of the status of a consensus, with its meaning.
CONSENSUS_STATUSES = {
    'consensus': 'the mean of the raters that agree',
    'single': 'only one rater gave the point',
    'no_consensus': 'raters gave the point, but no two of them agree',
    'missing': 'no rater gave the point',
}

# Distances are compared to a nanometre, so that rounding does not break ties.
_DECIMALS = 6


class Agreements(NamedTuple):
    """Consensus of n points.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (n, 3), mm, in the raters' frame; NaN without a consensus.
    agreeing : numpy.ndarray
        Boolean, shape (n, raters): the raters of whom a point is the mean.
    statuses : numpy.ndarray
        Shape (n,), keys of `CONSENSUS_STATUSES`.
    """

    points: np.ndarray
    agreeing: np.ndarray
    statuses: np.ndarray


class Agreement(NamedTuple):
    """Consensus of one point, as in `Agreements`, with `agreeing` as numbers of raters."""

    point: np.ndarray
    agreeing: tuple[int, ...]
    status: str


def agree(points: np.ndarray, threshold_mm: float = DISAGREEMENT_MM) -> Agreements:
    """Average, point by point, the largest group of raters who are all near each other.

    Baxter et al. 2021, section 2.1: a point needs two raters within 12 mm, and is the centre of
    mass of those with the highest agreement. The paper leaves ties open: of groups of the same
    size the one with the smaller mean distance between its raters counts, then the one of the
    earlier raters.

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

    Examples
    --------
    Two of three raters are 6 mm apart, the third is far from both:

    >>> found = agree(np.array([[[0.0, 0, 0], [6, 0, 0], [40, 0, 0]]]))
    >>> found.points, found.agreeing, found.statuses
    (array([[3., 0., 0.]]), array([[ True,  True, False]]), array(['consensus'], dtype='<U12'))
    """
    if not threshold_mm > 0 or math.isinf(threshold_mm):
        raise ValueError(f'consensus threshold: {threshold_mm} is not a positive number of mm')
    given = np.isfinite(points).all(axis=2)
    apart = points[:, :, None] - points[:, None]
    distances = np.linalg.norm(apart, axis=-1).round(_DECIMALS)
    chosen = given & (given.sum(axis=1) == 1)[:, None]
    size, spread = np.ones(len(points), dtype=int), np.full(len(points), np.inf)
    for group, near in _groups(given, distances <= threshold_mm):
        first, second = np.array(list(combinations(group, 2))).T
        mean = distances[:, first, second].mean(axis=1).round(_DECIMALS)
        better = near & ((len(group) > size) | ((len(group) == size) & (mean < spread)))
        chosen[better] = np.isin(np.arange(given.shape[1]), group)
        size[better], spread[better] = len(group), mean[better]
    return Agreements(_means(points, chosen), chosen, _statuses(given, chosen))


def _groups(given: np.ndarray, near: np.ndarray) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """List groups of two raters or more, and the points where each is near all others.

    The largest come first, then those of earlier raters. Few are left to be tried, as a group
    that agrees on no point is not enlarged.
    """
    groups: list[tuple[tuple[int, ...], np.ndarray]] = [((), np.ones(len(given), dtype=bool))]
    for rater in range(given.shape[1]):
        larger = [
            ((*group, rater), points & given[:, rater] & near[:, rater, list(group)].all(axis=1))
            for group, points in groups
        ]
        groups += [(group, points) for group, points in larger if points.any()]
    several = [(group, points) for group, points in groups if len(group) > 1]
    return sorted(several, key=lambda item: (-len(item[0]), item[0]))


def _means(points: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of the chosen raters of each point, NaN without any; shape (n, 3)."""
    sums = np.where(chosen[:, :, None], points, 0.0).sum(axis=1)
    number = chosen.sum(axis=1)[:, None]
    return np.where(number > 0, sums / np.maximum(number, 1), np.nan)


def _statuses(given: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    several, agreeing = given.sum(axis=1), chosen.sum(axis=1)
    cases = [several == 0, several == 1, agreeing == 0]
    return np.select(cases, ['missing', 'single', 'no_consensus'], 'consensus')


def consensus(
    raters: Mapping[str, PointSet], labels: Iterable[str], threshold_mm: float = DISAGREEMENT_MM
) -> tuple[PointSet, list[Agreement]]:
    """Find the consensus for every target.

    Parameters
    ----------
    raters : mapping
        Points of each rater, mm, all in the frame of one image. The order breaks ties.
    labels : iterable of str
        The targets; one that no rater names is missing.
    threshold_mm : float
        Largest distance between two raters who agree, see `agree`.

    Returns
    -------
    points : PointSet
        In the order of `labels`, missing where there is no consensus.
    agreements : list of Agreement
        One per target; raters are numbered in the order of `raters`.

    Raises
    ------
    ValueError
        If the threshold is not a positive number.
    """
    labels = tuple(labels)
    given = np.full((len(labels), len(raters), 3), np.nan)
    for i, points in enumerate(raters.values()):
        given[:, i] = points.reindex(labels).coordinates
    found = agree(given, threshold_mm)
    agreements = [
        Agreement(point, tuple(np.flatnonzero(agreeing).tolist()), str(status))
        for point, agreeing, status in zip(*found, strict=True)
    ]
    return PointSet(labels, found.points), agreements
