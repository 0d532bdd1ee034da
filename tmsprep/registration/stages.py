"""What a registration is doing, from what ANTs prints."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Name of the file in the folder of the transforms, which is deleted when ANTs has ended.
LOG = 'ants.log'

_RUNNING = re.compile(r'\*\*\* Running (\w+?)(?:Transform)? registration')
#: What ITK calls the transforms, and what they are.
_NAMES = {'Euler3D': 'rigid', 'Affine': 'affine'}
_HEADER = re.compile(r'^(?:XX)?DIAGNOSTIC,Iteration', re.MULTILINE)
_ITERATION = re.compile(r'^ *\d+DIAGNOSTIC, +(\d+),', re.MULTILINE)
_ITERATIONS = re.compile(r'^ *iterations = ([\dx]+)', re.MULTILINE)


@contextmanager
def printed_to(path: Path) -> Iterator[None]:
    """Let this process, the code of ANTs too, print to a file; delete it in the end."""
    sys.stdout.flush()
    before = os.dup(1)
    try:
        with path.open('wb') as stream:
            os.dup2(stream.fileno(), 1)
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)
        path.unlink(missing_ok=True)


def describe(text: str) -> str:
    r"""Say which transform is optimised, at which level and iteration.

    Parameters
    ----------
    text : str
        What ``antsRegistration --verbose 1`` has printed so far.

    Returns
    -------
    str
        '' before the first transform.

    Examples
    --------
    >>> describe('iterations = 20x10\n*** Running AffineTransform registration ***\n')
    'affine'
    """
    stages = list(_RUNNING.finditer(text))
    if not stages:
        return ''
    last = stages[-1]
    words, after = [_NAMES.get(last[1], last[1])], text[last.end() :]
    limits = _ITERATIONS.findall(text[: last.start()])
    headers = list(_HEADER.finditer(after))
    if headers and limits:
        most = limits[-1].split('x')
        level = min(len(headers), len(most))
        words.append(f'level {level} of {len(most)}')
        done = _ITERATION.findall(after[headers[-1].end() :])
        words.append(f'iteration {done[-1] if done else 0} of at most {most[level - 1]}')
    return ', '.join(words)
