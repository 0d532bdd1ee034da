"""Brain masks of other programs, on the conformed grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, find_objects, label

from tmsprep.imaging.conform import as_image, resample_mask
from tmsprep.imaging.mgh_file import load_mgh
from tmsprep.imaging.read import ImageError, load_nifti

#: Volume of a brain mask: brains of teenagers and adults, with or without CSF.
PLAUSIBLE_ML = (700.0, 2400.0)

#: Share of a mask that may be as dark as air: darker than a tenth of its bright voxels. CSF is
#: brighter; masks of stripped images may be larger than the brain.
_MOST_AIR = 0.3

#: White and grey matter of SimNIBS (tags of its head models); CSF fills the whole skull there.
_CHARM_BRAIN = (1, 2)
_CHARM_TISSUES = 'final_tissues.nii.gz'

#: Gaps between labels of tissue, as ventricles and sulci are, are closed up to twice this, mm.
_GAP_MM = 4


def open_volume(path: Path, dimensions: Sequence[int] = (3,)) -> nib.spatialimages.SpatialImage:
    """Open a volume of NIfTI or FreeSurfer.

    Parameters
    ----------
    path : Path
        The file.
    dimensions : sequence of int
        Numbers of dimensions that it may have, without those of size 1 at the end.

    Raises
    ------
    ImageError
        If it is damaged, not one of numbers, or has other dimensions.
    """
    if path.name.endswith('.mgz'):
        return load_mgh(path)
    volume = nib.funcs.squeeze_image(load_nifti(path))
    if volume.ndim not in dimensions or volume.get_data_dtype().kind not in 'iuf':
        raise ImageError(f'{path}: not a volume of numbers (shape {volume.shape})')
    return volume


def read_mask(path: Path) -> nib.Nifti1Image:
    """Read a brain mask, or the labels of tissue that one is made of.

    Parameters
    ----------
    path : Path
        Mask; ``brainmask.mgz`` of FreeSurfer, whose voxels of 1 are those that users have erased;
        its labels (``aseg.mgz``); or ``final_tissues.nii.gz`` of SimNIBS.

    Returns
    -------
    nibabel.Nifti1Image
        uint8, on the grid and in the world of the file.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    volume = open_volume(path)
    data = np.asanyarray(volume.dataobj)
    if path.name == _CHARM_TISSUES:
        inside = np.isin(data, _CHARM_BRAIN)
    else:
        inside = data > (1 if path.name == 'brainmask.mgz' else 0.5)
    return nib.Nifti1Image(inside.astype(np.uint8), volume.affine)


def bring_to_grid(
    mask: nib.Nifti1Image,
    path: Path,
    conformed: nib.spatialimages.SpatialImage,
    frame: np.ndarray,
) -> nib.Nifti1Image:
    """Bring what `read_mask` read to the grid of an image; the gaps of labels are closed.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        On its own grid.
    path : Path
        Where it was read.
    conformed : nibabel spatial image
        Its grid, of 1 mm, is that of the result.
    frame : numpy.ndarray
        Shape (4, 4), mm, RAS+: from the world of the file to that of the image.

    Returns
    -------
    nibabel.Nifti1Image
        uint8.
    """
    moved = nib.Nifti1Image(np.asarray(mask.dataobj), frame @ mask.affine)
    resampled = resample_mask(moved, conformed)
    if path.name != _CHARM_TISSUES and not path.name.endswith('aseg.mgz'):
        return resampled
    return as_image(_close(np.asarray(resampled.dataobj) > 0), conformed.affine)


def implausible(mask: nib.Nifti1Image, conformed: nib.spatialimages.SpatialImage) -> str:
    """Say why a mask cannot be that of the brain in an image; '' if it can.

    Parameters
    ----------
    mask, conformed : nibabel spatial image
        On one grid.
    """
    inside = np.asarray(mask.dataobj) > 0
    millilitres = inside.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    low, high = PLAUSIBLE_ML
    if not low <= millilitres <= high:
        return f'it measures {millilitres:.0f} mL; a brain has {low:.0f} to {high:.0f}'
    values = np.asanyarray(conformed.dataobj)[inside]
    air = float(np.mean(values < np.percentile(values, 95) / 10))
    return f'{air:.0%} of it lies in air' if air > _MOST_AIR else ''


def _close(inside: np.ndarray) -> np.ndarray:
    """Keep the largest part, close its gaps, and fill its holes; uint8."""
    result = np.zeros(inside.shape, np.uint8)
    parts, count = label(inside)
    if count == 0:
        return result
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    chosen = int(sizes.argmax())
    box = find_objects(parts)[chosen - 1]
    grown = distance_transform_edt(~np.pad(parts[box] == chosen, _GAP_MM + 1)) <= _GAP_MM
    closed = binary_fill_holes(distance_transform_edt(grown) > _GAP_MM)
    edge = slice(_GAP_MM + 1, -_GAP_MM - 1)
    result[box] = closed[edge, edge, edge]
    return result
