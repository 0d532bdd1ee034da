"""Start tmsprep as a user does, and look at what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import ants
import numpy as np
import psutil

CHECKOUT = Path(__file__).resolve().parents[2]
CNN = ('--localizers', 'cnn', '--nprocs', '1')

#: A run that takes longer hangs.
PATIENCE_S = 600


class Seen(NamedTuple):
    """One line of the page: what was done, what was observed, and whether it was as required."""

    fault: str
    done: str
    seen: str
    good: bool


class Ended(NamedTuple):
    """A finished run: exit code, lines of its log, seconds."""

    code: int
    lines: list[str]
    seconds: float

    @property
    def last(self) -> str:
        """The last line without its time."""
        return self.lines[-1].split(' ', 3)[-1] if self.lines else ''

    def says(self, *words: str) -> bool:
        """Tell whether some line holds all words."""
        return any(all(word in line for word in words) for line in self.lines)


@dataclass(frozen=True)
class Site:
    """Where all this happens.

    Parameters
    ----------
    folder : Path
        Empty; everything is made in it.
    bids : Path
        Data set of one small phantom.
    people : Path
        Data set of eight.
    temporary : Path
        TMPDIR of all runs; made if need be.
    """

    folder: Path
    bids: Path
    people: Path
    temporary: Path

    def __post_init__(self) -> None:
        self.temporary.mkdir(exist_ok=True)
        self.temporary.chmod(0o1777)

    def start(
        self,
        bids: Path,
        out: Path,
        work: Path | None,
        options: Sequence[str] = CNN,
        *,
        level: str = 'participant',
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Start a run.

        Parameters
        ----------
        bids, out, work : Path
            Its folders; no working folder for the group level.
        options : sequence of str
            Further arguments.
        level : str
            Analysis level.
        before : sequence of str
            Command that starts it, such as ``unshare -n``.
        environment : mapping, optional
            Variables to change.
        """
        command = [sys.executable, '-m', 'tmsprep', str(bids), str(out), level]
        changed = {'PYTHONPATH': str(CHECKOUT), 'TMPDIR': str(self.temporary)}
        return Running(
            [*before, *command, *([] if work is None else ['-w', str(work)]), *options],
            {**os.environ, **changed, **(environment or {})},
            self.folder,
        )


class Running:
    """A run that goes on."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path):
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def family(self) -> list[psutil.Process]:
        """All processes of the run, the first one first."""
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def wait_for(self, folder: Path, pattern: str, timeout: float = PATIENCE_S) -> None:
        """Wait until a file is there, or the run has ended."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            # A folder that the run deletes while it is searched ends the search.
            with suppress(FileNotFoundError):
                if any(folder.rglob(pattern)):
                    return
            time.sleep(0.01)

    def end(self, timeout: float = PATIENCE_S) -> Ended:
        """Wait for the end; a run that takes too long is killed and has exit code -9."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            for process in self.family():
                process.kill()
            self.process.wait()
        self._reader.join(5)
        return Ended(self.process.returncode, self.lines, time.monotonic() - self._began)


def left_over(family: Sequence[psutil.Process], timeout: float = 5.0) -> int:
    """Count the processes that are still there some seconds later."""
    _, alive = psutil.wait_procs(family, timeout)
    return sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in alive)


def outputs(out: Path) -> dict[str, bytes]:
    """All files of an output folder but its logs, hidden ones too: name to content."""
    paths = (path for path in sorted(out.rglob('*')) if path.is_file())
    relative = ((path, path.relative_to(out)) for path in paths)
    return {str(name): content(path) for path, name in relative if name.parts[0] != 'logs'}


def content(path: Path) -> bytes:
    """Bytes of a file; numbers of a whole transform, whose file notes when it was written."""
    if path.suffix == '.h5':
        try:
            transform = ants.read_transform(str(path))
        except RuntimeError:
            return path.read_bytes()
        numbers = (transform.fixed_parameters, transform.parameters)
        return np.concatenate([np.asarray(part, dtype=float) for part in numbers]).tobytes()
    return path.read_bytes()


def differences(out: Path, reference: Mapping[str, bytes]) -> list[str]:
    """Name the files that one of both lacks, or whose `content` is not the same."""
    found = outputs(out)
    return sorted(name for name in {*found, *reference} if found.get(name) != reference.get(name))


def partials(out: Path) -> list[str]:
    """Name the hidden files that should not be left."""
    return [p.name for p in out.rglob('.*') if p.name != '.bidsignore']
