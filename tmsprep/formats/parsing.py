"""Checks and conversions that the readers and writers of all formats share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.points import PointSet

#: Decimals of written coordinates in mm: below any error, and the same digits on every machine.
DECIMALS = 4


class PointsFileError(ValueError):
    """A file of points that cannot be used; the message names the file and the cure."""


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text file.

    Raises
    ------
    PointsFileError
        If it is not UTF-8 text.
    """
    try:
        return path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise PointsFileError(
            f'{path}: not a text file in UTF-8 ({error}). Save it again as UTF-8 text.'
        ) from error


def three_numbers(values: Iterable[Any]) -> np.ndarray:
    """Return the position of a known point, shape (3,).

    Raises
    ------
    ValueError, TypeError
        If these are not three finite numbers.
    """
    values = list(values)
    position = np.array([float(value) for value in values])
    if position.shape != (3,) or not np.isfinite(position).all():
        raise ValueError(f'{values} is not three finite numbers')
    return position


def add_point(points: dict[str, np.ndarray], label: str, position: np.ndarray, path: Path) -> None:
    """Add a point that was read from `path`.

    Raises
    ------
    PointsFileError
        If its name is empty or already in `points`.
    """
    if not label.strip():
        raise PointsFileError(
            f'{path}: a point has no name. Give every point the name of a target.'
        )
    if label in points:
        raise PointsFileError(f'{path}: the point {label!r} appears twice. Remove one of them.')
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
