"""Images in formats that are not read: what is there, and the command that converts it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from tmsprep.bids.names import EXTENSIONS

#: Extension in small letters to the command that makes a .nii.gz file of an image; nib-convert
#: comes with nibabel, which is installed.
CONVERSIONS = {
    '.nii.bz2': 'bunzip2 {file}',
    '.nii.xz': 'unxz {file}',
    '.nii.zst': 'unzstd {file}',
    '.img': 'nib-convert {file} {out}',
    '.img.gz': 'nib-convert {file} {out}',
    '.mgz': 'nib-convert {file} {out}',
    '.mgh': 'nib-convert {file} {out}',
    '.mnc': 'nib-convert {file} {out}',
    '.par': 'dcm2niix {folder}',
    '.dcm': 'dcm2niix {folder}',
    '.ima': 'dcm2niix {folder}',
    '.head': '3dAFNItoNIFTI -prefix {out} {file}',
    '.mif': 'mrconvert {file} {out}',
    '.mif.gz': 'mrconvert {file} {out}',
    '.nrrd': 'c3d {file} -o {out}',
    '.mha': 'c3d {file} -o {out}',
    '.mhd': 'c3d {file} -o {out}',
}

_MAGIC = slice(344, 347)


def foreign_images(home: Path) -> Iterator[tuple[Path, str, str]]:
    """List a participant's images that are there and not read.

    Parameters
    ----------
    home : Path
        Folder of the participant.

    Yields
    ------
    path : Path
        The file.
    stem : str
        Its name without the extension.
    message : str
        What it is and what to do, without its name.
    """
    sessions = [path for path in _entries(home) if path.name.startswith('ses-')]
    for folder in (home, *sessions):
        for path in _entries(folder / 'anat'):
            yield from _foreign(path)


def _entries(folder: Path) -> list[Path]:
    """List a folder; one that cannot be read is the business of the list of images."""
    try:
        return sorted(Path(entry) for entry in os.scandir(folder))
    except OSError:
        return []


def _foreign(path: Path) -> Iterator[tuple[Path, str, str]]:
    name = path.name.lower()
    if path.name.startswith('.') or path.name.endswith(EXTENSIONS):
        return
    for extension in (*EXTENSIONS, *CONVERSIONS):
        if name.endswith(extension):
            stem = path.name[: -len(extension)]
            yield path, stem, _remedy(path, path.with_name(stem), extension)
            return


def _remedy(path: Path, stem: Path, extension: str) -> str:
    if extension in EXTENSIONS:
        command = f'mv {_quoted(path)} {_quoted(f"{stem}{extension}")}'
        return f'only names that end in small letters, .nii or .nii.gz, are read. Run: {command}'
    if extension.startswith('.img') and not _is_pair(stem, extension):
        return (
            'a pair of Analyze, or without its .hdr, does not say where left and right are. '
            'Convert the DICOM files again (dcm2niix).'
        )
    command = CONVERSIONS[extension].format(
        file=_quoted(path), out=_quoted(f'{stem}.nii.gz'), folder=_quoted(path.parent)
    )
    return f'only .nii and .nii.gz are read. Run: {command}'


def _quoted(path: Path | str) -> str:
    return shlex.quote(str(path))


def _is_pair(stem: Path, extension: str) -> bool:
    """Tell whether the header beside voxels is one of NIfTI, which has a frame."""
    try:
        for header in (Path(f'{stem}.hdr'), Path(f'{stem}.HDR')):
            if header.is_file():
                with header.open('rb') as file:
                    return file.read(348)[_MAGIC] in (b'ni1', b'ni2')
    except OSError:
        return False
    return extension == '.img.gz'
