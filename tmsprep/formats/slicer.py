"""Points in the files of 3D Slicer: Markups JSON and the older fcsv."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.formats.markers import Marker
from tmsprep.formats.parsing import (
    DECIMALS,
    PointsFileError,
    add_point,
    check_writable,
    fields,
    known_points,
    read_lines,
    read_text,
    rounded,
    three_numbers,
)
from tmsprep.points import PointSet

_SCHEMA = (
    'https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/Resources/'
    'Schema/markups-schema-v1.0.0.json#'
)
#: Colour of a point, and of one that carries a warning: green and orange of equal lightness.
GOOD, DOUBTFUL = '#3fe07c', '#ffb454'

_STATUSES = ('undefined', 'preview', 'defined', 'missing')
# The numbers of these in an fcsv file.
_FCSV_STATUSES = tuple(str(number) for number in range(len(_STATUSES)))
_DEFINED = '2'
_FCSV_COLUMNS = 'id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID'


def read_markups(path: Path) -> PointSet:
    """Read the points of all point lists in a Slicer ``.mrk.json`` file.

    Parameters
    ----------
    path : Path
        Frame LPS or RAS, as each list says; a point whose status is not 'defined' is missing.
        Lines, curves, planes and regions are ignored: their points are no targets.

    Raises
    ------
    PointsFileError
        If the file is not of that form, says something twice, names no frame, is not in mm, or
        names a point twice.
    """
    points: dict[str, np.ndarray] = {}
    text = read_text(path)
    try:
        markups = json.loads(text, object_pairs_hook=_once)['markups']
        lists = [markup for markup in markups if markup['type'] == 'Fiducial']
        for markup in lists:
            _add_list(points, markup, path)
    except PointsFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PointsFileError(
            f'{path}: not a Slicer markups file ({str(error)[:80]!r}). Save the points again with '
            '3D Slicer.'
        ) from error
    if not lists:
        raise PointsFileError(
            f'{path}: no point list (type Fiducial). Save the targets as a point list.'
        )
    return PointSet.from_mapping(points)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice in one object, of which json would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'{twice!r} stands twice in one object')
    return found


def _add_list(points: dict[str, np.ndarray], markup: dict, path: Path) -> None:
    sign = _sign(markup.get('coordinateSystem'), path)
    units = markup.get('coordinateUnits', 'mm')
    if units not in ('mm', ['mm'] * 3):
        raise PointsFileError(f'{path}: coordinates in {str(units)[:40]!r}; give them in mm.')
    for point in markup['controlPoints']:
        status = point.get('positionStatus', 'defined')
        if status not in _STATUSES:
            raise ValueError(f'unknown positionStatus {status!r}')
        defined = status == 'defined'
        position = three_numbers(point['position']) if defined else np.full(3, np.nan)
        add_point(points, point['label'], position * sign, path)


def read_fcsv(path: Path) -> PointSet:
    """Read a Slicer ``.fcsv`` file.

    Parameters
    ----------
    path : Path
        Frame as the header's ``CoordinateSystem`` says: RAS or 0, LPS or 1. Slicer 5 writes two
        values behind the columns of the header: the status of the point, which is missing unless
        that is 2 (defined), and how it was set.

    Raises
    ------
    PointsFileError
        If the header names no frame, or two, or a column twice; if a row lacks a coordinate, or is
        shorter or longer than the header says; or if a label repeats.
    """
    lines = read_lines(path)
    header = fields(lines, '=', ('coordinatesystem', 'columns'), path)
    sign = _sign(header.get('coordinatesystem'), path)
    columns = [name.strip() for name in header.get('columns', _FCSV_COLUMNS).split(',')]
    if len(set(columns)) < len(columns):
        raise PointsFileError(f'{path}: a column stands twice in the header. Save it again.')
    points: dict[str, np.ndarray] = {}
    for line in lines:
        if line.strip() and not line.startswith('#'):
            label, position = _fcsv_point(line, columns, path)
            add_point(points, label, position * sign, path)
    return PointSet.from_mapping(points)


def _fcsv_point(line: str, columns: list[str], path: Path) -> tuple[str, np.ndarray]:
    row: dict[str, str] = {}
    try:
        # One row at a time, so that a single quotation mark does not swallow the rows after it.
        (cells,) = csv.reader([line], strict=True)
        row = dict(zip(columns, cells, strict=False))
        if len(cells) < len(columns):
            raise ValueError('fewer values than columns')
        rest = cells[len(columns) :]
        defined = True
        if len(rest) == 2 and rest[0] in _FCSV_STATUSES and rest[1] in ('0', '1'):
            defined = rest[0] == _DEFINED
        elif rest:
            # A comma in a number, or in a name without quotes, shifts everything behind it.
            raise ValueError(
                'more values than columns; write numbers with a point, names without commas'
            )
        if not {row.get(name, '1') for name in ('vis', 'sel', 'lock')} <= {'0', '1'}:
            raise ValueError('values are not under their columns')
        position = three_numbers(row[axis] for axis in 'xyz') if defined else np.full(3, np.nan)
        return row.get('label', ''), position
    except (KeyError, ValueError, csv.Error) as error:
        name = row.get('label', '')[:40]
        raise PointsFileError(
            f'{path}: point {name!r}: {error!r}. Correct this row: {line[:80]!r}'
        ) from error


def write_markups(
    path: Path,
    points: PointSet | Sequence[Marker],
    frame: str = 'LPS',
    *,
    name: str = '',
    colour: str = GOOD,
    locked: bool = False,
) -> Path:
    """Write one point list as a Slicer ``.mrk.json`` file (Markups schema 1.0.0).

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    points : PointSet or sequence of Marker
        mm, RAS+. A missing point is written as undefined and without a position, so that Slicer
        asks for it. A marker with a warning is not selected, and so has the colour `DOUBTFUL`.
    frame : str
        'LPS', which Slicer itself writes, or 'RAS'.
    name : str
        Of the list in Slicer; '' for the name of the file.
    colour : str
        Of the points without a warning, as ``#rrggbb``.
    locked : bool
        Whether the points cannot be dragged in Slicer before they are unlocked.

    Raises
    ------
    PointsFileError
        If the frame is another, or a name cannot be written.
    """
    markers = (
        [Marker(*pair) for pair in zip(points.labels, points.coordinates, strict=True)]
        if isinstance(points, PointSet)
        else list(points)
    )
    check_writable([marker.title for marker in markers], path)
    sign = _sign(frame, path)
    markup = {
        'type': 'Fiducial',
        **({'name': name} if name else {}),
        'coordinateSystem': frame,
        'coordinateUnits': 'mm',
        'locked': locked,
        'controlPoints': [
            _control_point(number, marker, sign) for number, marker in enumerate(markers, 1)
        ],
        'display': {
            'selectedColor': _rgb(colour),
            'color': _rgb(DOUBTFUL),
            'pointLabelsVisibility': True,
        },
    }
    return write_text(path, json.dumps({'@schema': _SCHEMA, 'markups': [markup]}, indent=1) + '\n')


def _control_point(number: int, marker: Marker, sign: np.ndarray) -> dict[str, Any]:
    position = {'position': rounded(marker.target * sign).tolist()} if marker.found else {}
    description = marker.description if marker.name else ''
    return {
        'id': str(number),
        'label': marker.title,
        **({'description': description} if description else {}),
        **position,
        'selected': not marker.warning,
        'positionStatus': 'defined' if marker.found else 'undefined',
    }


def _rgb(colour: str) -> list[float]:
    """Convert ``#rrggbb`` to numbers from 0 to 1."""
    return [round(int(colour[i : i + 2], 16) / 255, 3) for i in (1, 3, 5)]


def write_fcsv(path: Path, points: PointSet, frame: str = 'LPS') -> Path:
    """Write a Slicer ``.fcsv`` file, whole or not at all.

    Parameters
    ----------
    path : Path
        File to write.
    points : PointSet
        mm, RAS+. Missing points are left out, as the format cannot mark them.
    frame : str
        'LPS' or 'RAS'; also '1' or '0', as Slicer before 4.11 wrote them.

    Raises
    ------
    PointsFileError
        If the frame is another, or a name cannot be written.
    """
    check_writable(points.labels, path, separators=',"')
    sign = _sign(frame, path)
    lines = [
        '# Markups fiducial file version = 4.11',
        f'# CoordinateSystem = {frame}',
        f'# columns = {_FCSV_COLUMNS}',
    ]
    for number, (label, place) in enumerate(known_points(points), 1):
        x, y, z = (f'{value:.{DECIMALS}f}' for value in rounded(place * sign))
        lines.append(f'{number},{x},{y},{z},0,0,0,1,1,1,0,{label},,')
    return write_text(path, '\n'.join(lines) + '\n')


def _sign(frame: object, path: Path) -> np.ndarray:
    """Return the signs, shape (3,), that convert coordinates of a named frame to RAS+ and back."""
    name = str(frame).strip().upper()
    if name not in ('RAS', '0', 'LPS', '1'):
        raise PointsFileError(
            f'{path}: coordinate system {frame!r} is neither RAS nor LPS; without it left and '
            'right cannot be told apart. Save the points again with 3D Slicer.'
        )
    return np.array([1.0, 1.0, 1.0] if name in ('RAS', '0') else [-1.0, -1.0, 1.0])
