"""Brains cut out of the head, on the coarser grids of the registration."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from tmsprep.imaging.conform import as_image

# Air kept around the brain, so that the warp can enlarge it.
_MARGIN_MM = 12
# A conformed head has air and noise; a stripped brain is exactly 0 in over half of the grid.
_STRIPPED_ZEROS = 0.5
# Nonzero volume of a stripped image: adult brains with or without CSF.
_STRIPPED_VOLUME_ML = (700.0, 2400.0)
# Brighter vessels and remains of fat would use up the bins of mutual information.
_CLIP_PERCENTILE = 99.5


@dataclass(frozen=True, eq=False)
class Brain:
    """A brain on a grid cropped around it, 0 outside.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        float32, isotropic voxels.
    mask : nibabel.Nifti1Image
        float32 on the same grid: the share of each voxel that is brain.
    """

    image: nib.Nifti1Image
    mask: nib.Nifti1Image


def brain_mask(
    image: nib.spatialimages.SpatialImage, mask: nib.spatialimages.SpatialImage | None = None
) -> nib.Nifti1Image:
    """Return the mask as given, or that of an image that is already skull-stripped.

    Parameters
    ----------
    image : nibabel spatial image
        Conformed T1w.
    mask : nibabel spatial image or None
        Brain mask on the same grid; over 0.5 is inside.

    Returns
    -------
    nibabel.Nifti1Image
        uint8 on the grid of `image`.

    Raises
    ------
    ValueError
        If the mask has another grid, is empty, or is missing while the image has a skull.
    """
    if mask is None:
        if not is_skull_stripped(image):
            raise ValueError(
                'the image still has its skull: give a brain mask (a whole head cannot be '
                'registered to a skull-stripped atlas)'
            )
        inside = np.asarray(image.dataobj) != 0
    else:
        same = mask.shape == image.shape and np.allclose(mask.affine, image.affine, atol=1e-3)
        if not same:
            raise ValueError('the brain mask and the image have different grids; resample it')
        inside = np.asarray(mask.dataobj) > 0.5
    if not inside.any():
        raise ValueError('the brain mask is empty')
    return as_image(inside.astype(np.uint8), image.affine)


def is_skull_stripped(image: nib.spatialimages.SpatialImage) -> bool:
    """Tell whether an image is exactly zero except for the volume of a brain.

    Defacing leaves zeros as well, but the rest of a head is 3 to 5 litres, well above a brain.
    """
    data = np.asarray(image.dataobj)
    filled = np.count_nonzero(data) / data.size
    volume = np.count_nonzero(data) * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    low, high = _STRIPPED_VOLUME_ML
    return bool(1 - filled > _STRIPPED_ZEROS and low < volume < high)


def cut_brain(
    image: nib.spatialimages.SpatialImage, mask: nib.spatialimages.SpatialImage, spacing_mm: int
) -> Brain:
    """Multiply by the mask, crop to it, and average blocks of voxels.

    Parameters
    ----------
    image, mask : nibabel spatial image
        Conformed image and mask on the same grid, voxels of 1 mm.
    spacing_mm : int
        Voxel size of the result.

    Raises
    ------
    ValueError
        If the voxels are not 1 mm.
    """
    if not np.allclose(np.linalg.norm(image.affine[:3, :3], axis=0), 1, atol=1e-3):
        raise ValueError('the brain is cut from images of 1 mm; conform the image first')
    inside = np.asarray(mask.dataobj) > 0.5
    start, size = _box(inside, spacing_mm)
    cut = np.asarray(image.dataobj, dtype=np.float32)
    share = _block_mean(_crop(inside.astype(np.float32), start, size), spacing_mm)
    ceiling = np.percentile(cut[inside], _CLIP_PERCENTILE)
    cut = np.clip(_crop(cut, start, size), 0, ceiling) * _crop(inside, start, size)
    affine = image.affine.astype(np.float64)
    affine[:3, 3] += affine[:3, :3] @ (start + (spacing_mm - 1) / 2)
    affine[:3, :3] *= spacing_mm
    cut = _block_mean(cut, spacing_mm)
    return Brain(nib.Nifti1Image(cut, affine), nib.Nifti1Image(share, affine))


def _box(inside: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """First voxel (may be negative) of mask plus margin, and their size, a multiple of `block`."""
    axes = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    start = np.array([axis[0] for axis in axes]) - _MARGIN_MM
    size = np.array([axis[-1] for axis in axes]) + 1 + _MARGIN_MM - start
    return start, -(-size // block) * block


def _crop(data: np.ndarray, start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Cut a box that may extend beyond the volume, where it is 0."""
    result = np.zeros(size, dtype=data.dtype)
    low, high = np.maximum(start, 0), np.minimum(start + size, data.shape)
    source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    target = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    result[target] = data[source]
    return result


def _block_mean(data: np.ndarray, block: int) -> np.ndarray:
    x, y, z = (n // block for n in data.shape)
    blocks = data.reshape(x, block, y, block, z, block)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)
