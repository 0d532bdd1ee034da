"""Read an image, or say what is wrong with it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy.ndimage import binary_propagation

from tmsprep.imaging.findings import cut_by_zeros, overflowed
from tmsprep.imaging.forms import Forms
from tmsprep.imaging.nifti_file import AGAIN, NiftiFile, open_nifti
from tmsprep.imaging.scanner_frame import ImageError, scanner_affine, unit_qform

__all__ = [
    'MAX_NON_FINITE',
    'ImageError',
    'SourceImage',
    'load_nifti',
    'read_forms',
    'read_geometry',
    'read_image',
    'read_source',
]

#: Up to this share of NaN and infinite voxels is taken as background wherever they are: programs
#: that correct or mask an image leave some, but more would hide a part of the head. Those that
#: reach the faces of the field of view are padding.
MAX_NON_FINITE = 0.01

#: Up to this share of the voxels may be such padding; a brain fills over 5 % of a view of 300 mm.
MAX_PADDING = 0.97

logger = logging.getLogger(__name__)


class SourceImage(NamedTuple):
    """An image, and the checksum of the bytes that it was read from.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        As `read_image` returns it.
    sha256 : str
        SHA-256 of the file, hexadecimal.
    """

    image: nib.Nifti1Image
    sha256: str


def read_image(path: Path) -> nib.Nifti1Image:
    """Read an image for localization and refuse what could only give wrong points.

    A fourth dimension of size 1 is dropped. A few voxels that are not finite, and padding of such
    voxels, become 0 (or as dark as air, if that is negative), with a warning. An invalid slope is
    ignored, with a warning, as the scale of the intensities does not matter here. Integers that
    overflowed are mended, with a warning.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    nibabel.Nifti1Image
        3D, float32, finite. Its qform and sform are the same matrix, from voxel indices to mm,
        RAS+; `scanner_affine` describes which of the two in the file it is.
        ``extra['findings']`` lists in words what was replaced, see `tmsprep.imaging.findings`;
        ``extra['forms']`` are the qform and the sform as they are in the file.

    Raises
    ------
    ImageError
        If the file is missing, damaged, larger than the memory allows, not a 3D image of numbers,
        without an unambiguous frame, or without contrast. The message names the file and the cure.
    """
    return read_source(path).image


def read_source(path: Path) -> SourceImage:
    """Read an image as `read_image` does, with the checksum of the same bytes.

    Whoever writes the checksum of an image beside points in it takes it from here: the file may
    be another one when it is opened again.

    Raises
    ------
    ImageError
        As `read_image`.
    """
    path = Path(path)
    with open_nifti(path) as file:
        shape, affine, code = _geometry(file, path)
        voxels, sha256 = file.read()
        # NaN and values beyond float32 are counted afterwards.
        with np.errstate(over='ignore', invalid='ignore'):
            data = np.asarray(voxels, dtype=np.float32).reshape(shape)
        findings = _check_stored(file, data, path)
    findings += _check_voxels(data, path)
    for finding in findings:
        logger.warning('%s: %s.', path, finding)
    extra = {'findings': findings, 'forms': Forms.of_header(file.header)}
    clean = nib.Nifti1Image(data, affine, extra=extra)
    clean.header.set_xyzt_units('mm')
    clean.set_sform(affine, code)
    clean.set_qform(affine, code)
    return SourceImage(clean, sha256)


def read_geometry(path: Path) -> tuple[tuple[int, int, int], np.ndarray, int]:
    """Read the grid of an image from its header alone.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    shape : tuple of int
        Numbers of voxels along the three axes.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+; the one of `read_image`.
    code : int
        Its NIfTI code.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header shows it.
    """
    path = Path(path)
    with open_nifti(path) as file:
        return _geometry(file, path)


def read_forms(path: Path) -> tuple[Forms, str]:
    """Read the qform and the sform of an image, and the checksum of its file.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header shows it, and if the file is damaged.
    """
    path = Path(path)
    with open_nifti(path) as file:
        _geometry(file, path)
        return Forms.of_header(file.header), file.read()[1]


def load_nifti(path: Path) -> nib.Nifti1Image:
    """Open a NIfTI file, such as a derivative, without the checks of `read_image`.

    Shape, data type and frame are as in the file; voxels are scaled when they are used.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Raises
    ------
    ImageError
        If the file is missing, damaged, not NIfTI, or larger than the memory allows. The message
        names the file and the cure.
    """
    path = Path(path)
    with open_nifti(path) as file:
        voxels, _ = file.read()
        header = unit_qform(file.header)
        header['magic'] = header.single_magic
        kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        return kind(voxels, header.get_best_affine(), header)


def _geometry(file: NiftiFile, path: Path) -> tuple[tuple[int, int, int], np.ndarray, int]:
    """Check what the header shows; return shape, affine and its code."""
    shape = _volume_shape(file.header.get_data_shape(), path)
    _check_type(file.header, path)
    affine, code = scanner_affine(file.header, shape, str(path))
    return shape, affine, code


def _volume_shape(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """Return the shape without trailing dimensions of size 1."""
    if len(shape) > 3 and max(shape[3:]) > 1:
        raise ImageError(
            f'{path}: {len(shape)}D with {np.prod(shape[3:])} volumes ({shape}), not one. '
            'Give one volume, for example the first: fslroi FILE OUT 0 1; or correct the suffix.'
        )
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise ImageError(
            f'{path}: flat (shape {shape}), perhaps a scout scan; three dimensions are needed. '
            'Give the whole volume.'
        )
    return shape[0], shape[1], shape[2]


def _check_type(header: nib.Nifti1Header, path: Path) -> None:
    dtype = header.get_data_dtype()
    if dtype.fields is not None:
        raise ImageError(
            f'{path}: colours (RGB), perhaps a screenshot or a map of directions. Give the image '
            'of grey values.'
        )
    if dtype.kind == 'c':
        raise ImageError(
            f'{path}: complex numbers. Give the magnitude image (part-mag in BIDS names).'
        )
    if dtype.kind not in 'iuf':
        raise ImageError(f'{path}: voxels of type {dtype} are not grey values. {AGAIN}')
    if not np.isfinite(header['scl_slope']):
        logger.warning(
            '%s: scl_slope in the header is %s; read without a slope. To silence this, write the '
            'file again with nibabel or dcm2niix.',
            path,
            header['scl_slope'],
        )


def _check_stored(file: NiftiFile, data: np.ndarray, path: Path) -> list[str]:
    """Refuse a volume whose end was lost; mend voxels that overflowed in `data`, and say so."""
    stored = file.stored().reshape(data.shape, order='F')
    if lost := cut_by_zeros(stored):
        raise ImageError(f'{path}: cut short: {lost}. {AGAIN}')
    wrapped = overflowed(stored)
    if wrapped is None:
        return []
    period = 2 ** (8 * stored.dtype.itemsize)
    data[wrapped] += period * (file.header.get_slope_inter()[0] or 1.0)
    count = int(np.count_nonzero(wrapped))
    finding = (
        f'{count} voxels ({count / data.size:.2%}) are strongly negative beside bright ones, so '
        f'they overflowed {stored.dtype.name}; read as larger by {period}, but convert the DICOM '
        'files again with a current dcm2niix, or save the image as float'
    )
    return [finding]


def _check_voxels(data: np.ndarray, path: Path) -> list[str]:
    """Fill non-finite voxels, and say so; refuse many of them, and an image without contrast."""
    findings = []
    # NaN and infinity show in the extremes, which are needed anyway and are faster than a count.
    if not np.isfinite([data.min(), data.max()]).all():
        findings.append(_fill_non_finite(data, path))
    if data.min() == data.max():
        raise ImageError(f'{path}: all voxels are {data.flat[0]:g}: an empty image. {AGAIN}')
    return findings


def _fill_non_finite(data: np.ndarray, path: Path) -> str:
    bad = ~np.isfinite(data)
    count = int(bad.sum())
    outline = np.pad(np.zeros(tuple(n - 2 for n in data.shape), bool), 1, constant_values=True)
    inside = count - int(binary_propagation(bad & outline, mask=bad).sum())
    if inside > MAX_NON_FINITE * data.size or count > MAX_PADDING * data.size:
        raise ImageError(
            f'{path}: {count} voxels ({count / data.size:.1%}) are NaN or infinite, more than '
            f'{MAX_NON_FINITE:.0%} of the image inside its padding. Find the step that made them, '
            'or, if they are all background, set them to 0: fslmaths FILE -nan OUT.'
        )
    # 0 would be brighter than everything where all intensities are negative.
    value = min(0.0, float(np.percentile(data[~bad], 5)))
    data[bad] = value
    return f'{count} voxels are NaN or infinite; set to {value:g}, as air'
