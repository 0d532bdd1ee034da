"""Where the parts of a segmentation are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def centres_of_mass(
    labels: np.ndarray, affine: np.ndarray, values: Sequence[int] = (1, 2)
) -> np.ndarray:
    """Mean place of the voxels of each label: the points that a mask stands for.

    Duennwald et al. 2021, section 2.3, train on and measure from the centres of mass of the
    rater's masks.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k), whole numbers.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices (0 is the centre of the first voxel) to mm, RAS+.
    values : sequence of int
        Which labels; left and right locus coeruleus by default.

    Returns
    -------
    numpy.ndarray
        Shape (len(values), 3), mm, RAS+; NaN for a label without voxels.
    """
    centres = np.full((len(values), 3), np.nan)
    for row, value in zip(centres, values, strict=True):
        voxels = np.argwhere(labels == value)
        if len(voxels):
            row[:] = affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]
    return centres
