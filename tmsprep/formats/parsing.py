"""What every reader and writer of points needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tmsprep.formats.errors import PointsFileError
from tmsprep.points import PointSet


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


def three_numbers(values: Iterable[object]) -> np.ndarray:
    """Return a known place, shape (3,).

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
        If it has no name, or one that was there before.
    """
    if not label.strip():
        raise PointsFileError(
            f'{path}: a point has no name. Give every point the name of a target.'
        )
    if label in points:
        raise PointsFileError(
            f'{path}: the point {label!r} stands twice in the file. Take one of them away.'
        )
    points[label] = position


def known_points(points: PointSet) -> Iterator[tuple[str, np.ndarray]]:
    """Go through the points that are not missing: name, and place of shape (3,) in mm, RAS+."""
    for label, place, found in zip(points.labels, points.coordinates, points.found, strict=True):
        if found:
            yield label, place


def check_writable(labels: Iterable[str], path: Path, separators: str = '') -> None:
    """Refuse names that a program would read otherwise than they are written.

    Parameters
    ----------
    labels : iterable of str
        The names.
    path : Path
        The file to be written, for the message.
    separators : str
        Characters that part one value from the next in this format.

    Raises
    ------
    PointsFileError
        If a name is empty, begins with #, begins or ends with a space, or holds a separator, a
        tab, a line break or another character that cannot be printed.
    """
    for label in labels:
        plain = label and label == label.strip() and label.isprintable()
        if not plain or label.startswith('#') or set(label) & set(separators):
            raise PointsFileError(
                f'{path}: the name {label!r} cannot be written in this format without changing '
                'it. Rename the target in the protocol.'
            )
