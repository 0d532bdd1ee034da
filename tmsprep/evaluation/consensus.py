"""One point from those of several raters (Baxter et al. 2021, section 2.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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

#: The largest groups of raters are searched in so many steps; no number of raters who scatter as
#: experts do needs them. If they do not suffice there is no consensus.
MOST_STEPS = 50_000

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
    pairs = given[:, :, None] & given[:, None]
    near = distances <= threshold_mm
    # All who gave the point are near each other, or there is but one.
    chosen = given & (near | ~pairs).all(axis=(1, 2))[:, None]
    for point in np.flatnonzero(given.any(axis=1) & ~chosen.any(axis=1)):
        group = _best_group(near[point] & pairs[point], distances[point])
        chosen[point, group] = True
    return Agreements(_means(points, chosen), chosen, _statuses(given, chosen))


def _best_group(near: np.ndarray, distances: np.ndarray) -> list[int]:
    """Choose among the largest groups of raters who are all near each other.

    Parameters
    ----------
    near : numpy.ndarray
        Boolean, shape (raters, raters), symmetric: who is near whom.
    distances : numpy.ndarray
        Shape (raters, raters), mm.

    Returns
    -------
    list of int
        The group with the smallest mean distance, and of these the one of the earliest raters;
        empty if no two raters are near each other, or the largest groups cannot be listed in
        `MOST_STEPS` steps.
    """
    groups = _largest_groups(near)
    if not groups:
        return []
    first, second = np.triu_indices(len(groups[0]), 1)
    members = np.array(groups)
    means = distances[members[:, first], members[:, second]].mean(axis=1).round(_DECIMALS)
    return min(zip(means.tolist(), groups, strict=True))[1]


def _largest_groups(near: np.ndarray) -> list[list[int]]:
    """List all largest groups, of two raters or more, who are all near each other.

    Bron and Kerbosch 1973 (doi:10.1145/362342.362367) with pivots; branches that cannot reach the
    largest size found so far are left out. Sets of raters are bits of whole numbers.
    """
    count = len(near)
    neighbours = [sum(1 << j for j in range(count) if j != i and near[i, j]) for i in range(count)]
    found: list[list[int]] = []
    best, steps = 2, 0
    stack = [(0, (1 << count) - 1, 0)]
    while stack:
        steps += 1
        if steps > MOST_STEPS:
            return []
        group, candidates, excluded = stack.pop()
        if group.bit_count() + candidates.bit_count() < best:
            continue
        if not candidates:
            if not excluded:
                if group.bit_count() > best:
                    best, found = group.bit_count(), []
                found.append(_members(group))
            continue
        pivot = max(
            _members(candidates | excluded),
            key=lambda rater: (candidates & neighbours[rater]).bit_count(),
        )
        for rater in _members(candidates & ~neighbours[pivot]):
            mark = 1 << rater
            stack.append(
                (group | mark, candidates & neighbours[rater], excluded & neighbours[rater])
            )
            candidates, excluded = candidates & ~mark, excluded | mark
    return found


def _members(bits: int) -> list[int]:
    """List the places of the bits that are set."""
    return [place for place in range(bits.bit_length()) if bits >> place & 1]


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
