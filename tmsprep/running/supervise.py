"""Watch the process that does the work, and end processes together with their parent.

ANTs computes for minutes without letting Python handle a signal, and a process that the system
kills for its memory cannot report it. A watching process can do both. Nothing is lost when the
working one is killed: outputs appear whole or not at all, and a rerun resumes from there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tmsprep.running import EXIT_FAILED
from tmsprep.running.machine import MORE_MEMORY
from tmsprep.running.system import (
    HAS_FORK,
    KILLED,
    STOPPING,
    die_with,
    fork_watched,
    kill,
    signal_name,
    wait_for,
)


def supervise(work: Callable[[], int], report: Callable[[str], None]) -> int:
    """Do the work in a child process, and report if it is stopped or killed.

    Where processes cannot be forked, it is done in this one, and only Ctrl-C is reported.

    Parameters
    ----------
    work : callable
        Returns an exit code. This function returns it in the child as well as in the parent.
    report : callable
        Called in the parent with one line, if the child did not end by itself.

    Returns
    -------
    int
        The exit code: that of `work`; 128 plus the signal if one of `STOPPING` came; 1 if the
        child was killed.
    """
    if not HAS_FORK:
        return _unsupervised(work, report)
    received: list[int] = []

    def stop(child: int, number: int) -> None:
        received.append(number)
        kill(child)

    parent = os.getpid()
    child = fork_watched(STOPPING, stop)
    if child == 0:
        die_with(parent)
        return work()
    status = wait_for(child)
    if received:
        return _stopped(received[0], report)
    if status < 0:
        report(f'tmsprep {describe_end(status)}')
        return EXIT_FAILED
    return status


def _unsupervised(work: Callable[[], int], report: Callable[[str], None]) -> int:
    try:
        return work()
    except KeyboardInterrupt:
        return _stopped(signal.SIGINT, report)


def _stopped(number: int, report: Callable[[str], None]) -> int:
    report(
        f'tmsprep was stopped by {signal_name(number)}; all files are complete: to resume, start '
        'the same command again'
    )
    return 128 + number


def describe_end(exit_code: int | None) -> str:
    """Say why a process ended early.

    Parameters
    ----------
    exit_code : int or None
        As `multiprocessing` gives it: minus the signal, if a signal ended it.

    Returns
    -------
    str
        Cause and cure, to follow the name of the process.
    """
    if exit_code == KILLED:
        return f'was killed by the system, most likely because the memory ran out: {MORE_MEMORY}'
    if exit_code is not None and exit_code < 0:
        return (
            f'ended with {signal_name(-exit_code)}. If the memory may have run out, '
            f'{MORE_MEMORY}; report it if it happens again'
        )
    return f'ended with exit code {exit_code} in the middle of its work'
