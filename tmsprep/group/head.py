"""Points that lie outside the head, by the brain mask among the outputs."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial import cKDTree

from tmsprep.evaluation.annotation_checks import Finding
from tmsprep.points import PointSet

HEAD_MM = 30.0
"""Further than this from the brain nothing belongs to the head above the ears (our choice: scalp
and cortex are up to 27 mm apart over the orbitofrontal cortex)."""


def outside_head(points: PointSet, mask: Path) -> list[Finding]:
    """Name the points that are too far from the brain to be in the head.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the frame of the mask.
    mask : Path
        Brain mask; one that cannot be read, or is empty, says nothing but a warning.

    Returns
    -------
    list of Finding
        An error for each such point.
    """
    try:
        image = nib.load(mask)
        # Every second voxel: the limit is rough, and the tree eight times smaller.
        brain = 2.0 * np.argwhere(np.asanyarray(image.dataobj)[::2, ::2, ::2] > 0)
    except Exception as error:
        message = f'the brain mask {mask} cannot be read ({error}), so no point was checked by it'
        return [Finding('warning', None, message)]
    if not len(brain) or not points.found.any():
        return []
    world = nib.affines.apply_affine(image.affine, brain)
    known = np.flatnonzero(points.found)
    away, _ = cKDTree(world).query(points.coordinates[known])
    return [
        Finding(
            'error',
            points.labels[i],
            f'{points.labels[i]} is outside the head, {distance:.0f} mm from the brain; correct '
            'it, or write n/a',
        )
        for i, distance in zip(known, away, strict=True)
        if distance > HEAD_MM
    ]
