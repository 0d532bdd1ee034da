"""What one method has to say about one image, passed between nodes as JSON."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.points import PointSet
from tmsprep.running.machine import explain_shortage


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
        the figures of all methods use.
    extra : dict
        What else the method hands to its own `write` and `plot`, JSON-ready.
    findings : list of str
        What is doubtful about the image, seen from the points.
    unreliable : list of str
        Targets whose points are not to be relied on.
    refused : bool
        Whether the method refused the image, see `ImplausibleImage`.
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
        }
        if self.points is not None:
            rows = self.points.coordinates.astype(object)
            rows[np.isnan(self.points.coordinates)] = None
            content['points'] = dict(zip(self.points.labels, rows.tolist(), strict=True))
        return write_text(path, json.dumps(content, indent=1))

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """Read what `write` wrote."""
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        if content['points'] is not None:
            labels = tuple(content['points'])
            rows = np.array([content['points'][label] for label in labels], dtype=np.float64)
            content['points'] = PointSet(labels, rows.reshape(-1, 3))
        return cls(**content)
