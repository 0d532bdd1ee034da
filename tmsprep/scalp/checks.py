"""Whether there is a scalp where the surface of a head was found: heads are stripped and cut."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion, binary_fill_holes
from scipy.spatial import cKDTree

from tmsprep.evaluation.head import MIN_POINTS, MeanHead
from tmsprep.imaging.similarity import similarity
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

#: The same for the middle (median) of all entries of an image. Training participants: from 4 mm
#: inside to 6 mm outside; skull-stripped brains: 13 mm and more inside.
STRIPPED_MM = 8.0

#: A place on the surface nearer to the edge of the field of view than this may be where the head
#: is cut. Entries of the training participants are 7 mm and more from it.
CUT_MM = 3.0

#: Range of the distance of a cortical target from the scalp, mm, that needs no second look.
#: Training participants: 11 to 36; the literature of coil placement: 8 to 45.
USUAL_MM = (8.0, 45.0)


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
        given = points.reindex(self.head.labels)
        known = np.isfinite(entries).all(axis=1)
        if given.found.sum() < MIN_POINTS or not known.any():
            return offsets
        landmarks = self.head.landmarks[given.found]
        matrix, shift = similarity(landmarks, given.coordinates[given.found])
        there = (entries[known] - shift) @ np.linalg.inv(matrix).T
        nearest = self._tree.query(there)[1]
        outside = ((there - self._points[nearest]) * self._normals[nearest]).sum(axis=1)
        offsets[known] = outside * np.cbrt(np.linalg.det(matrix))
        return offsets


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


def missing_reason(distance_mm: float, offset_mm: float, margin_mm: float) -> str:
    """Say why there is no scalp at an entry; '' if there is.

    Parameters
    ----------
    distance_mm : float
        From the target, mm.
    offset_mm : float
        Outside the scalp of the mean head, mm; NaN if it is not known.
    margin_mm : float
        From the edge of the field of view, mm.
    """
    if margin_mm < CUT_MM:
        return 'the head ends here at the edge of the field of view'
    if offset_mm < -MISSING_MM:
        return (
            f'the surface lies {-offset_mm:.0f} mm inside of where the scalp of a head of this '
            'size is: the image is defaced or cut here'
        )
    return '' if distance_mm >= 1 else 'the point is not inside the head'


def unusual_reason(distance_mm: float, offset_mm: float) -> str:
    """Say why an entry needs a second look; '' if it does not.

    Parameters
    ----------
    distance_mm, offset_mm : float
        As for `missing_reason`.
    """
    low, high = USUAL_MM
    if not low <= distance_mm <= high:
        return (
            f'{distance_mm:.1f} mm from the scalp, {low:g} to {high:g} mm expected: look at the '
            'point and at the head surface'
        )
    if offset_mm > MISSING_MM:
        return (
            f'the surface lies {offset_mm:.0f} mm outside of the scalp of a head of this size: '
            'hair, a pad or noise may have been taken for scalp'
        )
    return ''
