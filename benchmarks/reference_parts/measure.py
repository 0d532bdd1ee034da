"""How deep reference points lie in their gyri, and how firmly the rules hold them."""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import distance_transform_edt, map_coordinates

from reference_parts.landmarks import (
    LANDMARKS,
    MEDIAL_PRECENTRAL,
    MIDDLE_FRONTAL,
    ORBITAL,
    PRECENTRAL,
    TRANSVERSE_TEMPORAL,
    Case,
    Landmark,
    dlpfc,
    face,
    hand,
    heschl,
    leg,
    ofc,
    read_places,
)
from reference_parts.regions import Frame, Parcellation

#: Gyri in which the points of each rule must lie.
GYRI = {
    hand: PRECENTRAL,
    face: PRECENTRAL,
    leg: MEDIAL_PRECENTRAL,
    dlpfc: MIDDLE_FRONTAL,
    ofc: ORBITAL,
    heschl: TRANSVERSE_TEMPORAL,
}

#: How far a start is moved, mm, and the part of the gyrus that shows its directions.
MOVED_MM, _AROUND_MM = 3.0, 10.0

#: Voxels around a point in which its distance from the border of its gyrus is measured.
_BOX = 12


def inside(brain: Parcellation, landmark: Landmark, point: np.ndarray) -> tuple[float, float]:
    """Return whether the voxel of a point is in its gyrus, and how far the border is.

    Parameters
    ----------
    brain : Parcellation
        Labels of the brain.
    landmark : Landmark
        The target.
    point : numpy.ndarray
        Shape (3,), mm, RAS+.

    Returns
    -------
    tuple of float
        1 or 0; distance from the nearest voxel that is not of the gyrus, mm, negative outside.
        Both NaN for a missing point.
    """
    if not np.isfinite(point).all():
        return np.nan, np.nan
    gyrus = brain.mask(GYRI[landmark.rule], left=landmark.left)
    place = apply_affine(np.linalg.inv(brain.affine), point)
    index = np.clip(np.rint(place).astype(int), 0, np.array(gyrus.shape) - 1)
    low = np.maximum(index - _BOX, 0)
    box = gyrus[tuple(slice(a, b + _BOX + 1) for a, b in zip(low, index, strict=True))]
    sizes = voxel_sizes(brain.affine)
    border = distance_transform_edt(box, sizes) - distance_transform_edt(~box, sizes)
    distance = map_coordinates(border, (place - low)[:, None], order=1, mode='nearest')[0]
    return float(gyrus[tuple(index)]), float(distance)


def moved(
    brain: Parcellation, frame: Frame, landmark: Landmark, point: np.ndarray
) -> tuple[float, float]:
    """Return how far a point moves with its start, along the gyrus and across it, mm.

    The start is moved by 3 mm to both sides. Along and across are the first two principal
    directions of the outer part of the gyrus within 10 mm.
    """
    if not np.isfinite(point).all():
        return np.nan, np.nan
    gyrus = brain.mask(GYRI[landmark.rule], left=landmark.left)
    places, depths = apply_affine(brain.affine, np.argwhere(gyrus)), brain.depth[gyrus]
    near = np.linalg.norm(places - point, axis=1) < _AROUND_MM
    places, depths = places[near], depths[near]
    if landmark.rule is not heschl:
        places = places[depths <= np.quantile(depths, 0.4)]
    directions = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2]
    place = read_places()[landmark.label]
    start = frame.spline(place[None])[0]
    shifts = []
    for direction in directions[:2]:
        ends = [
            landmark.rule(
                Case(
                    brain,
                    frame.spline,
                    frame.matrix,
                    landmark.left,
                    start + sign * MOVED_MM * direction,
                    place,
                )
            )
            for sign in (-1, 1)
        ]
        shifts.append(float(np.mean([np.linalg.norm(end - point) for end in ends])))
    return shifts[0], shifts[1]


def by_label(label: str) -> Landmark:
    """Return the landmark of a target."""
    return next(landmark for landmark in LANDMARKS if landmark.label == label)
