"""Whether a mask is one of an image, by their grids alone."""

from __future__ import annotations

from itertools import product

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

#: How far the corners of two grids with the same voxels may be apart; rounding in headers is
#: below 0.01 mm, and programs that move the origin to the centre shift it by half a voxel.
_SAME_MM = 0.25

#: Share of a mask that may lie beyond the outermost voxels of the image.
_OUTSIDE = 0.01


def misplaced(
    mask: nib.spatialimages.SpatialImage, shape: tuple[int, ...], affine: np.ndarray
) -> str:
    """Say why a mask cannot be one of an image; '' if it can.

    A mask may have another grid, such as the conformed one, but then it lies in the field of view.
    If it has the voxels of the image, in any order of the axes, it has them in the same places.

    Parameters
    ----------
    mask : nibabel spatial image
        Over 0.5 is inside.
    shape : tuple of int
        Numbers of voxels of the image.
    affine : numpy.ndarray
        Shape (4, 4), of the image: voxel indices to mm, RAS+.
    """
    data = np.asanyarray(mask.dataobj)
    if data.ndim > 3 and data.size != np.prod(data.shape[:3]):
        return f'it has {data.ndim} dimensions (shape {data.shape})'
    inside = data.reshape(data.shape[:3]) > 0.5
    if inside.ndim != 3 or not inside.any():
        return 'it is empty'
    if not np.isfinite(mask.affine).all() or abs(np.linalg.det(mask.affine[:3, :3])) < 1e-9:
        return 'its header places it nowhere'
    voxels = apply_affine(np.linalg.inv(affine) @ mask.affine, np.argwhere(inside))
    outside = ((voxels < -1) | (voxels > np.array(shape))).any(axis=1).mean()
    if outside > _OUTSIDE:
        return f'{outside:.0%} of it lies outside of the image'
    away = _away(inside.shape, mask.affine, shape, affine)
    return f'its voxels are those of the image, but up to {away:.1f} mm away' if away else ''


def _away(
    shape: tuple[int, ...], affine: np.ndarray, other: tuple[int, ...], other_affine: np.ndarray
) -> float:
    """Return how far corners of two grids are apart, 0 if the grids differ or are the same."""
    sizes, other_sizes = (np.linalg.norm(a[:3, :3], axis=0) for a in (affine, other_affine))
    grid = sorted(zip(shape, sizes.round(2).tolist(), strict=True))
    if grid != sorted(zip(other, other_sizes.round(2).tolist(), strict=True)):
        return 0.0
    places, others = _corners(shape, affine), _corners(other, other_affine)
    apart = np.linalg.norm(places[:, None] - others, axis=-1).min(axis=1).max()
    return float(apart) if apart > _SAME_MM else 0.0


def _corners(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Centres of the eight voxels at the corners, mm."""
    return apply_affine(affine, np.array(list(product(*((0, n - 1) for n in shape)))))
