"""What a path is: an image, DICOM files or a folder; by content where the name may not say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from pathlib import Path

from tmsprep.bids.names import EXTENSIONS

#: Files of a folder that are looked at. DICOM files show in the first few, but on the discs that
#: clinics hand out there is a viewer as well.
_LOOKED_AT = 2000

#: Levels of folders that are looked through; dcm2niix goes no deeper.
DEEPEST = 9


class IntakeError(ValueError):
    """An image or series that cannot be taken; the message says why and what to do."""


class Kind(Enum):
    """What a path is."""

    NIFTI = 'a NIfTI file'
    DICOM_FILE = 'a DICOM file'
    DICOM_FOLDER = 'a folder of DICOM files'
    ZIP = 'a zip file'
    FOLDER = 'a folder'
    OTHER = 'a file'
    MISSING = 'missing'

    @property
    def is_image(self) -> bool:
        """Whether it can be taken in place of a data set."""
        return self in (Kind.NIFTI, Kind.DICOM_FILE, Kind.DICOM_FOLDER, Kind.ZIP)


def kind_of(path: Path) -> Kind:
    """Tell what a path is.

    Parameters
    ----------
    path : Path
        Anything, or nothing. A folder with participants, or a dataset_description.json, is a
        folder, whatever else is in it.
    """
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        if not path.is_file() and not path.is_symlink():
            return Kind.MISSING
    except OSError:
        # Whoever reads it says why it cannot be read.
        return Kind.FOLDER
    if path.name.endswith(EXTENSIONS):
        return Kind.NIFTI
    start = _start(path)
    if start[:4] in (b'PK\x03\x04', b'PK\x05\x06'):
        return Kind.ZIP
    return Kind.DICOM_FILE if is_dicom(start) else Kind.OTHER


def is_dicom(start: bytes) -> bool:
    """Tell by its first 132 bytes whether a file is DICOM (PS3.10, section 7.1)."""
    return start[128:132] == b'DICM'


def _kind_of_folder(folder: Path) -> Kind:
    if (folder / 'dataset_description.json').exists():
        return Kind.FOLDER
    if any(entry.name.startswith('sub-') and entry.is_dir() for entry in folder.iterdir()):
        return Kind.FOLDER
    some = islice(files_in(folder), _LOOKED_AT)
    return Kind.DICOM_FOLDER if any(is_dicom(_start(path)) for path in some) else Kind.FOLDER


def files_in(folder: Path) -> Iterator[Path]:
    """List the files of a folder, and of those in it, as far as they can be read."""
    depth = len(folder.parts)
    for home, folders, names in os.walk(folder):
        if len(Path(home).parts) - depth >= DEEPEST:
            folders.clear()
        folders.sort()
        yield from (Path(home, name) for name in sorted(names))


def _start(path: Path) -> bytes:
    """Read the first 132 bytes of a regular file; none of another, or of one that is locked."""
    try:
        if not path.is_file():
            return b''
        with path.open('rb') as stream:
            return stream.read(132)
    except OSError:
        return b''
