"""Status of located points: plausible, doubtful or missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

#: Experts further apart than this do not agree (Baxter et al. 2021, section 2.1).
DISAGREEMENT_MM = 12.0

#: A point nearer to the edge of the image than this, or than its stated error, is `near_edge`: the
#: scalp, and air in front of it, are further away in every whole head of the training data.
EDGE_MM = 5.0

#: Column of the radius of the ball around a point that holds 90 % of errors.
RADIUS = 'error90_mm'

#: Status of a point whose target cannot be seen in the image: where it lies is a guess.
NOT_VISIBLE = 'not_visible'

#: Statuses of points that must not be used.
UNUSABLE = frozenset({'failed', 'outside_image', 'wrong_side', 'unreliable', NOT_VISIBLE})

#: Statuses of points whose gyrus is doubtful: it is another one than that of the target, or
#: cannot be told.
WRONG_GYRUS, GYRUS_UNKNOWN = 'wrong_gyrus', 'gyrus_unknown'

#: Closed vocabulary of the status column, with its meaning.
STATUSES = {
    'ok': 'found',
    'disagreement': f'found, but over {DISAGREEMENT_MM:g} mm from the other method',
    'wrong_side': 'found, but on the other side of the midline',
    WRONG_GYRUS: 'found, but not in the gyrus of the target: look at it before any use',
    'outside_image': 'found, but outside the field of view',
    'unreliable': 'found, but not to be relied on: the image does not look there as it should; '
    'see the report',
    NOT_VISIBLE: 'not seen: the point lies where the target is expected, but the image does not '
    'show it there',
    'near_edge': 'found, but so near to the edge of the field of view that what tells its '
    'position may be cut off',
    GYRUS_UNKNOWN: 'found, but it cannot be told whether it lies in the gyrus of the target',
    'failed': 'the method failed; see the report',
}


#: What is doubtful about a reviewer's point, as its status instead of the decision. Its words are
#: those of the status of a method's point where there is one.
REVIEW_CHECKS = {
    'wrong_side': STATUSES['wrong_side'],
    'far_from_methods': f'found, but over {DISAGREEMENT_MM:g} mm from the points of all methods',
}


def has_usable(statuses: Iterable[str]) -> bool:
    """Tell whether there is a point that may be used."""
    return not UNUSABLE.issuperset(statuses)


#: A lone point of a method this little across the midline is on its side: the targets of the legs
#: lie 2 mm from a plane that is known no better. If the one of the other side is across as well,
#: they are exchanged; and a point in a gyrus of the other hemisphere is in the wrong gyrus.
MIDLINE_MM = 3.0


def point_status(
    points: PointSet,
    other: PointSet | None,
    protocol: Protocol,
    shape: tuple[int, ...],
    affine: np.ndarray,
    *,
    unreliable: Collection[str] = (),
    doubts: Mapping[str, Collection[str]] = MappingProxyType({}),
    radius_mm: np.ndarray | None = None,
    edge_mm: float = EDGE_MM,
) -> list[str]:
    """Find the status of every target of a protocol.

    The first that applies: missing, outside, unreliable (then no more is known), not visible,
    wrong side, wrong gyrus, near the edge, disagreement, gyrus unknown.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    other : PointSet or None
        The same targets as another method located them.
    protocol : Protocol
        The targets, in order.
    shape, affine : tuple of int, numpy.ndarray
        Shape and affine of the image that the points lie in.
    unreliable : collection of str
        Targets whose points are not to be relied on.
    doubts : mapping
        `NOT_VISIBLE`, `WRONG_GYRUS` and `GYRUS_UNKNOWN` to the targets of which they hold.
    radius_mm : numpy.ndarray, optional
        Shape (n,): stated error of each point, NaN where there is none.
    edge_mm : float
        Least distance of a point from the edge of the image, mm.

    Returns
    -------
    list of str
        Keys of `STATUSES`, one per target.
    """
    points = points.reindex(protocol.labels)
    far = np.zeros(len(points), bool)
    if other is not None:
        far = points.distance(other) > DISAGREEMENT_MM
    doubted = {
        status: np.isin(protocol.labels, list(doubts.get(status, ())))
        for status in (NOT_VISIBLE, WRONG_GYRUS, GYRUS_UNKNOWN)
    }
    across = on_wrong_side(points, protocol, tolerance_mm=MIDLINE_MM)
    across |= swapped_pairs(points, protocol)
    findings = (
        ('failed', ~points.found),
        ('outside_image', outside_field_of_view(points, shape, affine)),
        ('unreliable', np.isin(protocol.labels, list(unreliable))),
        (NOT_VISIBLE, doubted[NOT_VISIBLE]),
        ('wrong_side', across),
        (WRONG_GYRUS, doubted[WRONG_GYRUS]),
        ('near_edge', near_edge(points, shape, affine, radius_mm, edge_mm)),
        ('disagreement', far),
        (GYRUS_UNKNOWN, doubted[GYRUS_UNKNOWN]),
    )
    return [
        next((status for status, flags in findings if flags[i]), 'ok') for i in range(len(points))
    ]


def outside_field_of_view(
    points: PointSet, shape: tuple[int, ...], affine: np.ndarray
) -> np.ndarray:
    """Tell which points lie beyond the outer faces of the image's voxels; boolean, shape (n,)."""
    return points.found & (edge_distance(points, shape, affine) < 0)


def near_edge(
    points: PointSet,
    shape: tuple[int, ...],
    affine: np.ndarray,
    radius_mm: np.ndarray | None = None,
    edge_mm: float = EDGE_MM,
) -> np.ndarray:
    """Tell which points are nearer to the edge of the image than their radius; shape (n,).

    Parameters
    ----------
    points, shape, affine, radius_mm, edge_mm
        As in `point_status`.
    """
    radius = np.full(len(points), np.nan) if radius_mm is None else radius_mm
    near = edge_distance(points, shape, affine) < np.fmax(radius, edge_mm)
    return points.found & near


def edge_distance(points: PointSet, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Distance of points from the outer faces of the image's voxels, mm; negative outside.

    NaN where a point is missing; shape (n,).

    Examples
    --------
    Voxels of 2 mm, the first of which ends at x = -1 mm:

    >>> points = PointSet.from_mapping({'a': (4.0, 10, 10), 'b': (-3.0, 10, 10)}, ('a', 'b'))
    >>> edge_distance(points, (20, 20, 20), np.diag([2.0, 2, 2, 1]))
    array([ 5., -2.])
    """
    voxels = points.transformed(np.linalg.inv(affine)).coordinates
    spacing = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    inside = np.minimum(voxels + 0.5, np.array(shape[:3]) - 0.5 - voxels) * spacing
    return inside.min(axis=1)


def on_wrong_side(
    points: PointSet,
    protocol: Protocol,
    middle_of: PointSet | None = None,
    *,
    tolerance_mm: float = 0.0,
) -> np.ndarray:
    """Tell which points lie across the midline from where they belong; boolean, shape (n,).

    The mid-sagittal plane is taken from the points themselves: its normal is the median direction
    from left targets to their right counterparts, and it passes through the median of their
    midpoints. A mirrored image header cannot be detected in this way.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in protocol order.
    protocol : Protocol
        Hemispheres of the targets, and which of them mirror each other.
    middle_of : PointSet, optional
        Points in the same order from which the plane is taken instead.
    tolerance_mm : float
        Points this little across count as on their side.
    """
    side = side_signs(protocol)
    mirror = protocol.mirror_permutation()
    middle_of = points if middle_of is None else middle_of
    left, right = middle_of.coordinates, middle_of.coordinates[mirror]
    pairs = (side < 0) & protocol.has_mirror() & middle_of.found & middle_of.found[mirror]
    if not pairs.any():
        return np.zeros(len(points), bool)
    across = (right - left)[pairs]
    # The median keeps the plane where it is when one of the pairs is swapped.
    normal = np.median(across, axis=0)
    if normal[0] <= 0:
        # Left targets to the right of right ones: every paired point is on the wrong side.
        normal = -normal
    if not normal.any():
        # Left and right in one place, as in a damaged table: there is no plane.
        return np.zeros(len(points), bool)
    origin = np.median((right + left)[pairs] / 2, axis=0)
    signed = (points.coordinates - origin) @ (normal / np.linalg.norm(normal))
    return points.found & (side * signed < -tolerance_mm)


def doubtful(
    points: PointSet, located: Mapping[str, PointSet], protocol: Protocol
) -> dict[str, str]:
    """Find what is doubtful about points that a reviewer decided on.

    Parameters
    ----------
    points : PointSet
        Accepted and moved points, mm, RAS+.
    located : mapping
        Method, or raters, to their points in the same image.
    protocol : Protocol
        The targets: their sides, and which of them mirror each other.

    Returns
    -------
    dict
        Label to one of `REVIEW_CHECKS`, for the points that need a second look.
    """
    points = points.reindex(protocol.labels)
    others = [other.reindex(protocol.labels) for other in located.values()]
    # The plane between the sides is that of the first method that has one: a few decisions, one
    # of which may be wrong, do not show it.
    mirror = protocol.mirror_permutation()
    paired = [o for o in others if (protocol.has_mirror() & o.found & o.found[mirror]).any()]
    across = on_wrong_side(points, protocol, next(iter(paired), points))
    apart = np.array([points.distance(other) for other in others]).reshape(-1, len(points))
    known = np.isfinite(apart)
    far = known.any(axis=0) & ~(known & (apart <= DISAGREEMENT_MM)).any(axis=0)
    checks = {'far_from_methods': far, 'wrong_side': across}
    return {
        label: check
        for check, flags in checks.items()
        for label, flag in zip(protocol.labels, flags, strict=True)
        if flag
    }


def swapped_pairs(points: PointSet, protocol: Protocol) -> np.ndarray:
    """Tell which targets lie on the wrong side together with their counterpart, shape (n,)."""
    across = on_wrong_side(points, protocol)
    return across & across[protocol.mirror_permutation()] & protocol.has_mirror()


def mirrored(points: PointSet, protocol: Protocol) -> bool:
    """Tell whether left and right are exchanged in every pair, and there are two pairs or more."""
    pairs = points.found & protocol.has_mirror() & points.found[protocol.mirror_permutation()]
    return bool(pairs.sum() >= 4 and on_wrong_side(points, protocol)[pairs].all())


def side_signs(protocol: Protocol) -> np.ndarray:
    """Sign of x of every target by its hemisphere: -1 left, 1 right, 0 neither; shape (n,)."""
    return np.array([{'L': -1.0, 'R': 1.0}.get(t.hemisphere, 0.0) for t in protocol.targets])
