"""Look at an output folder all the time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from faults_parts.runs import content

EVERY_S = 0.005


class Watcher:
    """Read every version of every visible file, and compare it with what it must become.

    The same input gives the same content, so that any other is half a file.

    Parameters
    ----------
    out : Path
        Output folder, need not be there yet.
    reference : mapping
        Name of each output to its whole content.
    """

    def __init__(self, out: Path, reference: Mapping[str, bytes]):
        self._out, self._reference = out, reference
        self._known: dict[Path, tuple[int, int, int]] = {}
        self._stop = threading.Event()
        self.looks, self.versions = 0, 0
        self.partial: list[str] = []

    def __enter__(self) -> Watcher:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._look()
        self._look()

    def _look(self) -> None:
        self.looks += 1
        for path in self._visible(self._out):
            try:
                state = path.stat()
                version = (state.st_ino, state.st_mtime_ns, state.st_size)
                if self._known.get(path) == version:
                    continue
                found = content(path)
            except FileNotFoundError:
                continue
            self._known[path] = version
            self.versions += 1
            name = str(path.relative_to(self._out))
            if found != self._reference.get(name):
                self.partial.append(f'{name} ({len(found)} bytes)')

    def _visible(self, folder: Path) -> list[Path]:
        try:
            inside = list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = []
        for path in inside:
            if path.name == 'logs' or path.name.startswith('.'):
                continue
            found += self._visible(path) if path.is_dir() else [path]
        return found
