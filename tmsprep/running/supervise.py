"""A small process that watches over the one that works.

ANTs computes for minutes without letting Python handle a signal, and a process that the system
kills for its memory cannot say so. The watching process can do both. Nothing is lost when the
working one is killed: outputs appear whole or not at all, and a rerun goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

from tmsprep.running.exit_codes import EXIT_FAILED
from tmsprep.running.processes import describe_end, die_with, signal_name
from tmsprep.running.resources import MORE_MEMORY

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, Slurm's time limit, a closed terminal."""


def supervise(work: Callable[[], int], report: Callable[[str], None]) -> int:
    """Do something in a child process, and say so if it is stopped or killed.

    Parameters
    ----------
    work : callable
        Returns an exit code. This function returns it in the child as well as in the parent.
    report : callable
        Is called in the parent with one line, if the child did not end by itself.

    Returns
    -------
    int
        The exit code: that of `work`; 128 plus the signal if one of `STOPPING` came; 1 if the
        child was killed.
    """
    parent, child, received = os.getpid(), 0, []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # It may just have ended.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    heeded = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    # A signal that comes before there is a child waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, heeded)
    child = os.fork()
    for number in heeded:
        # Ctrl-C and Slurm reach the child as well: it leaves the answer to its parent.
        signal.signal(number, signal.SIG_IGN if child == 0 else stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, heeded)
    if child == 0:
        die_with(parent)
        return work()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if received:
        report(
            f'tmsprep was stopped by {signal_name(received[0])}; what is there is whole: to go '
            'on, start the same command again'
        )
        return 128 + received[0]
    if status < 0:
        report(f'tmsprep {describe_end(status, MORE_MEMORY)}')
        return EXIT_FAILED
    return status
