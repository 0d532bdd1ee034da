"""Volumes of FreeSurfer (``.mgz``), read within bounds."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.imaging.nifti_file import MAX_VOXELS, named_errors, require_memory
from tmsprep.imaging.scanner_frame import ImageError

_HEADER = nib.freesurfer.mghformat.MGHHeader.template_dtype.itemsize

_AGAIN = 'Copy the file again, or run recon-all again.'


def load_mgh(path: Path) -> nib.MGHImage:
    """Open a volume of FreeSurfer, of which no more is unpacked than its header announces.

    Parameters
    ----------
    path : Path
        A ``.mgz`` file.

    Returns
    -------
    nibabel.MGHImage
        3D; the affine leads from voxel indices to mm, RAS+, in the scanner frame.

    Raises
    ------
    ImageError
        If the file is missing, damaged, too large, not one volume, or does not say where it lies.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f'{path}: no such file')
    with named_errors(path), gzip.open(path) as file:
        start = file.read(_HEADER)
        header = nib.freesurfer.mghformat.MGHHeader(start, check=False)
        shape, itemsize = _check(header, path)
        size = math.prod(shape) * itemsize
        require_memory(2 * size + 4 * math.prod(shape), path, f'reading it (shape {shape})')
        content = start + file.read(size)
        if len(content) < _HEADER + size:
            raise ImageError(f'{path}: cut short. {_AGAIN}')
        # What follows the voxels, parameters of the scan and tags, is not read.
        return nib.MGHImage.from_bytes(content)


def _check(header: nib.freesurfer.mghformat.MGHHeader, path: Path) -> tuple[tuple[int, ...], int]:
    """Return shape and bytes per voxel of a header that holds one volume with a frame."""
    dims = tuple(int(n) for n in header['dims'])
    if int(header['version']) != 1 or min(dims) < 1 or max(dims[3:]) > 1:
        raise ImageError(f'{path}: not one volume of FreeSurfer (dimensions {dims}). {_AGAIN}')
    if math.prod(dims) > MAX_VOXELS:
        raise ImageError(f'{path}: {math.prod(dims):,} voxels, more than a head has')
    if int(header['goodRASFlag']) != 1:
        raise ImageError(f'{path}: does not say where in the scanner it lies (goodRASFlag 0)')
    affine = header.get_affine()
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ImageError(f'{path}: the header is broken (its affine cannot be inverted). {_AGAIN}')
    return dims[:3], header.get_data_dtype().itemsize
