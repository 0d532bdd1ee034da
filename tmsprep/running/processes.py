"""Processes that do not outlive whom they work for."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
"""See ``man 2 prctl``; Linux only."""


def die_with(parent: int) -> None:
    """Let the system kill this process as soon as its parent is gone.

    Without this, workers of a run that was killed would go on writing, or wait for ever.

    Parameters
    ----------
    parent : int
        Its process number, to notice if it ended before this call.
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


def describe_end(exit_code: int, cure: str) -> str:
    """Say why a process broke off.

    Parameters
    ----------
    exit_code : int
        As `multiprocessing` gives it: minus the signal, if a signal ended it.
    cure : str
        What to do if the memory ran out.

    Returns
    -------
    str
        Cause and cure, to follow the name of what broke off.
    """
    if exit_code == -signal.SIGKILL:
        return f'was killed by the system, most likely because the memory ran out: {cure}'
    if exit_code < 0:
        return (
            f'broke off with {signal_name(-exit_code)}. If the memory may have run out, {cure}; '
            'report it if it comes again'
        )
    return f'ended with exit code {exit_code} in the middle of its work'
