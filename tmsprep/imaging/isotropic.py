"""The image's own field of view on smaller or larger voxels: linear and sinc interpolation."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import sparse
from scipy.signal import resample

from tmsprep.imaging.conform import as_image

__all__ = ['conform_isotropic', 'upsample_sinc']

#: Voxel edges that differ by less are equal, as headers are rounded (mm).
_SAME_SIZE_MM = 1e-3


def conform_isotropic(image: nib.spatialimages.SpatialImage, voxel_mm: float) -> nib.Nifti1Image:
    """Resample an image to cubic voxels without rotating it.

    The axes are put into the order right, anterior, superior that is closest to the image's own;
    an oblique image stays oblique, with its directions in the affine. The middle of the field of
    view stays where it is, and so does every point in mm, RAS+, in the scanner frame. An axis
    whose voxels already have the wanted size is copied.

    Interpolation is linear, axis by axis. Towards larger voxels the interpolated line is averaged
    over the length by which the new voxel exceeds the old one (with voxels twice as large, pairs
    are averaged), so that fine detail does not alias. Both preserve a linear ramp, so nothing is
    shifted. Beyond the centres of the outermost voxels their values are repeated.

    Parameters
    ----------
    image : nibabel spatial image
        Three-dimensional, with an invertible affine without shear (see `read_image`).
    voxel_mm : float
        Edge of the voxels in mm; 0.75 in Duennwald et al. 2021, 2.1.

    Returns
    -------
    nibabel.Nifti1Image
        float32, cubic voxels of `voxel_mm`, the field of view of the input to half a voxel at
        each end, qform and sform equal. Index 0 is the centre of the first voxel.

    Raises
    ------
    ValueError
        If `voxel_mm` is not a positive number.
    """
    if not voxel_mm > 0 or not np.isfinite(voxel_mm):
        raise ValueError(f'the voxel size must be a positive number of mm, not {voxel_mm}')
    upright = nib.as_closest_canonical(image)
    data = np.asanyarray(upright.dataobj, dtype=np.float32)
    # Column j of `change` takes new indices to old ones along axis j.
    change = np.eye(4)
    for axis, size in enumerate(np.linalg.norm(upright.affine[:3, :3], axis=0)):
        if abs(size - voxel_mm) > _SAME_SIZE_MM:
            step = voxel_mm / size
            positions = _new_positions(data.shape[axis], step)
            data = _interpolate_axis(data, axis, positions, max(0.0, step - 1.0))
            change[axis, axis], change[axis, 3] = step, positions[0]
    return as_image(np.ascontiguousarray(data), upright.affine @ change)


def _new_positions(length: int, step: float) -> np.ndarray:
    """Centres of the new voxels in old indices, the middle of the field of view kept."""
    count = max(1, round(length / step))
    return (length - 1) / 2 + step * (np.arange(count) - (count - 1) / 2)


def _interpolate_axis(
    data: np.ndarray, axis: int, positions: np.ndarray, width: float
) -> np.ndarray:
    """Sample one axis at positions in its indices, averaging over `width` around each."""
    moved = np.moveaxis(data, axis, 0)
    flat = np.ascontiguousarray(moved).reshape(len(moved), -1)
    sampled = _weights(data.shape[axis], positions, width) @ flat
    return np.moveaxis(sampled.reshape(len(positions), *moved.shape[1:]), 0, axis)


def _weights(length: int, positions: np.ndarray, width: float) -> sparse.csr_array:
    """Return a matrix of shape (len(positions), length) whose rows sum to 1."""
    reach = int(np.ceil(width / 2)) + 1
    near = np.floor(positions).astype(int)[:, None] + np.arange(-reach, reach + 2)
    offset = positions[:, None] - near
    if width < 1e-6:
        weight = np.maximum(0.0, 1.0 - np.abs(offset))
    else:
        weight = (_triangle_area(offset + width / 2) - _triangle_area(offset - width / 2)) / width
    rows = np.broadcast_to(np.arange(len(positions))[:, None], near.shape)
    # Clipping repeats the outermost voxels; entries at the same index are summed.
    entries = (weight.ravel(), (rows.ravel(), np.clip(near, 0, length - 1).ravel()))
    return sparse.coo_array(entries, shape=(len(positions), length)).tocsr().astype(np.float32)


def _triangle_area(end: np.ndarray) -> np.ndarray:
    """Area under the triangle of linear interpolation, from -1 (where it is 0) to `end`."""
    end = np.clip(end, -1.0, 1.0)
    return np.where(end < 0, (1 + end) ** 2 / 2, 1 - (1 - end) ** 2 / 2)


def upsample_sinc(image: nib.spatialimages.SpatialImage, factor: int = 2) -> nib.Nifti1Image:
    """Interpolate an image by zero padding of its Fourier transform.

    Duennwald et al. 2021, 2.1, bring 0.75 mm to 0.375 mm "by means of a sinc filter" before the
    raters draw. The centre of the first voxel stays where it is, and every voxel of the input
    reappears unchanged at `factor` times its index. The last ``factor - 1`` new voxels along an
    axis therefore lie beyond the last old centre and are interpolated towards the first one, as
    the Fourier transform treats the image as periodic. Where opposite faces differ, and at sharp
    edges, the result rings (overshoots of some 10 % of the step, also below 0), fading with
    distance; a head surrounded by air, or a region far from the faces, is not affected by them.

    Parameters
    ----------
    image : nibabel spatial image
        Three-dimensional, finite.
    factor : int
        New voxels per old voxel along each axis.

    Returns
    -------
    nibabel.Nifti1Image
        float32, `factor` times the shape, voxels smaller by `factor`, in the same frame (mm,
        RAS+), qform and sform equal; ``factor ** 3`` times the memory of the input.

    Raises
    ------
    ValueError
        If `factor` is not a whole number of at least 1.
    """
    if factor != int(factor) or factor < 1:
        raise ValueError(f'the factor must be a whole number of at least 1, not {factor}')
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    for axis in range(3):
        data = resample(data, int(factor) * data.shape[axis], axis=axis)
    finer = image.affine @ np.diag([1 / factor] * 3 + [1.0])
    return as_image(np.ascontiguousarray(data), finer)
