"""Volumes of FreeSurfer (``.mgz``), read within bounds."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.imaging.nifti_file import MAX_VOXELS, named_errors, require_memory
from tmsprep.imaging.scanner_frame import ImageError

#: The voxels begin here; what is behind them is not needed.
_OFFSET = 284

#: Bytes of a voxel by the number of its type: uint8, int32, float32, int16.
_BYTES = {0: 1, 1: 4, 3: 4, 4: 2}

_FIELDS = nib.freesurfer.mghformat.header_dtype

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
        start = file.read(_OFFSET)
        if len(start) < _OFFSET:
            raise ImageError(f'{path}: cut short. {_AGAIN}')
        shape, size = _check(np.frombuffer(start, _FIELDS, 1)[0], path)
        require_memory(2 * size + 4 * math.prod(shape), path, f'reading it (shape {shape})')
        content = start + file.read(size)
        if len(content) < _OFFSET + size:
            raise ImageError(f'{path}: cut short. {_AGAIN}')
        image = nib.MGHImage.from_bytes(content)
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        raise ImageError(f'{path}: the header is broken (its affine cannot be inverted). {_AGAIN}')
    return image


def _check(header: Any, path: Path) -> tuple[tuple[int, int, int], int]:
    """Return shape, and bytes of all voxels, of a header of one volume that has a frame."""
    x, y, z, frames = header['dims'].tolist()
    kind = int(header['type'])
    if int(header['version']) != 1 or min(x, y, z) < 1 or frames > 1:
        shown = f'dimensions {(x, y, z, frames)}'
        raise ImageError(f'{path}: not one volume of FreeSurfer ({shown}). {_AGAIN}')
    if kind not in _BYTES:
        raise ImageError(f'{path}: the header is broken (unknown type of voxels). {_AGAIN}')
    if x * y * z > MAX_VOXELS:
        raise ImageError(f'{path}: {x * y * z:,} voxels, more than a head has')
    if int(header['goodRASFlag']) != 1:
        raise ImageError(f'{path}: does not say where in the scanner it lies (goodRASFlag 0)')
    return (x, y, z), x * y * z * _BYTES[kind]
