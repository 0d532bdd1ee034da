"""Copy one NIfTI image into a small data set, without the text in its header."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np

from tmsprep.atomic import atomic_path
from tmsprep.imaging.nifti_file import NiftiFile, open_nifti
from tmsprep.intake.source import IntakeError

#: Text fields of a header that have a meaning for readers; all others are free text, where
#: scanners, converters and viewers write names, comments and file names.
_KEPT_TEXT = ('magic',)

#: Level of compression: a whole head of 1 mm takes about a second.
_LEVEL = 4


def clean_content(file: NiftiFile) -> bytes:
    """Return a NIfTI file without free text and extensions; voxels and frame are untouched.

    Parameters
    ----------
    file : NiftiFile
        An open image.

    Returns
    -------
    bytes
        The uncompressed file. Extensions of the header, which may hold all fields of a DICOM
        file, are gone.

    Raises
    ------
    tmsprep.imaging.scanner_frame.ImageError
        If the file is damaged.
    """
    file.read()
    header = file.header.copy()
    fields = header.structarr
    for name in fields.dtype.names:
        if fields.dtype[name].kind == 'S' and name not in _KEPT_TEXT:
            fields[name] = b''
    fields['magic'] = header.single_magic
    fields['vox_offset'] = header.single_vox_offset
    voxels = np.ascontiguousarray(file.stored().ravel(order='F')).tobytes()
    start = bytes(header.binaryblock).ljust(header.single_vox_offset, b'\0')
    return start + voxels


def copy_image(source: Path, target: Path) -> bool:
    """Copy an image whole or not at all, and compare the copy with the original.

    Parameters
    ----------
    source : Path
        A ``.nii`` or ``.nii.gz`` file.
    target : Path
        A ``.nii.gz`` file. If it exists, it is never replaced.

    Returns
    -------
    bool
        Whether it was copied; False if the same image is there already.

    Raises
    ------
    IntakeError
        If another image is there.
    tmsprep.imaging.scanner_frame.ImageError
        If one of the two is damaged; the message names it and the remedy.
    """
    if is_there(source, target):
        return False
    with open_nifti(source) as file:
        content = clean_content(file)
    with atomic_path(target) as partial:
        with partial.open('wb') as raw, gzip.GzipFile('', 'wb', _LEVEL, raw, mtime=0) as packed:
            packed.write(content)
        if _digest_of(partial) != _digest(content):
            raise IntakeError(f'{target}: what was written is not what was read; try again')
    return True


def is_there(source: Path, target: Path) -> bool:
    """Tell whether the copy of an image exists already; arguments and errors of `copy_image`."""
    if not target.exists():
        return False
    if _digest_of(target) != _digest_of(source):
        raise IntakeError(f'{target} is another image')
    return True


def _digest_of(path: Path) -> str:
    with open_nifti(path) as file:
        return _digest(clean_content(file))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
