"""Tables of targets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
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
from tmsprep.text import counted

_COLUMNS = ('label', 'x', 'y', 'z')
#: What a missing number is written as.
MISSING = ('n/a', 'NaN', 'nan', '')


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
    for number, row in read_rows(path, _COLUMNS):
        add_point(points, row['label'], _position(row, f'{path}, line {number}'), path)
    return PointSet.from_mapping(points)


def read_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Iterate over the rows of a table: number of the line, and column to text.

    Parameters
    ----------
    path : Path
        Tab-separated.
    required : sequence of str
        Columns that it must have, each once.

    Raises
    ------
    PointsFileError
        If the file cannot be read, lacks a column, or a row is shorter or longer than the header
        or ends within quotation marks.
    """
    columns: list[str] | None = None
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        cells = _cells(line, f'{path}, line {number}')
        if columns is None:
            columns = cells
            _check_columns(columns, required, path)
        elif len(cells) != len(columns):
            given, expected = counted(len(cells), 'value'), counted(len(columns), 'column')
            raise PointsFileError(
                f'{path}, line {number}: {given} under {expected}, so it is not clear which is '
                'which. Write n/a for each that is missing, and tabs between values.'
            )
        else:
            yield number, dict(zip(columns, cells, strict=True))
    if columns is None:
        raise PointsFileError(
            f'{path}: no columns; the file is empty. Write {", ".join(required)}.'
        )


def _cells(line: str, where: str) -> list[str]:
    """Split one row, so that a stray quotation mark does not swallow the rows after it."""
    try:
        (cells,) = csv.reader([line], delimiter='\t', strict=True)
    except csv.Error as error:
        raise PointsFileError(f'{where}: {error}. Correct the quotation marks.') from error
    return cells


def _check_columns(columns: Sequence[str], required: Sequence[str], path: Path) -> None:
    wrong = [name for name in required if columns.count(name) != 1]
    if wrong:
        what = 'twice' if wrong[0] in columns else 'missing'
        raise PointsFileError(
            f'{path}: needs the columns {", ".join(required)}, each once, with tabs between them; '
            f'{wrong[0]} is {what}'
        )


def _position(row: Mapping[str, str], where: str) -> np.ndarray:
    cells = [row[axis].strip() for axis in 'xyz']
    if all(cell in MISSING for cell in cells):
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
