"""Whether there is a scalp where the surface of a head was found: heads are stripped and cut."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_erosion, binary_fill_holes
from scipy.spatial import cKDTree

from tmsprep.evaluation.head import MIN_POINTS, MeanHead
from tmsprep.points import PointSet
from tmsprep.scalp.surface import level_points

#: Least volume of a head with its scalp, mL. Brains alone: up to 1,700 in the skull-stripped
#: images at hand; whole and defaced heads: over 2,700.
HEAD_ML = 2000.0

#: Level of the intensity of the mean head at which its scalp ends: that at which the scalp of the
#: training participants lies on it, on average over the targets.
MEAN_LEVEL = 0.3

#: Scalp further inside that of the mean head than this is no scalp but what was left of a head.
#: Entries of 41 training participants: from 8 mm inside to 8 mm outside.
MISSING_MM = 11.0

#: Scalp further inside than this is given, but named as unusual. With it, and the limits below, 4
#: of 451 entries of the training participants are.
INSIDE_MM = 6.2

#: The same for the middle (median) of all entries of an image. Training participants: from 4 mm
#: inside to 6 mm outside; skull-stripped brains: 13 mm and more inside.
STRIPPED_MM = 8.0

#: A place on the surface nearer to the edge of the field of view than this may be where the head
#: is cut. Entries of the training participants are 7 mm and more from it.
CUT_MM = 3.0

#: Range of the distance of a cortical target from the scalp, mm, that needs no second look.
#: Training participants: 11 to 36; the literature of coil placement: 8 to 45.
USUAL_MM = (8.0, 45.0)

#: A normal that is turned against that of the mean head over the same target by more than this,
#: degrees, is that of a cut. Entries of 41 training participants: up to 20; orbitofrontal entries
#: that planes before the forehead moved by over 8 mm along the skin: 37 and more.
TURNED_DEG = 25.0

#: More than this is given, but named as unusual.
USUAL_TURN_DEG = 20.0

#: A surface that lies nearer to a plane than this within `BEND_MM` (RMS), mm, is the plane of a
#: cut. Entries of the training participants: 0.32 to 1.7; of 185 that simulated cuts moved by over
#: 8 mm, 18 are below.
FLAT_MM = 0.15

#: Less is given, but named as unusual, and so is more: then the edge of a cut is near.
USUAL_BEND_MM = (0.35, 2.0)

#: Radius of the patch of scalp whose bend is measured, mm: over a smaller one, skin is flat.
BEND_MM = 20.0

#: Radius in which the normals of the mean head are averaged, mm; its voxels have 4 mm.
_SMOOTH_MM = 12.0

#: Rounds in which the foot of the perpendicular on the mean head is looked for.
_ROUNDS = 5

_CUT = 'the image is defaced or cut here'


class Signs(NamedTuple):
    """What tells whether an entry lies on scalp; NaN where it is not known.

    Parameters
    ----------
    distance_mm : float
        From the target, mm.
    offset_mm : float
        Outside the scalp of the mean head, mm, negative inside; see `MeanScalp.offsets`.
    margin_mm : float
        From the edge of the field of view, mm.
    turn_deg : float
        Of its normal against that of the mean head, degrees; see `MeanScalp.turns`.
    bend_mm : float
        Of the surface from a plane within `BEND_MM`, RMS, mm.
    """

    distance_mm: float
    offset_mm: float
    margin_mm: float
    turn_deg: float = np.nan
    bend_mm: float = np.nan


class MeanScalp:
    """The scalp of the mean head, with which entries are compared.

    Parameters
    ----------
    head : MeanHead
        The mean head of a protocol.
    """

    def __init__(self, head: MeanHead) -> None:
        # The mean head is cut through the neck and the nose; it is closed there.
        affine = head.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ np.ones(3)
        image = np.pad(head.image, 1)
        # In axial slices the scalp is a ring around the dark skull.
        inside = np.stack([binary_fill_holes(s > MEAN_LEVEL) for s in image.T]).T
        solid = np.where(binary_erosion(inside), np.maximum(image, 1), image)
        self.head = head
        self._points, self._normals = level_points(solid, affine, MEAN_LEVEL)
        self._tree = cKDTree(self._points)

    def offsets(self, entries: np.ndarray, points: PointSet) -> np.ndarray:
        """How far entries lie outside the scalp of the mean head, laid over the image by points.

        Parameters
        ----------
        entries : numpy.ndarray
            Shape (n, 3), mm, RAS+; NaN where missing.
        points : PointSet
            The targets of the image, mm, RAS+.

        Returns
        -------
        numpy.ndarray
            Shape (n,), mm, negative inside; NaN for a missing entry, or all of them if fewer than
            `tmsprep.evaluation.head.MIN_POINTS` targets are known.
        """
        offsets = np.full(len(entries), np.nan)
        known = np.isfinite(entries).all(axis=1)
        onto = self._onto(points)
        if onto is None or not known.any():
            return offsets
        matrix, shift = onto
        there = (entries[known] - shift) @ np.linalg.inv(matrix).T
        nearest = self._tree.query(there)[1]
        outside = ((there - self._points[nearest]) * self._normals[nearest]).sum(axis=1)
        offsets[known] = outside * np.cbrt(np.linalg.det(matrix))
        return offsets

    def turns(self, targets: np.ndarray, normals: np.ndarray, points: PointSet) -> np.ndarray:
        """How far normals at entries are turned against those of the mean head over the targets.

        As the normal at an entry passes through its target, this tells both of an entry that lies
        elsewhere along the skin and of a surface with another direction.

        Parameters
        ----------
        targets : numpy.ndarray
            Shape (n, 3), mm, RAS+.
        normals : numpy.ndarray
            Shape (n, 3), unit: at the entries over them; NaN where missing.
        points : PointSet
            The targets of the image, mm, RAS+.

        Returns
        -------
        numpy.ndarray
            Shape (n,), degrees; NaN as for `offsets`.
        """
        turns = np.full(len(targets), np.nan)
        onto = self._onto(points)
        if onto is None:
            return turns
        matrix, shift = onto
        scale = np.cbrt(np.linalg.det(matrix))
        for i in np.flatnonzero(np.isfinite(normals).all(axis=1)):
            expected = self._normal_over(np.linalg.solve(matrix, targets[i] - shift))
            cosine = float(normals[i] @ matrix @ expected / scale)
            turns[i] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        return turns

    def _onto(self, points: PointSet) -> tuple[np.ndarray, np.ndarray] | None:
        """Find how the mean head lies over an image; None if too few targets tell it."""
        given = points.reindex(self.head.labels)
        return self.head.onto(points) if given.found.sum() >= MIN_POINTS else None

    def _normal_over(self, target: np.ndarray) -> np.ndarray:
        """Return the normal where the perpendicular from a target meets the mean scalp."""
        place = self._points[self._tree.query(target)[1]]
        for _ in range(_ROUNDS):
            near = self._tree.query_ball_point(place, _SMOOTH_MM)
            normal = self._normals[near].sum(axis=0)
            normal /= np.linalg.norm(normal)
            foot = target + normal * ((place - target) @ normal)
            place = self._points[self._tree.query(foot)[1]]
        return normal


def stripped_reason(volume_ml: float, offsets: np.ndarray) -> str:
    """Say why an image shows no scalp at all; '' if it does.

    Parameters
    ----------
    volume_ml : float
        Of the head in the field of view.
    offsets : numpy.ndarray
        Shape (n,): of all entries, see `MeanScalp.offsets`.
    """
    known = offsets[np.isfinite(offsets)]
    if volume_ml >= HEAD_ML and not (known.size and np.median(known) < -STRIPPED_MM):
        return ''
    return (
        'the image shows no scalp: it is skull-stripped, or most of the head is cut off; use the '
        'whole image'
    )


def missing_reason(signs: Signs) -> str:
    """Say why there is no scalp at an entry; '' if there is."""
    if signs.margin_mm < CUT_MM:
        return 'the head ends here at the edge of the field of view'
    return cut_reason(signs) or (
        '' if signs.distance_mm >= 1 else 'the point is not inside the head'
    )


def cut_reason(signs: Signs) -> str:
    """Say why the surface at an entry is not skin but what a cut left; '' if nothing tells it."""
    if signs.offset_mm < -MISSING_MM:
        return (
            f'the surface lies {-signs.offset_mm:.0f} mm inside of where the scalp of a head of '
            f'this size is: {_CUT}'
        )
    # Deep inside, many places on the scalp are equally near.
    if signs.turn_deg > TURNED_DEG and signs.distance_mm <= USUAL_MM[1]:
        return (
            f'the surface is turned by {signs.turn_deg:.0f} degrees against the scalp of the mean '
            f'head over the same point: {_CUT}'
        )
    if signs.bend_mm < FLAT_MM:
        return f'the surface is a plane, as no scalp is: {_CUT}'
    return ''


def unusual_reason(signs: Signs, beside_cut: bool = False) -> str:
    """Say why an entry needs a second look; '' if it does not.

    Parameters
    ----------
    signs : Signs
        Of the entry.
    beside_cut : bool
        Whether the scalp over the same target of the other hemisphere is cut.
    """
    low, high = USUAL_MM
    if not low <= signs.distance_mm <= high:
        return (
            f'{signs.distance_mm:.1f} mm from the scalp, {low:g} to {high:g} mm expected: look at '
            'the point and at the head surface'
        )
    if signs.offset_mm > MISSING_MM:
        return (
            f'the surface lies {signs.offset_mm:.0f} mm outside of the scalp of a head of this '
            'size: hair, a pad or noise may have been taken for scalp'
        )
    if signs.offset_mm < -INSIDE_MM:
        return (
            f'the surface lies {-signs.offset_mm:.0f} mm inside of the scalp of a head of this '
            'size: the image may be defaced or cut here'
        )
    if signs.turn_deg > USUAL_TURN_DEG:
        return (
            f'the surface is turned by {signs.turn_deg:.0f} degrees against the scalp of the mean '
            'head over the same point: the image may be defaced or cut here'
        )
    if signs.bend_mm < USUAL_BEND_MM[0]:
        return 'the surface is almost a plane: the image may be defaced or cut here'
    if signs.bend_mm > USUAL_BEND_MM[1]:
        return (
            f'the surface has an edge within {BEND_MM:g} mm: the image may be defaced or cut '
            'beside the entry'
        )
    if beside_cut:
        return (
            'the scalp over the same target of the other hemisphere is defaced or cut: look at '
            'the head surface'
        )
    return ''
