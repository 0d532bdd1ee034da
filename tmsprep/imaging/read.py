"""Read an image, or say what is wrong with it."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import binary_propagation

from tmsprep.imaging.scanner_frame import ImageError, scanner_affine

__all__ = ['MAX_NON_FINITE', 'ImageError', 'load_nifti', 'read_geometry', 'read_image']

#: Up to this share of NaN and infinite voxels is taken as background wherever they are: programs
#: that correct or mask an image leave some, but more would hide a part of the head. Those that
#: reach the faces of the field of view are padding.
MAX_NON_FINITE = 0.01

#: Up to this share of the voxels may be such padding; a brain fills over 5 % of a view of 300 mm.
MAX_PADDING = 0.97

_AGAIN = 'Convert the DICOM files again (dcm2niix), or copy the file again from its source.'
_UNREADABLE = (
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    ValueError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
)

logger = logging.getLogger(__name__)


def read_image(path: Path) -> nib.Nifti1Image:
    """Read an image for localization and refuse what could only give wrong points.

    A fourth dimension of size 1 is dropped. A few voxels that are not finite, and padding of such
    voxels, become 0 (or as dark as air, if that is negative), with a warning. An invalid slope is
    ignored, with a warning, as the scale of the intensities does not matter here.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    nibabel.Nifti1Image
        3D, float32, finite. Its qform and sform are the same matrix, from voxel indices to mm,
        RAS+; `scanner_affine` describes which of the two in the file it is.
        ``extra['findings']`` lists in words what was replaced.

    Raises
    ------
    ImageError
        If the file is missing, damaged, not a 3D image of numbers, without an unambiguous frame,
        or without contrast. The message names the file and the cure.
    """
    path = Path(path)
    shape, affine, code = read_geometry(path)
    data = _read_data(path).reshape(shape)
    findings = _check_voxels(data, path)
    clean = nib.Nifti1Image(data, affine, extra={'findings': findings})
    clean.header.set_xyzt_units('mm')
    clean.set_sform(affine, code)
    clean.set_qform(affine, code)
    return clean


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
    _check_file(path)
    header = _read_header(path)
    shape = _volume_shape(header.get_data_shape(), path)
    _check_type(header, path)
    affine, code = scanner_affine(header, shape, str(path))
    return shape, affine, code


def load_nifti(path: Path) -> nib.Nifti1Image:
    """Open a NIfTI file, such as a derivative, without the checks of `read_image`.

    Shape, data type and frame are as in the file; voxels are read when they are used.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Raises
    ------
    ImageError
        If the file is missing, damaged or not NIfTI. The message names the file and the cure.
    """
    path = Path(path)
    _check_file(path)
    with _named_errors(path):
        image = nib.load(path)
    if not isinstance(image, nib.Nifti1Image):
        raise ImageError(f'{path}: not a NIfTI image. {_AGAIN}')
    return image


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged file into an `ImageError` that names it."""
    try:
        yield
    except nib.spatialimages.HeaderDataError as error:
        raise ImageError(f'{path}: the header is broken ({error}). {_AGAIN}') from error
    except _UNREADABLE as error:
        raise ImageError(f'{path}: cut short or damaged ({error}). {_AGAIN}') from error


def _check_file(path: Path) -> None:
    """Refuse a path without a file, and a file whose first bytes contradict its name."""
    if path.is_symlink() and not path.exists():
        raise ImageError(
            f'{path}: a link that leads nowhere; its content has not been fetched. Run: '
            f'datalad get {path.name} (or git annex get) in {path.parent}.'
        )
    if not path.exists():
        raise ImageError(f'{path}: no such file. Check the name, or index the data set again.')
    if not path.is_file():
        raise ImageError(f'{path}: not a file. Give one .nii.gz file.')
    try:
        with path.open('rb') as file:
            start = file.read(352)
    except OSError as error:
        raise ImageError(f'{path}: cannot be read ({error}). Check its permissions.') from error
    if not start:
        raise ImageError(f'{path}: the file is empty (0 bytes). {_AGAIN}')
    if start.startswith((b'/annex/', b'../.git/annex', b'.git/annex')):
        raise ImageError(
            f'{path}: a pointer of git-annex; its content has not been fetched. Run: datalad get '
            f'{path.name} in {path.parent}.'
        )
    zipped = start[:2] == b'\x1f\x8b'
    if zipped != (path.suffix == '.gz'):
        raise ImageError(f'{path}: {_misnamed(start)}')


def _misnamed(start: bytes) -> str:
    """Describe a file whose first bytes contradict its name."""
    if start[:2] == b'\x1f\x8b':
        return 'compressed, but not named .nii.gz. Rename it, or decompress it (gunzip).'
    if start[344:347] in (b'n+1', b'n+2') or start[4:7] == b'n+2':
        return 'a NIfTI file that is not compressed. Rename it to .nii, or compress it (gzip).'
    if all(byte in b'\t\n\r\f' or byte >= 32 for byte in start) and start.isascii():
        return f'a text file, not an image. {_AGAIN}'
    return f'not compressed by gzip, whatever its name says. {_AGAIN}'


def _read_header(path: Path) -> nib.Nifti1Header:
    """Return the header as it is in the file: nibabel would refuse or repair some of them."""
    with _named_errors(path), nib.openers.ImageOpener(str(path)) as file:
        block = file.read(nib.Nifti2Header.sizeof_hdr)
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        if kind.may_contain_header(block):
            return kind(block[: kind.sizeof_hdr], check=False)
    raise ImageError(f'{path}: not a NIfTI image. {_AGAIN}')


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
    try:
        dtype = header.get_data_dtype()
    except KeyError as error:
        raise ImageError(
            f'{path}: the header is broken (unknown datatype {error}). {_AGAIN}'
        ) from error
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
        raise ImageError(f'{path}: voxels of type {dtype} are not grey values. {_AGAIN}')
    if not np.isfinite(header['scl_slope']):
        logger.warning(
            '%s: scl_slope in the header is %s; read without a slope. To silence this, write the '
            'file again with nibabel or dcm2niix.',
            path,
            header['scl_slope'],
        )


def _read_data(path: Path) -> np.ndarray:
    image = load_nifti(path)
    # NaN and values beyond float32 are counted afterwards.
    with _named_errors(path), np.errstate(over='ignore', invalid='ignore'):
        return np.asarray(image.get_fdata(dtype=np.float32, caching='unchanged'))


def _check_voxels(data: np.ndarray, path: Path) -> list[str]:
    """Fill non-finite voxels, and say so; refuse many of them, and an image without contrast."""
    findings = []
    # NaN and infinity show in the extremes, which are needed anyway and are faster than a count.
    if not np.isfinite([data.min(), data.max()]).all():
        findings.append(_fill_non_finite(data, path))
    if data.min() == data.max():
        raise ImageError(f'{path}: all voxels are {data.flat[0]:g}: an empty image. {_AGAIN}')
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
    finding = f'{count} voxels are NaN or infinite; set to {value:g}, as air'
    logger.warning('%s: %s.', path, finding)
    return finding
