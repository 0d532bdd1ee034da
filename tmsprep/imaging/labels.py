"""Masks with a label for each side, and on other grids than their own."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform


def read_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a mask of the locus coeruleus.

    Returns
    -------
    labels : numpy.ndarray
        Shape (n, m, k), uint8.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.

    Raises
    ------
    ValueError
        If it is not three-dimensional or holds other labels than 0, 1 and 2.
    """
    image = nib.load(path)
    labels = np.asanyarray(image.dataobj)
    if labels.ndim != 3 or not np.isin(labels, (0, 1, 2)).all():
        raise ValueError(
            f'{path}: a mask of the locus coeruleus has three dimensions and the labels 0, 1 '
            '(left) and 2 (right). Write it again with these.'
        )
    return labels.astype(np.uint8), image.affine


def resample_labels(
    labels: np.ndarray, to_mask: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Bring a mask to another grid: a voxel has the label that at least half of it has.

    Each voxel is looked at in eight places, the centres of its octants (our choice), which are the
    eight voxels of a mask of twice the resolution.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (a, b, c), uint8.
    to_mask : numpy.ndarray
        Shape (4, 4): voxel indices of the new grid to those of `labels`.
    shape : tuple of int
        Of the new grid.

    Returns
    -------
    numpy.ndarray
        uint8, of `shape`.
    """
    result = np.zeros(shape, np.uint8)
    box = _box(labels, to_mask, shape)
    part = result[box]
    start = np.array([along.start for along in box])
    # Two places per voxel and axis: a grid of twice the resolution.
    corner = apply_affine(to_mask, start - 0.25)
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
    """Return the part of the new grid that holds all labels."""
    voxels = np.argwhere(labels)
    if not len(voxels):
        return (slice(0, 0),) * 3
    ends = np.array(list(product(*zip(voxels.min(axis=0), voxels.max(axis=0), strict=True))))
    places = (ends - to_mask[:3, 3]) @ np.linalg.inv(to_mask[:3, :3]).T
    # A voxel of the mask reaches as far as the next one.
    reach = np.abs(np.linalg.inv(to_mask[:3, :3])).sum(axis=1) + 1
    low = np.clip(np.floor(places.min(axis=0) - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(places.max(axis=0) + reach) + 1, 0, shape).astype(int)
    return tuple(slice(*ends) for ends in zip(low, high, strict=True))
