"""How one rater's whole file of points differs from another's of the same image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tmsprep.evaluation.status import on_wrong_side
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

COMMON_POINTS = 4
"""Fewer points than this do not tell what happened to a whole file (our choice)."""

_LPS = np.array([-1.0, -1.0, 1.0])


class Relation(NamedTuple):
    """What turns one file into another.

    Parameters
    ----------
    kind : str
        'same': most points agree as they are; 'offset': after one shift of all points;
        'flipped': after negating x and y; 'swapped': after exchanging left and right names;
        'elsewhere': by none of these.
    distance_mm : float
        Median distance between the points of the same name, as they are.
    shift_mm : numpy.ndarray
        Shape (3,), mm, RAS+: the first file's median place minus the second's.
    """

    kind: str
    distance_mm: float
    shift_mm: np.ndarray


def relate(
    first: PointSet, second: PointSet, protocol: Protocol, threshold_mm: float
) -> Relation | None:
    """Find the simplest explanation of how two raters' files differ; our rule.

    Medians are compared, so that a few slips do not count. An explanation must bring the points
    within the threshold and to less than half their distance; the best one is taken.

    Parameters
    ----------
    first, second : PointSet
        In protocol order; mm, RAS+.
    protocol : Protocol
        Says which targets mirror each other.
    threshold_mm : float
        Files whose points are nearer than this by the median are the same.

    Returns
    -------
    Relation or None
        None with fewer than `COMMON_POINTS` points in common.
    """
    a, b = first.coordinates, second.coordinates
    difference = a - b
    if np.isfinite(difference).all(axis=1).sum() < COMMON_POINTS:
        return None
    shift = np.nanmedian(difference, axis=0)
    before = _median(difference)
    after = {'offset': _median(difference - shift), 'flipped': _median(a * _LPS - b)}
    if np.linalg.norm(shift) <= threshold_mm:
        del after['offset']
    better = {k: d for k, d in after.items() if before > threshold_mm and _explains(d, before)}
    # Midline targets stay where they are when names are exchanged: only pairs count.
    pairs = protocol.has_mirror()
    straight, exchanged = difference[pairs], (a[protocol.mirror_permutation()] - b)[pairs]
    enough = min(np.isfinite(d).all(axis=1).sum() for d in (straight, exchanged)) >= COMMON_POINTS
    if enough and _median(straight) > threshold_mm:
        swapped = _median(exchanged)
        if _explains(swapped, _median(straight)):
            better['swapped'] = swapped
    better = {kind: distance for kind, distance in better.items() if distance <= threshold_mm}
    default = 'same' if before <= threshold_mm else 'elsewhere'
    kind = min(better, key=better.__getitem__, default=default)
    return Relation(kind, before, shift)


def _median(differences: np.ndarray) -> float:
    return float(np.nanmedian(np.linalg.norm(differences, axis=1)))


def _explains(after: float, before: float) -> bool:
    return after < before / 2


def is_mirrored(points: PointSet, protocol: Protocol) -> bool:
    """Tell whether every left target lies to the right of its counterpart, in two pairs or more.

    Parameters
    ----------
    points : PointSet
        In protocol order; mm, RAS+.
    protocol : Protocol
        Says which targets mirror each other.
    """
    paired = points.found & protocol.has_mirror() & points.found[protocol.mirror_permutation()]
    if paired.sum() < COMMON_POINTS:
        return False
    return bool(on_wrong_side(points, protocol)[paired].all())
