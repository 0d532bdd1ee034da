"""The two hemispheres of an image on a grid of their own, laid there by landmarks.

The grid lies in the frame of the landmarks (MNI, mm, RAS+); the left hemisphere is mirrored, so
that one network sees both alike: lateral is +x.
"""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine

from tmsprep.imaging.similarity import similarity

SIDES = ('L', 'R')

#: Voxels and their size in mm. The gyri around all cortical targets of both hemispheres lie in
#: the box: beyond the midline to the side, and the orbits to behind the postcentral gyrus.
SHAPE, VOXEL_MM = (40, 64, 64), 2.0

#: mm in the frame of the landmarks, with x pointing away from the midline: first voxel's centre.
FIRST_MM = (-11.0, -47.0, -31.0)


def grid_affine(side: str) -> np.ndarray:
    """Voxel indices of one hemisphere's grid to mm in the frame of the landmarks.

    Parameters
    ----------
    side : str
        'L' or 'R'.

    Returns
    -------
    numpy.ndarray
        Shape (4, 4).
    """
    sign = {'L': -1.0, 'R': 1.0}[side]
    affine = np.diag([sign * VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = np.multiply(FIRST_MM, (sign, 1, 1))
    return affine


def onto(landmarks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Find the similarity transform from landmarks to the points of a person.

    Parameters
    ----------
    landmarks : numpy.ndarray
        Shape (n, 3), mm, RAS+.
    points : numpy.ndarray
        The same shape, mm, RAS+, scanner frame; NaN where missing.

    Returns
    -------
    numpy.ndarray
        Shape (4, 4), from the frame of the landmarks to the scanner frame.
    """
    found = np.isfinite(points).all(axis=1)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = similarity(landmarks[found], points[found])
    return affine


def grid_points(affine: np.ndarray) -> np.ndarray:
    """Places of the voxels of a grid, shape (40, 64, 64, 3), in the frame `affine` leads to."""
    return apply_affine(affine, np.moveaxis(np.indices(SHAPE), 0, -1))
