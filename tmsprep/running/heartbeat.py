"""A process that says each minute what has been running for long.

ANTs computes for minutes while no other code of its process can run, a thread neither, so that
the lines come from a process of their own: ``python -m tmsprep.running.heartbeat LOG...``.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from tmsprep.methods import get_method
from tmsprep.text import shown

logger = logging.getLogger('tmsprep')

#: Seconds between two lines, and after which a step takes long.
INTERVAL_S = 60.0

#: Steps that one line names.
MOST = 4

#: Moves to the beginning of the line of a terminal, where a bar may be, and clears it.
_CLEAR = '\r\x1b[K'


class Heartbeat:
    """The process, seen from the run; ends with it, however that ends.

    Parameters
    ----------
    interval_s : float
        See `INTERVAL_S`.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        files = [h.baseFilename for h in logger.handlers if isinstance(h, logging.FileHandler)]
        path = os.pathsep.join(folder for folder in sys.path if folder)
        self._process = subprocess.Popen(
            [sys.executable, '-P', '-m', __name__, str(interval_s), *files],
            # Not the current folder, which may be a data set from elsewhere.
            cwd='/',
            env={**os.environ, 'PYTHONPATH': path},
            stdin=subprocess.PIPE,
            text=True,
        )

    def begin(self, name: str, method: str = '', folder: str = '') -> None:
        """Note a step that begins.

        Parameters
        ----------
        name : str
            Name of image and step.
        method, folder : str
            Method that computes, and its folder, for `Method.stage`; '' for none.
        """
        self._send({'name': name, 'method': method, 'folder': folder})

    def end(self, name: str) -> None:
        """Note a step that ended."""
        self._send({'name': name})

    def _send(self, event: dict[str, str]) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            stream.write(json.dumps(event) + '\n')
            stream.flush()
        except OSError:
            # It is gone, and the run goes on without it.
            return

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class _Step(NamedTuple):
    since: float
    method: str
    folder: str


def main(interval_s: float, files: Iterable[str], source: TextIO) -> None:
    """Write lines to the standard error and to log files until there are no more events.

    Parameters
    ----------
    interval_s : float
        See `INTERVAL_S`.
    files : iterable of str
        Log files.
    source : text stream
        One event a line, JSON, as `Heartbeat` sends them.
    """
    # Ctrl-C is answered by the run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start_logging(files)
    events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(source, events), daemon=True).start()
    running: dict[str, _Step] = {}
    told = -math.inf
    while True:
        longest = min((step.since for step in running.values()), default=math.inf)
        wait = max(longest, told) + interval_s - time.monotonic()
        try:
            event = events.get(timeout=None if math.isinf(wait) else max(0.0, wait))
        except queue.Empty:
            told = time.monotonic()
            logger.info('%s', describe(running, told, interval_s))
            continue
        if event is None:
            return
        if 'folder' in event:
            name, method, folder = event['name'], event['method'], event['folder']
            running[name] = _Step(time.monotonic(), method, folder)
        else:
            running.pop(event['name'], None)


def _read(source: TextIO, events: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    try:
        for line in source:
            events.put(json.loads(line))
    finally:
        # A line that is cut off is the last one.
        events.put(None)


def _start_logging(files: Iterable[str]) -> None:
    logger.setLevel(logging.INFO)
    _add(logging.StreamHandler(sys.stderr), _CLEAR if sys.stderr.isatty() else '')
    for file in files:
        _add(logging.FileHandler(file, encoding='utf-8'))


def _add(handler: logging.Handler, start: str = '') -> None:
    handler.setFormatter(logging.Formatter(f'{start}%(asctime)s %(levelname)s %(message)s'))
    logger.addHandler(handler)


def describe(running: dict[str, _Step], now: float, least_s: float) -> str:
    """Name the steps that take longer than some seconds, the longest first; '' for none."""
    steps = sorted(running.items(), key=lambda item: item[1].since)
    long = [(name, step) for name, step in steps if now - step.since >= least_s]
    told = [_describe(name, step, now) for name, step in long[:MOST]]
    more = [f'and {len(long) - MOST} more'] if len(long) > MOST else []
    return f'still running: {"; ".join([*told, *more])}' if told else ''


def _describe(name: str, step: _Step, now: float) -> str:
    stage = _stage(step)
    minutes = int((now - step.since) // 60)
    return shown(f'{name}, {minutes} min' + (f' ({stage})' if stage else ''), most=200)


def _stage(step: _Step) -> str:
    if not step.method:
        return ''
    try:
        # Its module is loaded when a step takes long, which few do.
        return get_method(step.method).stage(Path(step.folder))
    except Exception:
        # Whatever the files are that are just being written.
        return ''


if __name__ == '__main__':
    main(float(sys.argv[1]), sys.argv[2:], sys.stdin)
