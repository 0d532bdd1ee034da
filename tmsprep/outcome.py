"""What one method has to say about one image, passed between nodes as JSON."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.files import file_sha256, text_sha256
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.running.machine import explain_shortage
from tmsprep.text import parse_json, read_text

#: Entry of a sidecar, and of `Outcome.details`, that holds the result of `inputs_of`.
INPUTS = 'Inputs'


class ImplausibleImage(RuntimeError):
    """An image in which a method finds no head or brain to work on; the message says why.

    It is a finding about the image, so the points of other methods in it are doubtful as well.
    """


def describe_error(error: Exception) -> dict[str, str]:
    """Message and traceback of an exception that is being handled, JSON-ready.

    Call it in the folder that was written to: if its disk is full, the message says so.
    """
    lines = ''.join(traceback.format_exception(error))
    message = explain_shortage(str(error) or repr(error), [Path.cwd()])
    return {'message': message, 'traceback': lines}


@dataclass(frozen=True)
class Outcome:
    """Points, or the reason why there are none.

    Parameters
    ----------
    method : str
        Name of the method.
    points : PointSet or None
        mm, RAS+, frame of the input image; None if the method failed.
    columns : dict
        Further columns of the method's table: name to one number (or None) per target.
    details : dict
        What the sidecar says of the method, JSON-ready.
    error : dict or None
        'message' and 'traceback' of a failure; together with points, of a later step.
    files : dict
        Files made on the way: key to path. 'mask' is a brain mask in the frame of the image, which
        the figures of all methods use; 'gyri' a `tmsprep.gyri.probabilities.Parcellation`.
    extra : dict
        What else the method hands to its own `write` and `plot`, JSON-ready.
    findings : list of str
        What is doubtful about the image, seen from the points.
    unreliable : list of str
        Targets whose points are not to be relied on.
    refused : bool
        Whether the method refused the image, see `ImplausibleImage`.
    words : dict
        Columns of text: name to one text per target, '' where there is none.
    doubts : dict
        Status of points that need a look, see `tmsprep.evaluation.status`, to their targets.
    settle_mm : float
        How far the points are usually off along each axis, mm, if they may be moved to the middle
        of the grey matter of their gyrus, see `tmsprep.gyri.settle`; 0 if they may not.
    """

    method: str
    points: PointSet | None = None
    columns: dict[str, list[float | None]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] | None = None
    files: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unreliable: list[str] = field(default_factory=list)
    refused: bool = False
    words: dict[str, list[str]] = field(default_factory=dict)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    settle_mm: float = 0.0

    @classmethod
    def failed(cls, method: str, error: Exception, files: dict[str, str] | None = None) -> Outcome:
        """Wrap an exception that is being handled, with the files made before it."""
        refused = isinstance(error, ImplausibleImage)
        return cls(method, error=describe_error(error), files=files or {}, refused=refused)

    def write(self, path: Path) -> Path:
        """Write as JSON; missing coordinates are null."""
        content: dict[str, Any] = {
            'method': self.method,
            'points': None,
            'columns': self.columns,
            'details': self.details,
            'error': self.error,
            'files': self.files,
            'extra': self.extra,
            'findings': self.findings,
            'unreliable': self.unreliable,
            'refused': self.refused,
            'words': self.words,
            'doubts': self.doubts,
            'settle_mm': self.settle_mm,
        }
        if self.points is not None:
            rows = self.points.coordinates.astype(object)
            rows[np.isnan(self.points.coordinates)] = None
            content['points'] = dict(zip(self.points.labels, rows.tolist(), strict=True))
        return write_text(path, json.dumps(content, indent=1))

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """Read what `write` wrote.

        Raises
        ------
        ValueError
            If the file is missing, damaged, or holds something else.
        """
        try:
            content = parse_json(read_text(path))
            if content['points'] is not None:
                labels = tuple(content['points'])
                rows = np.array([content['points'][label] for label in labels], dtype=np.float64)
                content['points'] = PointSet(labels, rows.reshape(-1, 3))
            outcome = cls(**content)
            outcome._check()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path}: damaged ({error}); start the command again') from error
        return outcome

    def _check(self) -> None:
        count = 0 if self.points is None else len(self.points.labels)
        for name in ('columns', 'words', 'details', 'files', 'extra', 'doubts'):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f'{name!r} is no mapping')
        if not isinstance(self.method, str) or not isinstance(self.error, dict | None):
            raise ValueError('the method or the error is of another kind')
        if not all(isinstance(path, str) for path in self.files.values()):
            raise ValueError('a file is no path')
        for numbers in self.columns.values():
            np.array(numbers, dtype=np.float64)
        if not all(isinstance(text, str) for texts in self.words.values() for text in texts):
            raise ValueError('a word is no text')
        columns: dict[str, list] = {**self.columns, **self.words}
        for name, values in columns.items():
            if count and len(values) != count:
                raise ValueError(f'{len(values)} values of {name} for {count} points')


def inputs_of(
    *,
    image_sha256: str,
    protocol: Protocol,
    resources: Mapping[str, Any],
    version: str,
    random_seed: int,
    threads: int,
    after: Mapping[str, Mapping[str, Any]],
    checksum: Callable[[Path], str] = file_sha256,
) -> dict[str, Any]:
    """Describe all that the outcome of one method depends on.

    A run notes it in the sidecar, and an image is done if the next run would note the same. Files
    count by their content, wherever they lie.

    Parameters
    ----------
    image_sha256 : str
        Checksum of the image.
    protocol : Protocol
        The targets.
    resources : mapping
        As the method gets them; a text that is the path of a file stands for its content.
    version : str
        `Method.version`.
    random_seed, threads : int
        As in `tmsprep.methods.base.Request`.
    after : mapping
        Method that ran before, in the same run, to its own inputs.
    checksum : callable
        Returns the SHA-256 of a file.

    Returns
    -------
    dict
        JSON-ready.
    """
    # What images are compared with, and told apart by, seen from the points.
    head = str(protocol.file(protocol.head)) if protocol.head else ''
    gyri = [str(protocol.file(protocol.gyri))] if protocol.gyri else []
    targets = {'targets': [t.identity for t in protocol.targets], 'voxel_mm': protocol.voxel_mm}
    return {
        'Image': image_sha256,
        'Targets': _digest(targets),
        'Resources': _digest(_contents([dict(resources), head, *gyri], checksum)),
        'RandomSeed': random_seed,
        'Threads': threads,
        'Version': version,
        'After': {name: _digest(dict(inputs)) for name, inputs in sorted(after.items())},
    }


def _digest(content: Any) -> str:
    return text_sha256(json.dumps(content, sort_keys=True))


def _contents(value: Any, checksum: Callable[[Path], str]) -> Any:
    """Replace the paths of files by checksums, however deep."""
    if isinstance(value, Mapping):
        return {key: _contents(item, checksum) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_contents(item, checksum) for item in value]
    if isinstance(value, str) and Path(value).is_absolute() and Path(value).is_file():
        return checksum(Path(value))
    return value
