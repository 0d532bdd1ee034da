"""Locks, so that only one run at a time works on a participant, or trains for a protocol."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tmsprep.atomic import remove_partials
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.running.system import Lock, NoLocks, open_locks
from tmsprep.tables import read_json, write_json

logger = logging.getLogger('tmsprep')

#: An empty file. The system releases the locks on it when a process ends, however it ends.
LOCK_NAME = 'in_use.lock'

#: Why a participant is left out.
TAKEN = (
    'left out, because another run is working on this participant in the same output or working '
    'folder; wait for that run to end, then start the same command again'
)


class InUseError(RuntimeError):
    """Another run is doing the same in the same folder; the message names it."""


@contextmanager
def claim_participants(
    layout: Layout, work_dir: Path, images: Mapping[str, Sequence[ImageRef]]
) -> Iterator[dict[str, Sequence[ImageRef]]]:
    """Hold participants for this run, and remove partial files that a killed run left of them.

    Two simultaneous runs on one participant would mix their results, or delete each other's
    intermediate files.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    work_dir : Path
        Directory of intermediate results.
    images : mapping
        Participant label to images.

    Yields
    ------
    dict
        The participants that no other run holds, until the block ends.
    """
    with (
        lock_labels(layout.out_dir / 'logs', images) as free,
        lock_labels(work_dir, sorted(free)) as held,
    ):
        for subject in sorted(held):
            remove_partials(layout.out_dir, f'sub-{subject}_')
            for folder in (layout.out_dir / f'sub-{subject}', layout.logs(subject)):
                remove_partials(folder, below=True)
        for subject in images:
            if subject not in held:
                logger.warning('sub-%s: %s', subject, TAKEN)
        yield {subject: several for subject, several in images.items() if subject in held}


@contextmanager
def claim_level(layout: Layout, work_dir: Path, level: str) -> Iterator[None]:
    """Hold an analysis level that concerns all participants, for one protocol.

    Two simultaneous runs would replace each other's intermediate files. A lock that a killed run
    left does not hold: the system has released it.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    work_dir : Path
        Directory of intermediate results.
    level : str
        Such as 'train'.

    Raises
    ------
    InUseError
        If another run holds it, in the output or the working directory.
    """
    name = f'{level}_protocol-{layout.label}'
    with _hold(layout.out_dir / 'logs', name), _hold(work_dir, name):
        for folder in (layout.out_dir, layout.out_dir / 'figures'):
            remove_partials(folder, name)
        yield


@contextmanager
def _hold(folder: Path, name: str) -> Iterator[None]:
    with lock_labels(folder, [name]) as held:
        note = folder / f'in_use_{name}.json'
        if not held:
            raise InUseError(
                f'{folder}: {_holder(note)} is running {name.replace("_", " for ")} here; wait '
                'for it to end, then start the same command again, or give other folders'
            )
        now = time.strftime('%Y-%m-%d %H:%M:%S')
        write_json(note, {'host': socket.gethostname(), 'pid': os.getpid(), 'since': now})
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def _holder(note: Path) -> str:
    """Describe the run that wrote a note when it began."""
    known = {key: str(value)[:80] for key, value in read_json(note).items()}
    if not {'host', 'pid', 'since'} <= known.keys() or not ''.join(known.values()).isprintable():
        return 'another run'
    return f'process {known["pid"]} on {known["host"]}, since {known["since"]},'


@contextmanager
def lock_labels(folder: Path, labels: Iterable[str]) -> Iterator[set[str]]:
    """Hold participants in a directory that several runs write to.

    Parameters
    ----------
    folder : Path
        Directory of outputs or of intermediate files; made if it does not exist.
    labels : iterable of str
        Participants to lock.

    Yields
    ------
    set of str
        Those that are held until the block ends; other processes hold the rest.
    """
    with open_locks(folder / LOCK_NAME) as lock:
        yield {label for label in labels if _try(lock, _place(label), folder)}


@contextmanager
def short_lock(folder: Path, name: str) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it for the block.

    Parameters
    ----------
    folder : Path
        Directory of the lock file; made if it does not exist.
    name : str
        Name of the lock.
    """
    # A file of its own: closing one releases all locks of a process on it.
    with open_locks(folder / f'{name}.lock') as lock:
        _try(lock, 0, folder, wait=True)
        yield


def _place(label: str) -> int:
    # 7 bytes of a checksum are a place in a file of up to 2^56 bytes, which stays empty.
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:7], 'big')


def _try(lock: Lock, place: int, folder: Path, *, wait: bool = False) -> bool:
    try:
        return lock(place, wait)
    except NoLocks as error:
        logger.warning(
            '%s: this disk has no locks (%s); do not start two runs for one participant at the '
            'same time',
            folder,
            error,
        )
    return True
