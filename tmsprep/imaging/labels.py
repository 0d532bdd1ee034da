"""Label masks and heatmaps: reading, resampling, and back to the grid of the input."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from scipy.ndimage import affine_transform

from tmsprep.atomic import atomic_path
from tmsprep.imaging.conform import as_image
from tmsprep.imaging.read import load_nifti

#: Grids whose voxels differ by less than this everywhere are the same (mm).
_SAME_MM = 1e-3

#: Steps of a stored heatmap between 0 and its maximum: the largest int16.
_STEPS = 32767


def read_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a mask with labels 0, 1 and 2.

    Returns
    -------
    labels : numpy.ndarray
        Shape (n, m, k), uint8.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.

    Raises
    ------
    ImageError
        If the file is missing, damaged or not NIfTI.
    ValueError
        If it is not three-dimensional or has labels other than 0, 1 and 2.
    """
    image = load_nifti(path)
    labels = np.asanyarray(image.dataobj)
    if labels.ndim != 3 or not np.isin(labels, (0, 1, 2)).all():
        raise ValueError(
            f'{path}: a mask of both sides has three dimensions and the labels 0, 1 '
            '(left) and 2 (right). Save it again with these.'
        )
    return labels.astype(np.uint8), image.affine


def resample_labels(
    labels: np.ndarray, to_mask: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Resample a mask to another grid: a voxel gets the label that fills at least half of it.

    Each voxel is sampled at the centres of its eight octants, which are the eight voxels of a mask
    of twice the resolution.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (a, b, c), uint8.
    to_mask : numpy.ndarray
        Shape (4, 4): voxel indices of the new grid to those of `labels`.
    shape : tuple of int
        Shape of the new grid.

    Returns
    -------
    numpy.ndarray
        uint8, of `shape`.
    """
    result = np.zeros(shape, np.uint8)
    box = _box(labels, to_mask, shape)
    part = result[box]
    start = np.array([along.start for along in box])
    # Two samples per voxel and axis: a grid of twice the resolution.
    corner = to_mask[:3, :3] @ (start - 0.25) + to_mask[:3, 3]
    for label in np.unique(labels[labels > 0]):
        inside = affine_transform(
            (labels == label).astype(np.float32),
            to_mask[:3, :3] / 2,
            corner,
            output_shape=tuple(2 * n for n in part.shape),
            order=1,
        )
        octants = inside.reshape([n for size in part.shape for n in (size, 2)])
        part[octants.mean(axis=(1, 3, 5)) >= 0.5 - 1e-6] = label
    return result


def _box(
    labels: np.ndarray, to_mask: np.ndarray, shape: tuple[int, int, int]
) -> tuple[slice, slice, slice]:
    """Return the part of the new grid that contains all labels."""
    voxels = np.argwhere(labels)
    if not len(voxels):
        return slice(0, 0), slice(0, 0), slice(0, 0)
    ends = np.array(list(product(*zip(voxels.min(axis=0), voxels.max(axis=0), strict=True))))
    places = (ends - to_mask[:3, 3]) @ np.linalg.inv(to_mask[:3, :3]).T
    # A voxel of the mask reaches as far as the next one.
    reach = np.abs(np.linalg.inv(to_mask[:3, :3])).sum(axis=1) + 1
    low = np.clip(np.floor(places.min(axis=0) - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(places.max(axis=0) + reach) + 1, 0, shape).astype(int)
    x, y, z = (slice(*ends) for ends in zip(low, high, strict=True))
    return x, y, z


def label_image(
    labels: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], input_affine: np.ndarray
) -> tuple[nib.Nifti1Image, bool]:
    """Make an image of labels, on the grid of the input if that has the same voxels.

    `conform_isotropic` only reorders the axes of an image whose voxels already are isotropic, so
    that nothing needs to be interpolated to go back.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k), uint8, on the grid of the isotropic volume.
    affine : numpy.ndarray
        Shape (4, 4), of that volume.
    shape, input_affine : tuple of int, numpy.ndarray
        Grid of the input image.

    Returns
    -------
    image : nibabel.Nifti1Image
        uint8.
    in_input_grid : bool
        Whether its grid is that of the input.
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
    """Write a heatmap, scaled to a maximum of 1 and stored in steps of 1 / 32767.

    Parameters
    ----------
    path : Path
        A ``.nii.gz`` file.
    heatmap : numpy.ndarray
        Shape (n, m, k), not negative, not all 0.
    affine : numpy.ndarray
        Shape (4, 4).
    """
    # Rounded in the file, the far tails of a softmax become zeros, which compress to nothing.
    image = as_image(np.rint(heatmap * (_STEPS / heatmap.max())).astype(np.int16), affine)
    # nibabel stores integers unchanged, with this slope in the header.
    image.header.set_slope_inter(1 / _STEPS, 0)
    with atomic_path(path) as partial:
        nib.save(image, partial)
    return Path(path)
