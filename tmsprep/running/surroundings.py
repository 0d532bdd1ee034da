"""What a command finds around it when it starts: its streams, and the folder it is started in."""

from __future__ import annotations

import os
import sys


def open_streams() -> None:
    """Open the standard streams that the caller has closed (``tmsprep ... >&- 2>&-``).

    The system gives their numbers to the next files that are opened, and what ANTs prints would
    go into an output.
    """
    for number, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def leave_folder() -> None:
    """Leave the current folder, once all paths are absolute; it may be a data set from elsewhere.

    Nipype, Matplotlib and PyBIDS read settings in it (``nipype.cfg``, ``matplotlibrc``,
    ``bids_config.json``), and processes that Python starts take modules from it.
    """
    os.environ['PYTHONSAFEPATH'] = '1'
    os.chdir('/')
