"""Write files whole or not at all."""

from __future__ import annotations

import errno
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tmsprep.running.machine import START_AGAIN

_PARTIAL = re.compile(r'\.[0-9a-f]{8}\.(?P<name>.+)')
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """No space left; the message names the folder and the cure."""


@contextmanager
def atomic_path(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    The temporary file is hidden, has the same extensions (writers choose a format by them) and is
    removed if the block fails. Renaming within a folder is atomic on POSIX systems.

    Parameters
    ----------
    path : Path
        The finished file; its folder is created if necessary.
    replace : bool
        Whether a file that is there already is replaced.

    Raises
    ------
    FileExistsError
        If there is one that must not be replaced, even if it came while the block ran.
    DiskFull
        If the disk is full or the quota is used up.
    """
    path = Path(path)
    partial = path.parent / f'.{uuid.uuid4().hex[:8]}.{path.name}'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if replace:
            partial.replace(path)
        else:
            _rename_to_nothing(partial, path)
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f'{path.parent}: the disk is full, so that {path.name} could not be written; '
                f'free space there, {START_AGAIN}'
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def _rename_to_nothing(partial: Path, path: Path) -> None:
    """Rename a file, unless there is one of the new name."""
    try:
        # Of two processes that do this at once, one fails.
        path.hardlink_to(partial)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if path.exists():
            raise FileExistsError(f'{path}: exists') from None
        partial.replace(path)


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file, whole or not at all.

    Bytes of names that are not UTF-8 are escaped as JSON escapes them.
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding='utf-8', errors='backslashreplace')
    return Path(path)


def remove_partials(folder: Path, prefix: str = '', *, below: bool = False) -> list[Path]:
    """Remove temporary files that a killed process left behind.

    Not safe if another process may be writing such files.

    Parameters
    ----------
    folder : Path
        Folder to search; it need not exist.
    prefix : str
        Beginning of the names of the finished files.
    below : bool
        Whether to search all subfolders too.

    Returns
    -------
    list of Path
        The removed files.
    """
    removed = []
    for path in sorted(folder.rglob('.*') if below else folder.glob('.*')):
        found = _PARTIAL.fullmatch(path.name)
        if found and found['name'].startswith(prefix) and path.is_file():
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed
