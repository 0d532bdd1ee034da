"""Unpack a zip file of DICOM files, within bounds and under names of our own."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from tmsprep.intake.source import IntakeError, is_dicom

#: Most files that are unpacked: an examination with functional series has about 30,000.
MOST_FILES = 100_000

#: Most bytes that are unpacked: an examination has up to about 4 GB.
MOST_BYTES = 16 * 2**30

_PIECE = 2**20


def unpack(path: Path, folder: Path) -> int:
    """Unpack the DICOM files of a zip file.

    The names in it, which may lead out of a folder or hold that of a patient, are not used: files
    are numbered. Sizes that it announces are not believed: bytes are counted as they come.

    Parameters
    ----------
    path : Path
        The zip file.
    folder : Path
        Existing folder for the files.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    IntakeError
        If it is damaged, encrypted, too large, or holds no DICOM file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            count = _unpack(archive, path, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise IntakeError(
            f'{path}: a damaged zip file, or one of another kind ({error})'
        ) from error
    except RuntimeError as error:
        # The only way in which zipfile tells of encryption.
        raise IntakeError(
            f'{path}: cannot be unpacked ({error}); unpack it yourself, and give the folder'
        ) from error
    if not count:
        raise IntakeError(f'{path}: no DICOM files in this zip file')
    return count


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> int:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MOST_FILES:
        raise IntakeError(_too_large(path, f'{len(entries):,} files'))
    count, left = 0, MOST_BYTES
    for entry in entries:
        with archive.open(entry) as packed:
            start = packed.read(132)
            if not is_dicom(start):
                continue
            with (folder / f'{count:06}.dcm').open('wb') as stream:
                piece = start
                while piece:
                    left -= len(piece)
                    if left < 0:
                        raise IntakeError(_too_large(path, f'over {MOST_BYTES >> 30} GB'))
                    stream.write(piece)
                    piece = packed.read(_PIECE)
        count += 1
    return count


def _too_large(path: Path, what: str) -> str:
    return f'{path}: too large ({what} unpacked); unpack it, and give the folder of the T1w series'
