"""Targets in the files that SimNIBS reads: its CSV of positions, and visor2's markers.

The columns are those of simnibs/utils/csv_reader.py; markers of ANT's visor2 are those of
simnibs/utils/nnav.py (class ant).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.formats.markers import Marker
from tmsprep.formats.parsing import (
    DECIMALS,
    PointsFileError,
    check_writable,
    read_lines,
    read_text,
    rounded,
    three_numbers,
)
from tmsprep.imaging.forms import Forms
from tmsprep.text import parse_json


def write_positions(path: Path, markers: Sequence[Marker]) -> Path:
    """Write SimNIBS's CSV: targets as ``Generic``, and poses of the coil as ``CoilPos``.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    markers : sequence of Marker
        mm, RAS+, which are SimNIBS's coordinates of the same T1w. Missing points are left out. A
        pose is the centre, its z axis, its y axis, and the distance of the centre from the scalp.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    found = [marker for marker in markers if marker.found]
    check_writable([marker.title for marker in found], path, separators=',"')
    lines = [_row('Generic', marker.target, marker.title) for marker in found]
    for marker in found:
        if marker.pose is not None:
            centre, z, y = marker.pose[:3, 3], marker.pose[:3, 2], marker.pose[:3, 1]
            distance = math.dist(centre, marker.entry) if marker.has_entry else 0.0
            lines.append(_row('CoilPos', np.array([*centre, *z, *y, distance]), marker.title))
    return write_text(path, '\n'.join(lines) + '\n')


def _row(kind: str, numbers: np.ndarray, title: str) -> str:
    return ','.join([kind, *(f'{n:.{DECIMALS}f}' for n in rounded(numbers)), title])


def read_positions(path: Path) -> list[Marker]:
    """Read targets, and their poses from the rows ``CoilPos`` of the same name.

    Raises
    ------
    PointsFileError
        If a row is not of that form.
    """
    targets: dict[str, np.ndarray] = {}
    poses: dict[str, np.ndarray] = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line:
            continue
        try:
            # One row at a time, so that a quotation mark does not swallow the rows after it.
            (row,) = csv.reader([line], strict=True)
            if row[0] == 'Generic' and len(row) == 5:
                targets[row[4]] = three_numbers(row[1:4])
            elif row[0] == 'CoilPos' and len(row) == 12:
                centre, z, y = (three_numbers(row[i : i + 3]) for i in (1, 4, 7))
                poses[row[11]] = _pose(centre, z, y)
            else:
                raise ValueError('neither Generic nor CoilPos')
        except (IndexError, ValueError, csv.Error) as error:
            raise PointsFileError(
                f'{path}, line {number}: not a position of SimNIBS ({error})'
            ) from error
    return [Marker(label, target, pose=poses.get(label)) for label, target in targets.items()]


def _pose(centre: np.ndarray, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3] = np.column_stack([np.cross(y, z), y, z, centre])
    return pose


def write_visor2(path: Path, markers: Sequence[Marker], forms: Forms) -> Path:
    """Write poses of the coil as markers of visor2; markers without one are left out.

    Parameters
    ----------
    path : Path
        Ends in ``.mrk``; whole or not at all.
    markers : sequence of Marker
        mm, RAS+, in the frame of the qform.
    forms : Forms
        Of the image; it needs a qform, by whose numbers visor2 knows the image.

    Raises
    ------
    PointsFileError
        If there is no qform.
    """
    if forms.quaternion is None or forms.offset is None or forms.pixdim is None:
        raise PointsFileError(f'{path}: the image has no qform, by which visor2 would know it')
    image = {
        'NIfTI_quatern': forms.quaternion.tolist(),
        'NIfTI_qoffset': forms.offset.tolist(),
        'NIfTI_pixdim': forms.pixdim.tolist(),
    }
    content = {
        'Configuration': {
            'SourceInfo': {'AppName': 'tmsprep', 'AppVersion': __version__},
            'AssociatedImageInfo': image,
        },
        'TargetMarkers': [{'CoilTarget': _coil(m)} for m in markers if m.has_pose],
    }
    return write_text(path, json.dumps(content, indent=1) + '\n')


def _coil(marker: Marker) -> dict[str, Any]:
    assert marker.pose is not None
    return {
        'Name': marker.title,
        'CoordinateSystem': 'ASSOCIATED_IMAGE',
        'PositionalUnit': 'mm',
        'CoilAxesConvention': 'simnibs',
        'CoilInfo': {'Type': '', 'Id': ''},
        'CoilPose': {'RigidTransformMatrix4x4': (np.round(marker.pose, 8) + 0.0).tolist()},
    }


def read_visor2(path: Path) -> list[Marker]:
    """Read poses of the coil in SimNIBS's convention, RAS+; `target` is not known.

    Raises
    ------
    PointsFileError
        If the file is not of that form.
    """
    try:
        coils = [item['CoilTarget'] for item in parse_json(read_text(path))['TargetMarkers']]
        return [_marker(coil) for coil in coils]
    except PointsFileError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise PointsFileError(
            f'{path}: not a file of markers of visor2 ({str(error)[:80]})'
        ) from error


def _marker(coil: dict[str, Any]) -> Marker:
    stated = tuple(coil[k] for k in ('CoordinateSystem', 'PositionalUnit', 'CoilAxesConvention'))
    if stated != ('ASSOCIATED_IMAGE', 'mm', 'simnibs'):
        raise ValueError(f'in {stated}')
    rows = coil['CoilPose']['RigidTransformMatrix4x4']
    pose = np.eye(4)
    pose[:3] = [[*three_numbers(row[:3]), three_numbers(row[1:4])[2]] for row in rows[:3]]
    return Marker(str(coil['Name']), pose=pose)
