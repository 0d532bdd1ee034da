"""Files that appear whole or not at all."""

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
    """No space is left; the message names the folder and the cure."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the block succeeds.

    The temporary name is hidden, ends in the same extensions (writers choose a format by them)
    and is removed when the block fails. Renaming inside one folder is atomic on POSIX systems.

    Parameters
    ----------
    path : Path
        Where the finished file goes; its folder is made if need be.

    Raises
    ------
    DiskFull
        If there is no space for it, or no quota.
    """
    path = Path(path)
    partial = path.parent / f'.{uuid.uuid4().hex[:8]}.{path.name}'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f'{path.parent}: the disk is full, so that {path.name} could not be written; '
                f'free space there, {START_AGAIN}'
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a whole UTF-8 text file, or none."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding='utf-8')
    return Path(path)


def remove_partials(folder: Path, prefix: str = '', *, below: bool = False) -> list[Path]:
    """Remove what a killed process left behind under temporary names.

    Only whoever knows that nobody else writes these files may call this.

    Parameters
    ----------
    folder : Path
        Where to look; need not be there.
    prefix : str
        How the finished files' names begin.
    below : bool
        Look in all folders below as well.

    Returns
    -------
    list of Path
        What was removed.
    """
    removed = []
    for path in sorted(folder.rglob('.*') if below else folder.glob('.*')):
        found = _PARTIAL.fullmatch(path.name)
        if found and found['name'].startswith(prefix) and path.is_file():
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed
