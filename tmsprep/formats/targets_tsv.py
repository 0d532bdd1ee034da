"""Tables of targets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.formats.parsing import (
    DECIMALS,
    PointsFileError,
    add_point,
    check_writable,
    read_lines,
    three_numbers,
)
from tmsprep.points import PointSet

_COLUMNS = ('label', 'x', 'y', 'z')
_MISSING = ('n/a', 'NaN', 'nan', '')


def read_targets(path: Path) -> PointSet:
    """Read named points from a table with the columns label, x, y and z; others are ignored.

    Parameters
    ----------
    path : Path
        Tab-separated; coordinates in mm, RAS+; ``n/a`` is a missing point.

    Raises
    ------
    PointsFileError
        If the file cannot be read, lacks one of these columns or has it twice, if a row is
        shorter or longer than the header or ends within quotation marks, if a coordinate is not a
        number, a point is known on some axes only, or a label repeats or cannot be printed.
    """
    path = Path(path)
    points: dict[str, np.ndarray] = {}
    columns: list[str] | None = None
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        where = f'{path}, line {number}'
        cells = _cells(line, where)
        if columns is None:
            columns = cells
            _check_columns(columns, path)
            continue
        if len(cells) != len(columns):
            raise PointsFileError(
                f'{where}: {len(cells)} values under {len(columns)} columns, so it is not clear '
                'which is which. Write n/a for each that is missing, and tabs between values.'
            )
        row = dict(zip(columns, cells, strict=True))
        add_point(points, row['label'], _position(row, where), path)
    if columns is None:
        raise PointsFileError(f'{path}: no columns; the file is empty. Write label, x, y, z.')
    return PointSet.from_mapping(points)


def _cells(line: str, where: str) -> list[str]:
    """Split one row, so that a stray quotation mark does not swallow the rows after it."""
    try:
        (cells,) = csv.reader([line], delimiter='\t', strict=True)
    except csv.Error as error:
        raise PointsFileError(f'{where}: {error}. Correct the quotation marks.') from error
    return cells


def _check_columns(columns: Sequence[str], path: Path) -> None:
    wrong = [name for name in _COLUMNS if columns.count(name) != 1]
    if wrong:
        what = 'twice' if wrong[0] in columns else 'missing'
        raise PointsFileError(
            f'{path}: needs the columns label, x, y, z, each once, with tabs between them; '
            f'{wrong[0]} is {what}'
        )


def _position(row: Mapping[str, str], where: str) -> np.ndarray:
    cells = [row[axis].strip() for axis in 'xyz']
    if all(cell in _MISSING for cell in cells):
        return np.full(3, np.nan)
    try:
        return three_numbers(cells)
    except ValueError as error:
        raise PointsFileError(
            f'{where}: {error}. Write three numbers in mm, or n/a in x, y and z if the point is '
            'missing.'
        ) from error


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table in the form of BIDS: tabs, ``n/a`` for missing, four decimals."""
    with atomic_path(path) as partial:
        table.to_csv(partial, sep='\t', na_rep='n/a', index=False, float_format=f'%.{DECIMALS}f')
    return Path(path)


def write_tsv(path: Path, points: PointSet) -> Path:
    """Write points (mm, RAS+) as a table that `read_targets` reads."""
    check_writable(points.labels, path)
    table = pd.DataFrame(points.coordinates, columns=['x', 'y', 'z'])
    table.insert(0, 'label', points.labels)
    return write_table(path, table)
