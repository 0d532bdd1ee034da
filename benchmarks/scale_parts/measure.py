"""Seconds and memory of the command, as a user calls it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_POLL_SECONDS = 0.02


class Cost(NamedTuple):
    """What a call of the command took.

    Parameters
    ----------
    seconds : float
        Wall time.
    megabytes : float
        Peak memory of the process, or if that is more, of it and its children at one time, with
        their shares of common pages.
    """

    seconds: float
    megabytes: float


def whole_run(*arguments: object) -> Cost:
    """Run the command to its end.

    Raises
    ------
    RuntimeError
        If it could not run; that somebody failed is no such reason.
    """
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = _start(arguments, log)
        memory = _watch(process, lambda: False)
        seconds = time.perf_counter() - start
        if process.returncode not in (0, 1):
            log.seek(0)
            raise RuntimeError(log.read().decode())
    return Cost(seconds, memory)


def until_first_node(work_dir: Path, *arguments: object) -> Cost:
    """Run the participant level until Nipype starts the first node, and stop it there.

    Parameters
    ----------
    work_dir : Path
        Working folder, which must not exist; a node's folder appears there when it starts.
    *arguments : object
        Of the command, without this folder.

    Raises
    ------
    RuntimeError
        If the command ended before.
    """
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = _start((*arguments, '-w', work_dir), log)
        memory = _watch(process, lambda: any(work_dir.glob('tmsprep-*/*_wf/*_wf/conform')))
        seconds = time.perf_counter() - start
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(log.read().decode())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Cost(seconds, memory)


def _start(arguments: tuple[object, ...], log: object) -> subprocess.Popen:
    command = [sys.executable, '-m', 'tmsprep', *map(str, arguments)]
    return subprocess.Popen(command, stderr=log, stdout=log, start_new_session=True)


def _watch(process: subprocess.Popen, is_there: Callable[[], bool]) -> float:
    """Wait until the process ends or something is there; return its peak memory in MB."""
    peak = 0.0
    while process.poll() is None and not is_there():
        shares = sum(_megabytes(pid, 'smaps_rollup', 'Pss:') for pid in _family(process.pid))
        peak = max(peak, shares, _megabytes(process.pid, 'status', 'VmHWM:'))
        time.sleep(_POLL_SECONDS)
    return peak


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f'/proc/{pid}/task').glob('*/children'):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _megabytes(pid: int, file: str, key: str) -> float:
    """Read a number of kB that the kernel has of a process; 0 of one that has just ended."""
    try:
        lines = Path(f'/proc/{pid}/{file}').read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(key)) / 1e3
