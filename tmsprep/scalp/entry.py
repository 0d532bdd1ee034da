"""Where on the scalp a coil reaches a target: entry point, distance and normal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tmsprep.scalp.surface import HeadSurface

#: Rounds in which the foot of the perpendicular is looked for; each shrinks what is left to the
#: share that the depth has in the radius of the head, about a fifth.
_ROUNDS = 4

#: Rounds on the edges of the image, after those on the drawn surface.
_EDGE_ROUNDS = 3

#: A foot further from the nearest point of the surface than this is another place, where the
#: surface is curved more sharply than the target is deep; then the nearest point is taken.
_ASTRAY_MM = 8.0


class Entry(NamedTuple):
    """The place on the scalp over a target.

    Parameters
    ----------
    point : numpy.ndarray
        Shape (3,), mm, RAS+.
    normal : numpy.ndarray
        Shape (3,), unit, outwards: of the scalp, averaged over 10 mm.
    distance_mm : float
        From the target; negative if that lies outside of the head.
    """

    point: np.ndarray
    normal: np.ndarray
    distance_mm: float


def scalp_entry(target: np.ndarray, surface: HeadSurface) -> Entry:
    """Find the place on the scalp nearest to a target: the foot of the perpendicular.

    The nearest point of a surface is where its normal meets the target (SimNIBS takes the nearest
    vertex). The normal is that of the plane through the scalp within 10 mm, so the axis of a coil
    that lies on the scalp there passes through the target.

    Parameters
    ----------
    target : numpy.ndarray
        Shape (3,), mm, RAS+, inside the head.
    surface : HeadSurface
        Of the head.
    """
    nearest = surface.nearest(target)
    foot = nearest
    for _ in range(_ROUNDS):
        normal = surface.normal(foot)
        foot = target + normal * max(float((surface.nearest(foot) - target) @ normal), 0.0)
    if np.linalg.norm(foot - nearest) > _ASTRAY_MM:
        foot, normal = nearest, surface.normal(nearest)
    for _ in range(_EDGE_ROUNDS):
        normal = surface.touching_normal(foot, normal)
        foot = _on_edge(target + normal * ((foot - target) @ normal), normal, surface)
    return Entry(foot, normal, float((foot - target) @ normal))


def _on_edge(place: np.ndarray, normal: np.ndarray, surface: HeadSurface) -> np.ndarray:
    edge = surface.edges(place[None], normal)[0]
    return edge if np.isfinite(edge).all() else place
