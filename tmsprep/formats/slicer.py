"""Points in 3D Slicer's files: Markups JSON and the older fcsv."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from tmsprep.formats.errors import PointsFileError
from tmsprep.formats.parsing import add_point, read_lines, three_numbers
from tmsprep.points import PointSet

_TO_RAS = {
    'RAS': np.array([1.0, 1.0, 1.0]),
    '0': np.array([1.0, 1.0, 1.0]),
    'LPS': np.array([-1.0, -1.0, 1.0]),
    '1': np.array([-1.0, -1.0, 1.0]),
}
"""What turns a file's coordinates into RAS+, by the frame that its header names."""

FCSV_COLUMNS = 'id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID'


def read_markups(path: Path) -> PointSet:
    """Read the points of a Slicer ``.mrk.json`` file, those of all its lists together.

    Parameters
    ----------
    path : Path
        Frame LPS or RAS, as each list says; a point whose status is not 'defined' is missing.

    Raises
    ------
    PointsFileError
        If the file is not of that form, names no frame, is not in mm, or names a point twice.
    """
    points: dict[str, np.ndarray] = {}
    try:
        markups = json.loads(path.read_text(encoding='utf-8-sig'))['markups']
        lists = [markup for markup in markups if markup['type'] == 'Fiducial']
        for markup in lists:
            _add_list(points, markup, path)
    except PointsFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PointsFileError(
            f'{path}: not a Slicer markups file ({error!r}). Save the points again with 3D Slicer.'
        ) from error
    if not lists:
        raise PointsFileError(
            f'{path}: holds no list of points (type Fiducial). Give the targets as a point list.'
        )
    return PointSet.from_mapping(points)


def _add_list(points: dict[str, np.ndarray], markup: dict, path: Path) -> None:
    sign = slicer_sign(markup.get('coordinateSystem'), path)
    units = markup.get('coordinateUnits', 'mm')
    if units not in ('mm', ['mm'] * 3):
        raise PointsFileError(f'{path}: coordinates in {units!r}; give them in mm.')
    for point in markup['controlPoints']:
        defined = point.get('positionStatus', 'defined') == 'defined'
        position = three_numbers(point['position']) if defined else np.full(3, np.nan)
        add_point(points, point['label'], position * sign, path)


def read_fcsv(path: Path) -> PointSet:
    """Read a Slicer ``.fcsv`` file.

    Parameters
    ----------
    path : Path
        Frame as the header's ``CoordinateSystem`` says: RAS or 0, LPS or 1.

    Raises
    ------
    PointsFileError
        If the header names no frame, a row lacks a coordinate or is longer than the header says,
        or a label repeats.
    """
    lines = read_lines(path)
    header = dict(
        (part.strip() for part in line.lstrip('# ').split('=', 1))
        for line in lines
        if line.startswith('#') and '=' in line
    )
    sign = slicer_sign(header.get('CoordinateSystem'), path)
    columns = [name.strip() for name in header.get('columns', FCSV_COLUMNS).split(',')]
    points: dict[str, np.ndarray] = {}
    for line in lines:
        if line.strip() and not line.startswith('#'):
            label, position = _fcsv_point(line, columns, path)
            add_point(points, label, position * sign, path)
    return PointSet.from_mapping(points)


def _fcsv_point(line: str, columns: list[str], path: Path) -> tuple[str, np.ndarray]:
    row: dict[str, str] = {}
    try:
        # Row by row, so that a lone quotation mark does not swallow the rows after it.
        (cells,) = csv.reader([line], strict=True)
        row = dict(zip(columns, cells, strict=False))
        if len(cells) > len(columns):
            # A comma in a number, or in a name without quotes, shifts everything behind it.
            raise ValueError(
                'more values than columns; write numbers with a point, names without commas'
            )
        return row.get('label', ''), three_numbers(row[axis] for axis in 'xyz')
    except (KeyError, ValueError, csv.Error) as error:
        raise PointsFileError(
            f'{path}: point {row.get("label")!r}: {error!r}. Correct this row: {line[:80]}'
        ) from error


def slicer_sign(frame: object, path: Path) -> np.ndarray:
    """Return what turns coordinates of a named frame into RAS+ and back, shape (3,).

    Parameters
    ----------
    frame : object
        RAS or 0, LPS or 1.
    path : Path
        The file, for the message.

    Raises
    ------
    PointsFileError
        If the frame is another.
    """
    try:
        return _TO_RAS[str(frame).strip().upper()]
    except KeyError:
        raise PointsFileError(
            f'{path}: coordinate system {frame!r} is neither RAS nor LPS; without it left and '
            'right cannot be told. Save the points again with 3D Slicer.'
        ) from None
