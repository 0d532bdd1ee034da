"""Points in 3D Slicer's files: Markups JSON and the older fcsv."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from tmsprep.formats.errors import PointsFileError
from tmsprep.points import PointSet

_TO_RAS = {
    'RAS': np.array([1.0, 1.0, 1.0]),
    '0': np.array([1.0, 1.0, 1.0]),
    'LPS': np.array([-1.0, -1.0, 1.0]),
    '1': np.array([-1.0, -1.0, 1.0]),
}
"""What turns a file's coordinates into RAS+, by the frame that its header names."""

_DEFAULT_COLUMNS = 'id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID'


def read_markups(path: Path) -> PointSet:
    """Read the point list of a Slicer ``.mrk.json`` file.

    Parameters
    ----------
    path : Path
        Frame LPS or RAS, as the file says; a point whose status is not 'defined' is missing.

    Raises
    ------
    PointsFileError
        If the file is not of that form, names no frame, or names a point twice.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        markup = next(m for m in content['markups'] if m['type'] == 'Fiducial')
        sign = _sign(markup.get('coordinateSystem'), path)
        points = {}
        for point in markup['controlPoints']:
            defined = point.get('positionStatus', 'defined') == 'defined'
            position = _three_numbers(point['position']) if defined else np.full(3, np.nan)
            _add(points, point['label'], position * sign, path)
    except PointsFileError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise PointsFileError(f'{path}: not a Slicer markups file ({error!r})') from error
    except StopIteration:
        raise PointsFileError(f'{path}: holds no list of points (type Fiducial)') from None
    return PointSet.from_mapping(points)


def read_fcsv(path: Path) -> PointSet:
    """Read a Slicer ``.fcsv`` file.

    Parameters
    ----------
    path : Path
        Frame as the header's ``CoordinateSystem`` says: RAS or 0, LPS or 1.

    Raises
    ------
    PointsFileError
        If the header names no frame, a row lacks a coordinate, or a label repeats.
    """
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise PointsFileError(f'{path}: not a text file ({error})') from error
    header = dict(
        (part.strip() for part in line.lstrip('# ').split('=', 1))
        for line in lines
        if line.startswith('#') and '=' in line
    )
    sign = _sign(header.get('CoordinateSystem'), path)
    columns = header.get('columns', _DEFAULT_COLUMNS).split(',')
    rows = csv.DictReader((r for r in lines if r and not r.startswith('#')), fieldnames=columns)
    points = {}
    for row in rows:
        try:
            position = _three_numbers([row[axis] for axis in 'xyz'])
        except (KeyError, TypeError, ValueError) as error:
            raise PointsFileError(f'{path}: point {row.get("label")!r}: {error!r}') from error
        _add(points, row.get('label') or '', position * sign, path)
    return PointSet.from_mapping(points)


def _sign(frame: object, path: Path) -> np.ndarray:
    try:
        return _TO_RAS[str(frame).strip().upper()]
    except KeyError:
        raise PointsFileError(
            f'{path}: coordinate system {frame!r} is neither RAS nor LPS; without it left and '
            'right cannot be told. Save the points again with 3D Slicer.'
        ) from None


def _three_numbers(values: list[object]) -> np.ndarray:
    """Return a known place, shape (3,); a ValueError or TypeError if it is none."""
    position = np.array([float(value) for value in values])
    if position.shape != (3,) or not np.isfinite(position).all():
        raise ValueError(f'{values} is not three finite numbers')
    return position


def _add(points: dict[str, np.ndarray], label: str, position: np.ndarray, path: Path) -> None:
    if label in points:
        raise PointsFileError(f'{path}: the point {label!r} stands twice in the file')
    points[label] = position
