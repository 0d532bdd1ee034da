"""The image's own field of view on cubic voxels, for networks that take any shape."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import sparse

from tmsprep.imaging.conform import as_image

__all__ = ['conform_isotropic']

_SAME_SIZE_MM = 1e-3
"""Voxel edges that differ by less are equal: rounding in headers (our choice)."""


def conform_isotropic(image: nib.spatialimages.SpatialImage, voxel_mm: float) -> nib.Nifti1Image:
    """Bring an image to cubic voxels without turning it.

    The axes are put into the order right, anterior, superior that is closest to the image's own,
    and an oblique image stays oblique: its directions stay in the affine. The middle of the field
    of view stays where it is, and so does every point in mm, RAS+, in the scanner's frame. Along
    an axis whose voxels have the wanted size already nothing is interpolated.

    Interpolation is linear, axis by axis. Towards larger voxels the interpolated line is averaged
    over the length by which the new voxel exceeds the old one (with voxels twice as large: pairs
    are averaged), so that fine detail does not fold into false structure. Both keep a straight
    slope as it is, so that nothing is shifted. Beyond the last centres the last voxel is repeated.

    Parameters
    ----------
    image : nibabel spatial image
        Three-dimensional, with an invertible affine without shear (see `imaging.read.read_t1w`).
    voxel_mm : float
        Edge of the voxels in mm; 0.75 in Duennwald et al. 2021, section 2.1.

    Returns
    -------
    nibabel.Nifti1Image
        float32, `voxel_mm` cubic, field of view that of the input to half a voxel at each end,
        qform and sform equal. Index 0 is the centre of the first voxel.

    Raises
    ------
    ValueError
        If `voxel_mm` is not a positive number.
    """
    if not voxel_mm > 0 or not np.isfinite(voxel_mm):
        raise ValueError(f'the edge of a voxel is a positive number of mm, not {voxel_mm}')
    upright = nib.as_closest_canonical(image)
    data = np.asanyarray(upright.dataobj, dtype=np.float32)
    # Column j of `change` takes new indices to old ones along axis j.
    change = np.eye(4)
    for axis, size in enumerate(np.linalg.norm(upright.affine[:3, :3], axis=0)):
        if abs(size - voxel_mm) > _SAME_SIZE_MM:
            step = voxel_mm / size
            places = _new_places(data.shape[axis], step)
            data = _interpolate_axis(data, axis, places, max(0.0, step - 1.0))
            change[axis, axis], change[axis, 3] = step, places[0]
    return as_image(np.ascontiguousarray(data), upright.affine @ change)


def _new_places(length: int, step: float) -> np.ndarray:
    """Centres of the new voxels in old indices, the middle of the field of view kept."""
    count = max(1, round(length / step))
    return (length - 1) / 2 + step * (np.arange(count) - (count - 1) / 2)


def _interpolate_axis(data: np.ndarray, axis: int, places: np.ndarray, width: float) -> np.ndarray:
    """Sample one axis at places in its indices, averaging over `width` around each."""
    moved = np.moveaxis(data, axis, 0)
    flat = np.ascontiguousarray(moved).reshape(len(moved), -1)
    sampled = _weights(data.shape[axis], places, width) @ flat
    return np.moveaxis(sampled.reshape(len(places), *moved.shape[1:]), 0, axis)


def _weights(length: int, places: np.ndarray, width: float) -> sparse.csr_array:
    """Return a matrix of shape (len(places), length) whose rows sum to 1."""
    reach = int(np.ceil(width / 2)) + 1
    near = np.floor(places).astype(int)[:, None] + np.arange(-reach, reach + 2)
    offset = places[:, None] - near
    if width < 1e-6:
        weight = np.maximum(0.0, 1.0 - np.abs(offset))
    else:
        weight = (_triangle_area(offset + width / 2) - _triangle_area(offset - width / 2)) / width
    rows = np.broadcast_to(np.arange(len(places))[:, None], near.shape)
    # Clipping repeats the outermost voxels; entries of one place add up.
    entries = (weight.ravel(), (rows.ravel(), np.clip(near, 0, length - 1).ravel()))
    return sparse.coo_array(entries, shape=(len(places), length)).tocsr().astype(np.float32)


def _triangle_area(end: np.ndarray) -> np.ndarray:
    """Area under the triangle of linear interpolation, from -1 (where it is 0) to `end`."""
    end = np.clip(end, -1.0, 1.0)
    return np.where(end < 0, (1 + end) ** 2 / 2, 1 - (1 - end) ** 2 / 2)
