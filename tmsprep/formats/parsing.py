"""Checks and conversions that the readers and writers of all formats share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep import text
from tmsprep.points import PointSet

#: Decimals of written coordinates in mm: below any error, and the same digits on every machine.
DECIMALS = 4

#: A file of points is smaller, with all samples of a long session of a neuronavigator in it.
MAX_BYTES = 50 << 20

#: Characters of the name of a point.
MAX_LABEL = 200

#: In mm. Nothing in a scanner is a kilometre away.
MAX_COORDINATE = 1e6

_NUMBER = re.compile(r'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?')


class PointsFileError(ValueError):
    """A file of points that cannot be used; the message names the file and the cure."""


def read_text(path: Path) -> str:
    """Return the content of a text file, see `tmsprep.text.read_text`.

    Raises
    ------
    PointsFileError
        If it is missing, no regular file, larger than `MAX_BYTES`, not readable or not UTF-8.
    """
    try:
        return text.read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise PointsFileError(
            f'file of points not found: {path}. Check the name, or fetch what a link leads to.'
        ) from error
    except UnicodeDecodeError as error:
        raise PointsFileError(
            f'{path}: not a text file in UTF-8 ({error}). Save it again as UTF-8 text.'
        ) from error
    except (OSError, ValueError) as error:
        raise PointsFileError(
            f'{path}: cannot be read as a file of points ({error}). Check the file and its '
            'permissions, or export the points alone.'
        ) from error


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, ended as on Unix, Windows or old Macs; see `read_text`.

    Other characters that Unicode counts as line breaks do not end a row of a table.
    """
    return re.split('\r\n|\r|\n', read_text(path))


def fields(
    lines: Iterable[str], separator: str, names: Iterable[str], path: Path
) -> dict[str, str]:
    """Return the values of comments such as ``# Name: value``.

    Parameters
    ----------
    lines : iterable of str
        Lines of the file.
    separator : str
        Between name and value.
    names : iterable of str
        In lower case, the fields to return; case does not count in the file.
    path : Path
        The file, for messages.

    Raises
    ------
    PointsFileError
        If a field has two values.
    """
    found: dict[str, str] = {}
    for line in lines:
        name, mark, value = line.lstrip('# ').partition(separator)
        name, value = name.strip().lower(), value.strip()
        # A line with tabs is a heading of columns.
        if not line.startswith('#') or not mark or '\t' in line or name not in names:
            continue
        if found.setdefault(name, value) != value:
            raise PointsFileError(
                f'{path}: {name!r} has two values in the header. Export the points again, '
                'into one file for each image.'
            )
    return found


def three_numbers(values: Iterable[Any]) -> np.ndarray:
    """Return the position of a known point, shape (3,).

    Parameters
    ----------
    values : iterable
        Numbers, or text with a decimal point.

    Raises
    ------
    ValueError
        If these are not three finite numbers of at most `MAX_COORDINATE`.
    """
    position = [_number(value) for value in values]
    if len(position) != 3:
        raise ValueError(f'{len(position)} numbers are not a position')
    return np.array(position)


def _number(value: Any) -> float:
    """Read a number; Python itself also takes true, 1_000 and digits of other scripts."""
    shown = _shortened(value)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            hint = '; write a decimal point' if ',' in value else ''
            raise ValueError(f'{shown} is not a number{hint}')
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{shown} is not a number')
    if isinstance(value, int) and abs(value) > MAX_COORDINATE:
        raise ValueError(f'{shown} is no coordinate in mm')
    number = float(value)
    if not abs(number) <= MAX_COORDINATE:
        raise ValueError(f'{shown} is no coordinate in mm')
    return number


def _shortened(value: Any) -> str:
    words = repr(value) if isinstance(value, (str, float)) else type(value).__name__
    return words if len(words) <= 40 else f'{words[:40]}...'


def add_point(points: dict[str, np.ndarray], label: str, position: np.ndarray, path: Path) -> None:
    """Add a point that was read from `path`.

    Raises
    ------
    PointsFileError
        If its name is empty, longer than `MAX_LABEL`, already in `points`, or has characters that
        cannot be printed.
    """
    if not label.isprintable() or len(label) > MAX_LABEL:
        raise PointsFileError(
            f'{path}: the name {_shortened(label)} is too long, or has characters that cannot be '
            'printed. Rename the point.'
        )
    if not label.strip():
        raise PointsFileError(
            f'{path}: a point has no name. Give every point the name of a target.'
        )
    if label in points:
        raise PointsFileError(
            f'{path}: the point {_shortened(label)} appears twice. Remove one of them.'
        )
    points[label] = position


def known_points(points: PointSet) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over the points that are not missing: name, and position (3,) in mm, RAS+."""
    for label, position, found in zip(
        points.labels, points.coordinates, points.found, strict=True
    ):
        if found:
            yield label, position


def rounded(values: np.ndarray) -> np.ndarray:
    """Round to the written decimals, without negative zeros."""
    return np.round(values, DECIMALS) + 0.0


def check_writable(labels: Iterable[str], path: Path, separators: str = '') -> None:
    """Refuse names that would not be read as they were written.

    Parameters
    ----------
    labels : iterable of str
        Names of the points.
    path : Path
        File to be written, for the message.
    separators : str
        Characters with a meaning in the format.

    Raises
    ------
    PointsFileError
        If a name is empty, begins with #, begins or ends with a space, or contains a separator, a
        tab, a line break or another character that cannot be printed.
    """
    for label in labels:
        plain = label and label == label.strip() and label.isprintable()
        if not plain or label.startswith('#') or set(label) & set(separators):
            raise PointsFileError(
                f'{path}: the name {label!r} cannot be written in this format without changing '
                'it. Rename the target in the protocol.'
            )
