"""Status of two points as the left and the right locus coeruleus."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tmsprep.evaluation.status import NOT_VISIBLE, STATUSES, point_status
from tmsprep.methods.base import points_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

#: Distance between the left and the right locus coeruleus: about 5 to 12 mm in published maps, and
#: one of them may be seen in part only. Not given in the paper.
SIDE_DISTANCE_MM = (3.0, 18.0)

#: Spread of a heatmap around its mean. In 9 of 10 phantoms like those of the training it was 2 to
#: 6.5 mm; in a whole head, for which the network was not trained, 18 and 30 mm.
MAX_SPREAD_MM = 10.0

#: A point of the two stages nearer to the edge of the image than this is `near_edge`: a nucleus is
#: 8 to 16 mm long, so that a good part of it is cut off.
EDGE_MM = 3.0

#: Status of a point of the locus coeruleus, with its meaning.
PAIR_STATUSES = {
    **{
        name: STATUSES[name]
        for name in (
            *('ok', 'wrong_side', 'outside_image', 'unreliable', 'not_visible', 'near_edge'),
            'failed',
        )
    },
    'far_apart': 'found, but left and right are not {:g} to {:g} mm apart'.format(
        *SIDE_DISTANCE_MM
    ),
    'diffuse': f'found, but the heatmap spreads over more than {MAX_SPREAD_MM:g} mm, so that the '
    'point is a mean of several positions',
}


def pair_status(
    points: PointSet,
    protocol: Protocol,
    shape: Sequence[int],
    affine: np.ndarray | Sequence[Sequence[float]],
    spread_mm: np.ndarray | Sequence[float | None],
    *,
    edge_mm: float = 0.0,
    unreliable: Collection[str] = (),
    unseen: Collection[str] = (),
) -> list[str]:
    """Find the status of both points; the most serious one wins.

    A network always gives two points, even if a side is not visible; only the two stages tell.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    protocol : Protocol
        With a left and a right target that mirror each other.
    shape, affine : tuple of int, numpy.ndarray
        Shape and affine of the image that the points lie in.
    spread_mm : numpy.ndarray
        Shape (2,), results of `heatmap_spread`; NaN where not known.
    edge_mm : float
        Least distance from the edge of the image, of which a slab is never far.
    unreliable, unseen : collection of str
        Targets whose points are not to be relied on, and those that cannot be seen. The other side
        is judged without them.

    Returns
    -------
    list of str
        Keys of `PAIR_STATUSES`, one per target.
    """
    points = points.reindex(protocol.labels)
    hidden = np.isin(protocol.labels, [*unseen, *unreliable])
    guesses = point_status(
        points,
        None,
        protocol,
        tuple(shape),
        np.asarray(affine),
        unreliable=unreliable,
        doubts={NOT_VISIBLE: unseen},
    )
    points = PointSet(points.labels, np.where(hidden[:, None], np.nan, points.coordinates))
    mirror = protocol.mirror_permutation()
    apart = np.linalg.norm(points.coordinates - points.coordinates[mirror], axis=1)
    low, high = SIDE_DISTANCE_MM
    far = (apart < low) | (apart > high)
    diffuse = np.asarray(spread_mm, dtype=float) > MAX_SPREAD_MM
    found = point_status(points, None, protocol, tuple(shape), np.asarray(affine), edge_mm=edge_mm)
    for i, status in enumerate(found):
        if hidden[i]:
            found[i] = guesses[i]
        elif status == 'ok':
            found[i] = 'far_apart' if far[i] else 'diffuse' if diffuse[i] else 'ok'
    return found


def outcome_status(
    outcome: Outcome, protocol: Protocol, properties: Mapping[str, Any]
) -> list[str]:
    """Find the status of both points of an outcome; see `pair_status`.

    Parameters
    ----------
    outcome : Outcome
        With the column 'shift_mm' if it is of the two stages.
    protocol : Protocol
        The targets.
    properties : mapping
        Of the image: 'shape', 'affine' and 'doubts'.
    """
    return pair_status(
        points_of(outcome, protocol),
        protocol,
        properties['shape'],
        properties['affine'],
        outcome.columns.get('heatmap_spread_mm', [None] * len(protocol.labels)),
        unreliable=protocol.labels if properties.get('doubts') else outcome.unreliable,
        unseen=outcome.doubts.get(NOT_VISIBLE, ()),
        edge_mm=EDGE_MM if 'shift_mm' in outcome.columns else 0.0,
    )


def heatmap_spread(heatmap: np.ndarray, voxel_mm: float) -> float:
    """Root mean square distance of a heatmap from its mean, mm.

    Parameters
    ----------
    heatmap : numpy.ndarray
        Shape (n, m, k), at least 0, not all 0.
    voxel_mm : float
        Edge of the cubic voxels.
    """
    variance = 0.0
    for axis in range(3):
        along = heatmap.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)
        along /= along.sum()
        index = np.arange(len(along))
        variance += float(along @ (index - along @ index) ** 2)
    return voxel_mm * variance**0.5
