"""Between world coordinates and those of the conformed volume."""

from __future__ import annotations

import numpy as np


def to_volume_mm(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn world mm into mm from the outer corner of the first voxel.

    All levels of a pyramid share that corner, so a position means the same at each of them.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (..., 3), mm, RAS+.
    affine : numpy.ndarray
        Shape (4, 4), of a volume with voxels of 1 mm; it counts from the voxel's centre.

    Returns
    -------
    numpy.ndarray
        Shape (..., 3), mm along the volume's axes.
    """
    inverse = np.linalg.inv(affine)
    return points @ inverse[:3, :3].T + inverse[:3, 3] + 0.5


def to_world_mm(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn mm from the outer corner into world mm, RAS+: the inverse of `to_volume_mm`."""
    return (points - 0.5) @ affine[:3, :3].T + affine[:3, 3]
