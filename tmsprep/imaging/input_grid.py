"""Labels and heatmaps of an isotropic volume as images."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from tmsprep.atomic import atomic_path
from tmsprep.imaging.conform import as_image

_SAME_MM = 1e-3
"""Voxels that are nowhere further apart are the same (our choice)."""

_STEPS = 32767


def label_image(
    labels: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], input_affine: np.ndarray
) -> tuple[nib.Nifti1Image, bool]:
    """Make an image of labels, on the grid of the input if that has the same voxels.

    `imaging.isotropic.conform_isotropic` only reorders the axes of an image whose voxels are
    isotropic already; then nothing needs to be interpolated to go back.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k), uint8, of the isotropic volume.
    affine : numpy.ndarray
        Shape (4, 4), of that volume.
    shape, input_affine : tuple of int, numpy.ndarray
        Of the input image.

    Returns
    -------
    image : nibabel.Nifti1Image
        uint8.
    in_input_grid : bool
        Whether its grid is the input's.
    """
    upright = orientations.io_orientation(np.eye(4))
    back = orientations.ornt_transform(upright, orientations.io_orientation(input_affine))
    turned = orientations.apply_orientation(labels, back)
    turned_affine = affine @ orientations.inv_ornt_aff(back, labels.shape)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in turned.shape])).reshape(3, -1)
    moved = (turned_affine - input_affine)[:3] @ np.vstack([corners, np.ones(8)])
    if turned.shape == tuple(shape) and np.abs(moved).max() < _SAME_MM:
        return as_image(np.ascontiguousarray(turned), input_affine), True
    return as_image(labels, affine), False


def save_heatmap(path: Path, heatmap: np.ndarray, affine: np.ndarray) -> Path:
    """Write a heatmap whose largest value is 1, in steps of 1 / 32767.

    Parameters
    ----------
    path : Path
        A ``.nii.gz`` file.
    heatmap : numpy.ndarray
        Shape (n, m, k), at least 0, not all 0.
    affine : numpy.ndarray
        Shape (4, 4).
    """
    # Rounded in the file, the far tails of a softmax become zeros, which compress to nothing.
    image = as_image(np.rint(heatmap * (_STEPS / heatmap.max())).astype(np.int16), affine)
    # Nibabel stores whole numbers as they are, and the slope beside them.
    image.header.set_slope_inter(1 / _STEPS, 0)
    with atomic_path(path) as partial:
        nib.save(image, partial)
    return Path(path)
