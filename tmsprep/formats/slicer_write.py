"""Points into 3D Slicer's files: Markups JSON and the older fcsv."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.formats.parsing import check_writable, known_points
from tmsprep.formats.slicer import FCSV_COLUMNS, slicer_sign
from tmsprep.formats.targets_tsv import DECIMALS
from tmsprep.points import PointSet

_SCHEMA = (
    'https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/Resources/'
    'Schema/markups-schema-v1.0.0.json#'
)


def write_markups(path: Path, points: PointSet, frame: str = 'LPS') -> Path:
    """Write a Slicer ``.mrk.json`` file (Markups schema 1.0.0), whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    points : PointSet
        mm, RAS+. A missing point is written as undefined, so that Slicer asks for it.
    frame : str
        'LPS', which Slicer itself writes, or 'RAS'.

    Raises
    ------
    PointsFileError
        If the frame is another, or a name cannot be written.
    """
    check_writable(points.labels, path)
    sign = slicer_sign(frame, path)
    control = [
        _control_point(number, label, place, sign)
        for number, (label, place) in enumerate(
            zip(points.labels, points.coordinates, strict=True), 1
        )
    ]
    markup = {
        'type': 'Fiducial',
        'coordinateSystem': frame,
        'coordinateUnits': 'mm',
        'controlPoints': control,
    }
    return write_text(path, json.dumps({'@schema': _SCHEMA, 'markups': [markup]}, indent=1) + '\n')


def _control_point(number: int, label: str, place: np.ndarray, sign: np.ndarray) -> dict:
    known = bool(np.isfinite(place).all())
    # Adding 0 turns -0.0 into 0.0.
    position = np.round(np.where(known, place, 0) * sign, DECIMALS) + 0.0
    return {
        'id': str(number),
        'label': label,
        'position': position.tolist(),
        'positionStatus': 'defined' if known else 'undefined',
    }


def write_fcsv(path: Path, points: PointSet, frame: str = 'LPS') -> Path:
    """Write a Slicer ``.fcsv`` file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    points : PointSet
        mm, RAS+. Missing points are left out, as the format has no word for them.
    frame : str
        'LPS' or 'RAS'; also '1' or '0', as Slicer before 4.11 wrote them.

    Raises
    ------
    PointsFileError
        If the frame is another, or a name cannot be written.
    """
    check_writable(points.labels, path, separators=',"')
    sign = slicer_sign(frame, path)
    lines = [
        '# Markups fiducial file version = 4.11',
        f'# CoordinateSystem = {frame}',
        f'# columns = {FCSV_COLUMNS}',
    ]
    for number, (label, place) in enumerate(known_points(points), 1):
        x, y, z = (f'{value:.{DECIMALS}f}' for value in place * sign + 0.0)
        lines.append(f'{number},{x},{y},{z},0,0,0,1,1,1,0,{label},,')
    return write_text(path, '\n'.join(lines) + '\n')
