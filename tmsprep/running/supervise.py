"""Watch the process that does the work, and end processes together with their parent.

ANTs computes for minutes without letting Python handle a signal, and a process that the system
kills for its memory cannot report it. A watching process can do both. Nothing is lost when the
working one is killed: outputs appear whole or not at all, and a rerun resumes from there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from types import FrameType

from tmsprep.running import EXIT_FAILED
from tmsprep.running.machine import MORE_MEMORY

#: Ctrl-C, Slurm's time limit, a closed terminal.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# See ``man 2 prctl``; Linux only.
_PR_SET_PDEATHSIG = 1


def supervise(work: Callable[[], int], report: Callable[[str], None]) -> int:
    """Do the work in a child process, and report if it is stopped or killed.

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
    parent, child = os.getpid(), 0
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # It may just have ended.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    handled = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    # A signal that comes before there is a child waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    child = os.fork()
    for number in handled:
        # Ctrl-C and Slurm reach the child as well, which leaves the answer to its parent.
        signal.signal(number, signal.SIG_IGN if child == 0 else stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
    if child == 0:
        die_with(parent)
        return work()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if received:
        report(
            f'tmsprep was stopped by {signal_name(received[0])}; all files are complete: to '
            'resume, start the same command again'
        )
        return 128 + received[0]
    if status < 0:
        report(f'tmsprep {describe_end(status)}')
        return EXIT_FAILED
    return status


def die_with(parent: int) -> None:
    """Let the system kill this process as soon as its parent is gone.

    Without this, workers of a run that was killed would continue to write, or wait for ever.

    Parameters
    ----------
    parent : int
        Process number of the parent, to notice if it ended before this call.
    """
    prctl = getattr(ctypes.CDLL(None), 'prctl', None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def signal_name(number: int) -> str:
    """Name of a signal, such as 'SIGTERM', or its number if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'


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
    if exit_code == -signal.SIGKILL:
        return f'was killed by the system, most likely because the memory ran out: {MORE_MEMORY}'
    if exit_code is not None and exit_code < 0:
        return (
            f'ended with {signal_name(-exit_code)}. If the memory may have run out, '
            f'{MORE_MEMORY}; report it if it happens again'
        )
    return f'ended with exit code {exit_code} in the middle of its work'
