"""One run at a time for each participant."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger('tmsprep')

LOCK_NAME = 'in_use.lock'
"""An empty file. The system forgets the locks on it when a process ends, however it ends."""

_TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def lock_labels(folder: Path, labels: Iterable[str]) -> Iterator[set[str]]:
    """Hold participants in a folder that several runs write to.

    Each participant is one byte of one file, so that thousands need no more than one open file.
    The locks are those of POSIX (``fcntl``), which network disks pass on to other computers.

    Parameters
    ----------
    folder : Path
        Of outputs or of intermediate files; made if need be.
    labels : iterable of str
        Participants that are wanted.

    Yields
    ------
    set of str
        Those that are held until the block ends: others have the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield {label for label in labels if _lock(descriptor, label, folder)}
    finally:
        os.close(descriptor)


@contextmanager
def short_lock(folder: Path, what: str) -> Iterator[None]:
    """Wait until nobody else does `what` in a folder; hold it for the block.

    Parameters
    ----------
    folder : Path
        Made if need be.
    what : str
        Any name that is no participant's label, such as one with a space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A file of its own: closing one gives up all of a process's locks on it.
    descriptor = os.open(folder / f'{what}.lock', os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _try_lock(descriptor, fcntl.LOCK_EX, 0, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, label: str, folder: Path) -> bool:
    # 7 bytes of a checksum are a place in a file of up to 2^56 bytes, which stays empty.
    place = int.from_bytes(hashlib.sha256(label.encode()).digest()[:7], 'big')
    return _try_lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, place, folder)


def _try_lock(descriptor: int, kind: int, place: int, folder: Path) -> bool:
    try:
        fcntl.lockf(descriptor, kind, 1, place)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        logger.warning(
            '%s: this disk knows no locks (%s); do not start two runs for one participant at the '
            'same time',
            folder,
            error,
        )
    return True
