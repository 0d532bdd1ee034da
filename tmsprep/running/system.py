"""Where operating systems differ: locks, users, processes and what a signal is.

Nothing else in the package calls what only POSIX has, so that it can be imported and run on
Windows. What has no counterpart there is left out, and its function says so.
"""

from __future__ import annotations

import ctypes
import errno
import getpass
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from importlib.util import find_spec
from operator import or_
from pathlib import Path
from types import FrameType, ModuleType

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

#: Ctrl-C, Slurm's time limit, a closed terminal; Windows has no SIGHUP.
STOPPING = tuple(
    getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if hasattr(signal, name)
)

#: Exit code, as `multiprocessing` and `subprocess` give it, of a process that was killed: by the
#: system for its memory, or by `kill`. Windows has no such code.
KILLED = -getattr(signal, 'SIGKILL', 9)

#: Whether files have an owner, and permissions of others; Windows has access lists instead.
HAS_OWNERS = hasattr(os, 'getuid')

#: Whether `fork` can be used.
HAS_FORK = hasattr(os, 'fork')

_HELD = (errno.EACCES, errno.EAGAIN)

# See ``man 2 prctl``; Linux only.
_PR_SET_PDEATHSIG = 1


#: Takes a place, below 2^56, and whether to wait; tells whether this process holds it, or raises
#: `NoLocks`.
Lock = Callable[[int, bool], bool]


class NoLocks(OSError):
    """The disk has no locks."""


@contextmanager
def open_locks(path: Path) -> Iterator[Lock]:
    """Open a file of locks, which are released when the block or the process ends.

    They are those of POSIX (``fcntl``), which network disks pass on to other computers, each on
    one byte of the file, so that thousands need only one open file. Without ``fcntl`` each is a
    file of its own beside it, locked as the system can by the package filelock.

    Parameters
    ----------
    path : Path
        The file; made, with its folder, if it does not exist.

    Yields
    ------
    callable
        See `Lock`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        with _files(path) as lock:
            yield lock
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield lambda place, wait: _lock_byte(descriptor, place, wait)
    finally:
        os.close(descriptor)


def _lock_byte(descriptor: int, place: int, wait: bool) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise NoLocks(error.errno, error.strerror) from error
    return True


@contextmanager
def _files(path: Path) -> Iterator[Lock]:
    from filelock import FileLock, Timeout

    held: list[FileLock] = []

    def lock(place: int, wait: bool) -> bool:
        one = FileLock(path.with_name(f'{path.stem}_{place:014x}{path.suffix}'))
        try:
            one.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise NoLocks(*error.args) from error
        held.append(one)
        return True

    try:
        yield lock
    finally:
        for one in held:
            one.release()


def user_name() -> str:
    """Name of the user, or the number where it has no name on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return user_id()


def user_id() -> str:
    """Return the number of the user, or 'user' on Windows, where users have none."""
    return str(os.getuid()) if HAS_OWNERS else 'user'


def is_own(status: os.stat_result) -> bool:
    """Tell whether a file belongs to this user."""
    return not HAS_OWNERS or status.st_uid == os.getuid()


def others_may(status: os.stat_result, what: int) -> bool:
    """Tell whether permissions (`stat.S_IRWXO` ...) are given to others; never on Windows."""
    return HAS_OWNERS and bool(status.st_mode & what)


def open_regular(path: Path) -> int:
    """Open a file to read its bytes; return the descriptor, which worker processes do not inherit.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file: a pipe would be waited for.
    """
    flags = ('O_NONBLOCK', 'O_CLOEXEC', 'O_BINARY', 'O_NOINHERIT')
    descriptor = os.open(path, reduce(or_, (getattr(os, name, 0) for name in flags), os.O_RDONLY))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError('it is no regular file, but a directory, a pipe or a device')


@contextmanager
def stand_in(name: str) -> Iterator[None]:
    """Let a package import a module that this system lacks, and that it makes no use of here."""
    if find_spec(name) is not None:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


def granted_cpus() -> int:
    """Count the CPUs in the affinity mask of this process; without one, those of the machine."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_memory(more: int) -> None:
    """Limit this process to what it uses by now and some more bytes; Linux only."""
    used = Path('/proc/self/statm')
    if resource is not None and used.is_file():
        now = int(used.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))


def die_with(parent: int) -> None:
    """Let the system kill this process as soon as its parent is gone.

    Without this, workers of a run that was killed would continue to write, or wait for ever. Only
    Linux can; elsewhere a worker ends when it has finished its step.

    Parameters
    ----------
    parent : int
        Process number of the parent, to notice if it ended before this call.
    """
    if os.name == 'posix':
        prctl = getattr(ctypes.CDLL(None), 'prctl', None)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, -KILLED)
    if os.getppid() != parent:
        os.kill(os.getpid(), -KILLED)


def fork_watched(signals: Sequence[int], stop: Callable[[int, int], None]) -> int:
    """Fork; the parent handles some signals, which the child ignores.

    Parameters
    ----------
    signals : sequence of int
        Signals; one that comes before there is a child waits.
    stop : callable
        Called in the parent with the process number of the child and a signal that came.

    Returns
    -------
    int
        Process number of the child; 0 in the child.
    """
    handled = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    child = os.fork()

    def handle(number: int, frame: FrameType | None) -> None:
        stop(child, number)

    for number in handled:
        # Ctrl-C and Slurm reach the child as well, which leaves the answer to its parent.
        signal.signal(number, signal.SIG_IGN if child == 0 else handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
    return child


def kill(process: int) -> None:
    """Kill a process, which may just have ended."""
    with suppress(ProcessLookupError):
        os.kill(process, -KILLED)


def wait_for(child: int) -> int:
    """Wait for the end of a forked process; return its exit code, or minus a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def signal_name(number: int) -> str:
    """Name of a signal, such as 'SIGTERM', or its number if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'
