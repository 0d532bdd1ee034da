"""Checksums of files and of code, and folders whose content is checked before it is used again."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shutil
import stat
from pathlib import Path

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.running.system import is_own, others_may, user_id
from tmsprep.text import parse_json, read_text

#: Name of the file that seals a folder.
SEAL = 'checksums.json'

#: Permissions of group and others.
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_PRIVATE = re.compile(r'tmsprep-\d+')


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    A checksum is never taken from a list by size and times instead. Owners of files set their
    modification time (``cp -p``, ``rsync -t``). They cannot set that of the last change of the
    inode on the usual disks of Linux, but FAT, SMB and several FUSE file systems report the
    modification time in its place, and network disks may answer from an outdated copy.
    """
    digest = hashlib.sha256()
    with Path(path).open('rb') as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def text_sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def code_version(kind: type) -> str:
    """Version of tmsprep, for a class of another package with a checksum of its module.

    Results that a class computed are reused while it stays the same.
    """
    if kind.__module__.startswith('tmsprep.'):
        return __version__
    return f'{__version__} {file_sha256(Path(inspect.getfile(kind)))}'


def seal(folder: Path) -> Path:
    """Note the checksums of all files in a finished folder, for `broken_seal`.

    Parameters
    ----------
    folder : Path
        The folder; nothing in it is changed afterwards.

    Returns
    -------
    Path
        The file with the checksums, which appears last.
    """
    return write_text(folder / SEAL, json.dumps(_checksums(folder), indent=1))


def broken_seal(folder: Path) -> str:
    """Tell why the content of a folder cannot be used again.

    Parameters
    ----------
    folder : Path
        The folder, which need not exist.

    Returns
    -------
    str
        '' if it holds exactly the files that were there when it was sealed, none of which has
        changed since.
    """
    path = folder / SEAL
    if not path.is_file():
        return 'not finished'
    try:
        files = parse_json(read_text(path))
        changed = {*files.items()} ^ {*_checksums(folder).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return f'{path.name} is damaged'
    return f'{min(name for name, _ in changed)} is missing or damaged' if changed else ''


def _checksums(folder: Path) -> dict[str, str]:
    """Relative path of every file in a folder, except the seal, to its checksum."""
    files = sorted(path for path in folder.rglob('*') if path.is_file() and path.name != SEAL)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def remove_inside(folder: Path, parent: Path) -> None:
    """Delete a folder, if it exists, with all that it holds.

    Parameters
    ----------
    folder : Path
        The folder to delete.
    parent : Path
        Folder that it must lie in, once links are followed.

    Raises
    ------
    ValueError
        If it lies elsewhere; then nothing is deleted.
    """
    inside = parent.resolve()
    if inside not in folder.resolve().parents:
        raise ValueError(f'{folder}: not inside {parent}, so it is not deleted; remove the link')
    if folder.is_dir():
        shutil.rmtree(folder)


def private_folder(work_dir: Path) -> Path:
    """Name the folder inside a working directory that belongs to this user alone.

    Nipype runs code from the files that it passes between steps, so nobody else may write them.
    The settings that a run has written name this folder itself.
    """
    name = f'tmsprep-{user_id()}'
    of_a_user = work_dir.name == name or _PRIVATE.fullmatch(work_dir.name)
    return work_dir.with_name(name) if of_a_user else work_dir / name


def make_private(work_dir: Path) -> Path:
    """Make the private folder of a working directory, if it does not exist, and return it.

    Raises
    ------
    ValueError
        As `check_private`.
    """
    folder = private_folder(work_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    check_private(work_dir)
    return folder


def check_private(work_dir: Path) -> None:
    """Refuse a working directory whose files somebody else may have written, or may replace.

    As ``ssh`` does with its keys. A group is trusted with the directory around the private
    folder, as scratch disks of projects are shared in this way; it cannot write inside.

    Raises
    ------
    ValueError
        With one line that names the folder and the cure.
    """
    folder = private_folder(work_dir)
    around = folder.parent
    if around.is_dir():
        status = around.stat()
        if others_may(status, stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            raise ValueError(
                f'working folder {around}: every user may replace files there, and they could run '
                f'code in your name; chmod o-w {around}, or give another folder with -w'
            )
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    other = 'delete it, or give another folder with -w'
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError(f'working folder {folder}: not a folder; {other}')
    if not is_own(status):
        raise ValueError(f'working folder {folder}: belongs to user {status.st_uid}; {other}')
    if others_may(status, _OF_OTHERS):
        raise ValueError(
            f'working folder {folder}: open to other users, who may have put files there that run '
            f'code in your name; {other} (on a disk that keeps permissions), or, if nobody has, '
            f'chmod 700 {folder}'
        )
