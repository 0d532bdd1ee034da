"""Tables of targets."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.formats.parsing import DECIMALS, PointsFileError, check_writable
from tmsprep.points import PointSet


def read_targets(path: Path) -> PointSet:
    """Read named points from a table with the columns label, x, y and z; others are ignored.

    Parameters
    ----------
    path : Path
        Tab-separated; coordinates in mm, RAS+; ``n/a`` is a missing point.

    Raises
    ------
    PointsFileError
        If the file is missing or lacks a column, a row is longer than the header, a coordinate is
        not a number, or a label repeats.
    """
    path = Path(path)
    if not path.is_file():
        raise PointsFileError(f'file of points not found: {path}')
    try:
        table = _read_table(path)
        return PointSet(tuple(table['label']), table[['x', 'y', 'z']].to_numpy(dtype=np.float64))
    except KeyError as error:
        raise PointsFileError(f'{path}: needs the columns label, x, y, z; {error}') from error
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise PointsFileError(f'{path}: {error}') from error


def _read_table(path: Path) -> pd.DataFrame:
    """Read a table strictly: no label is taken for a missing value, no column for an index."""
    with warnings.catch_warnings():
        # A row longer than the header: its numbers may belong to any column.
        warnings.simplefilter('error', pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep='\t',
            index_col=False,
            keep_default_na=False,
            na_values={axis: ['n/a', 'NaN', 'nan', ''] for axis in 'xyz'},
            dtype={'label': str},
        )


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
