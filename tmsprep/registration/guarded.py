"""Transforms from elsewhere, read in a process of their own.

A few wrong bytes in a ``.h5`` file end ANTs, and the process that has called it, by SIGSEGV.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tmsprep.running.system import KILLED, limit_memory, signal_name

#: Time for one file, s. The largest take a few seconds, on a busy network disk perhaps a minute;
#: some damaged ones are read for ever.
TIMEOUT_S = 120.0

#: Memory for one file, bytes. The warp of an atlas with voxels of 0.5 mm needs a quarter of it.
MEMORY = 8 * 2**30

_CURE = 'Delete it, or take it out of --derivatives, and register again'


#: `tmsprep.registration.transforms.move_coordinates`, which loads ANTs.
_Move = Callable[[np.ndarray, Path], np.ndarray]


class MissingAnts(ValueError):
    """ANTs is not installed; the message says so."""


def require_ants() -> None:
    """Refuse to go on without ANTs, which is not built for every system.

    Raises
    ------
    MissingAnts
        If it is not installed.
    """
    if find_spec('ants') is None:
        raise MissingAnts(
            'registration needs ANTs (package antspyx; not built for Linux on ARM), which is not '
            'installed here'
        )


class TransformReader:
    """Move points through transforms that may be damaged, or made to do harm.

    The process is started with the first transform, and again after one that has ended it.

    Parameters
    ----------
    timeout_s : float
        Longest time for one transform.

    Examples
    --------
    >>> with TransformReader() as reader:  # doctest: +SKIP
    ...     moved = reader.move(coordinates, Path('sub-01_from-T1w_to-atlas_xfm.h5'))
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> TransformReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def move(self, coordinates: np.ndarray, transform: Path) -> np.ndarray:
        """Move points as `tmsprep.registration.transforms.move_points` does.

        Parameters
        ----------
        coordinates : np.ndarray
            Shape (n, 3), mm, RAS+, none missing, in the world of the transform's fixed image.
        transform : Path
            Composite ``.h5`` or linear ``.mat``.

        Returns
        -------
        np.ndarray
            Shape (n, 3), mm, RAS+, in the world of the moving image.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it cannot be read as a transform, or moves a point to nowhere; as `MissingAnts`, if
            nothing can be read.
        """
        if not Path(transform).is_file():
            raise FileNotFoundError(f'no transform {transform}')
        answer = self._ask({'transform': str(transform), 'coordinates': coordinates.tolist()})
        if answer is None:
            end = self._end()
            raise ValueError(f'{transform}: damaged, {end}. {_CURE}')
        if 'error' in answer:
            raise ValueError(answer['error'])
        moved = np.array(answer['moved'], dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(moved).all():
            raise ValueError(f'{transform}: damaged, it moves points to nowhere (NaN). {_CURE}')
        return moved

    def compose(self, transforms: Sequence[Path], destination: Path) -> Path:
        """Write one composite transform in place of several.

        Parameters
        ----------
        transforms : sequence of Path
            In the order in which points go through them; displacement fields (``.nii.gz``) too.
        destination : Path
            File name that ends in ``.h5``.

        Raises
        ------
        ValueError
            If one of them cannot be read as a transform.
        """
        names = [str(path) for path in transforms]
        answer = self._ask({'compose': names, 'destination': str(destination)})
        if answer is None:
            raise ValueError(f'{", ".join(names)}: damaged, {self._end()}. {_CURE}')
        if 'error' in answer:
            raise ValueError(str(answer['error']))
        return destination

    def _ask(self, question: dict[str, object]) -> dict[str, object] | None:
        """Put a question to the process; None if it did not answer."""
        if self._process is None:
            require_ants()
            self._process = _start()
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        try:
            questions.write(json.dumps(question) + '\n')
            questions.flush()
        except BrokenPipeError:
            return None
        # Ends the wait for a line; Windows cannot wait for a pipe with a time limit.
        timer = threading.Timer(self._timeout_s, self._process.kill)
        timer.start()
        line = answers.readline()
        timer.cancel()
        return json.loads(line) if line.endswith('\n') else None

    def _end(self) -> str:
        """End the process, if there is one, and say how it ended."""
        process, self._process = self._process, None
        if process is None:
            return ''
        for stream in (process.stdin, process.stdout):
            # It may have ended before it has read everything.
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]
        try:
            # The system may write its memory to disk.
            code = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code == KILLED:
            return f'reading it takes too much memory, or longer than {self._timeout_s:g} s'
        name = signal_name(-code) if code < 0 else f'exit code {code}'
        return f'reading it ends ITK with {name}'


def _start() -> subprocess.Popen[str]:
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return subprocess.Popen(
        [sys.executable, '-P', '-m', 'tmsprep.registration.guarded'],
        # Not the current folder: Python and ANTs must find nothing there.
        cwd='/',
        env={**os.environ, 'PYTHONPATH': path, 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS': '1'},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _answer(
    question: dict[str, Any], move: _Move, compose: Callable[[list[str], str], object]
) -> dict[str, object]:
    if 'compose' in question:
        return _compose(question['compose'], question['destination'], compose)
    path = str(question['transform'])
    try:
        coordinates = np.array(question['coordinates'], dtype=np.float64).reshape(-1, 3)
        return {'moved': move(coordinates, Path(path)).tolist()}
    except Exception as error:
        message = str(error)
        known = message.startswith(path)
        return {'error': message if known else f'{path}: damaged ({error!r}). {_CURE}'}


def _compose(
    transforms: list[str], destination: str, compose: Callable[[list[str], str], object]
) -> dict[str, object]:
    try:
        compose(transforms, destination)
    except Exception as error:
        return {'error': f'{", ".join(transforms)}: damaged ({error!r}). {_CURE}'}
    return {}


def _serve() -> None:
    """Answer the questions that come, one a line, until there are no more."""
    # What ANTs prints must not stand among the answers.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    from tmsprep.registration.transforms import compose, move_coordinates

    limit_memory(MEMORY)
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line), move_coordinates, compose)) + '\n')
        answers.flush()


if __name__ == '__main__':
    _serve()
