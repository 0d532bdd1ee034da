"""Points that lie outside the head, by the brain mask among the outputs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree

from tmsprep.evaluation.findings import Finding
from tmsprep.imaging.read import load_nifti
from tmsprep.points import PointSet

#: Points further than this from the brain are outside the head above the ears: scalp and cortex
#: are up to 27 mm apart over the orbitofrontal cortex.
HEAD_MM = 30.0

# One of so many voxels of the brain is enough to tell that a point is close to it.
_SOME = 50


def outside_head(points: PointSet, mask: Path) -> list[Finding]:
    """Find points that are too far from the brain to be in the head.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the frame of the mask.
    mask : Path
        Brain mask; an unreadable one gives a warning, an empty one nothing.

    Returns
    -------
    list of Finding
        An error for each such point.
    """
    try:
        brain = _read_brain(mask, mask.stat().st_mtime_ns)
    except Exception as error:
        message = f'the brain mask {mask} cannot be read ({error}), so no point was checked by it'
        return [Finding('warning', None, message)]
    known = np.flatnonzero(points.found)
    if not len(brain.all) or not len(known):
        return []
    # A point near some voxel is near the brain, which leaves few points for the whole tree.
    away, _ = brain.some.query(points.coordinates[known])
    known = known[away > HEAD_MM]
    if not len(known):
        return []
    away, _ = cKDTree(brain.all).query(points.coordinates[known])
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


class _Brain(NamedTuple):
    """Voxels of the brain: positions in mm, RAS+, shape (n, 3), and a tree of some of them."""

    all: np.ndarray
    some: cKDTree


@lru_cache(maxsize=1)
def _read_brain(mask: Path, _mtime_ns: int) -> _Brain:
    """Read a mask once for all raters of an image, which are checked in succession."""
    image = load_nifti(mask)
    # Every second voxel: the limit is rough, and the tree eight times as small.
    voxels = 2.0 * np.argwhere(np.asanyarray(image.dataobj)[::2, ::2, ::2] > 0)
    places = apply_affine(image.affine, voxels)
    return _Brain(places, cKDTree(places[::_SOME]))
