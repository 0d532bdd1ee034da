"""Targets as the proposal NIBS-BIDS (BEP037) lists them, and the frame that they are in.

The proposal is a draft that describes delivered stimulation; planned targets, the task ``plan``
and the columns beyond `DRAFT_COLUMNS` are an extension of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.formats.markers import Marker
from tmsprep.formats.parsing import PointsFileError, check_writable, rounded, three_numbers
from tmsprep.formats.targets_tsv import MISSING, read_rows
from tmsprep.tables import write_table

#: Draft of the proposal that the columns are from (github.com/nigelrogasch/nibs-bids, 2026-08).
DRAFT = '6.3'

_POSE = {'centre': 3, 'xdir': 0, 'ydir': 1, 'zdir': 2}

#: Columns of the draft, in its order.
DRAFT_COLUMNS = (
    *('nibs_position_id', 'nibs_element_id', 'position_label', 'position_description'),
    *(f'element_{what}_{axis}' for what in _POSE for axis in 'xyz'),
    *('element_distance', 'target_x', 'target_y', 'target_z', 'target_label'),
)

_IN_WORDS = {
    'centre': 'Centre of the coil',
    'xdir': "Unit vector of the coil's x axis, across the handle",
    'ydir': "Unit vector of the coil's y axis, along the handle",
    'zdir': "Unit vector of the coil's z axis, into the head",
}


def columns() -> dict[str, dict[str, Any]]:
    """Return the description of each column of the table, as its sidecar has it."""
    described: dict[str, dict[str, Any]] = {
        'nibs_position_id': {'Description': 'Name of the position, unique in the table'},
        'nibs_element_id': {'Description': 'The coil; n/a in a plan'},
        'position_label': {'Description': 'Name of the target'},
        'position_description': {'Description': 'The target in words'},
    }
    for what, words in _IN_WORDS.items():
        for axis in 'xyz':
            units = {'Units': 'mm'} if what == 'centre' else {}
            described[f'element_{what}_{axis}'] = {'Description': f'{words}, {axis}', **units}
    described['element_distance'] = {
        'Description': 'Distance of the centre of the coil from the scalp',
        'Units': 'mm',
    }
    for what, words in (
        ('target', 'Point in the brain'),
        ('entry', 'Point on the scalp; not in the draft'),
    ):
        for axis in 'xyz':
            described[f'{what}_{axis}'] = {'Description': f'{words}, {axis}', 'Units': 'mm'}
    described['target_label'] = {'Description': 'Name of the target'}
    described['status'] = {'Description': 'What is known about the point; not in the draft'}
    described['warning'] = {'Description': 'What is doubtful about the point; not in the draft'}
    described['error90_mm'] = {
        'Description': 'Radius of the ball that holds 90 % of errors; not in the draft',
        'Units': 'mm',
    }
    described['method'] = {'Description': 'What gave the point; not in the draft'}
    order = [*DRAFT_COLUMNS, *(name for name in described if name not in DRAFT_COLUMNS)]
    return {name: described[name] for name in order}


def write_markers(path: Path, markers: Sequence[Marker], **entries: Any) -> Path:
    """Write the table and its sidecar, one row per target; what is missing is ``n/a``.

    Parameters
    ----------
    path : Path
        Ends in ``_markers.tsv``; whole or not at all.
    markers : sequence of Marker
        mm, RAS+.
    **entries : Any
        Further entries of the sidecar.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    check_writable([marker.title for marker in markers], path)
    described = columns()
    table = pd.DataFrame([_row(marker) for marker in markers], columns=list(described))
    return write_table(path, table, 'Planned targets of brain stimulation', described, **entries)


def _row(marker: Marker) -> dict[str, Any]:
    pose = np.full((4, 4), np.nan) if marker.pose is None else marker.pose
    distance = (
        math.dist(pose[:3, 3], marker.entry)
        if marker.has_entry and marker.pose is not None
        else math.nan
    )
    values: dict[str, Any] = {
        'nibs_position_id': marker.label,
        'nibs_element_id': '',
        'position_label': marker.title,
        'position_description': marker.name,
        'element_distance': distance,
        'target_label': marker.label,
        'status': marker.status,
        'warning': marker.warning,
        'error90_mm': marker.radius_mm,
        'method': marker.method,
    }
    places = {f'element_{what}': pose[:3, column] for what, column in _POSE.items()}
    for what, place in {**places, 'target': marker.target, 'entry': marker.entry}.items():
        values.update(zip((f'{what}_{axis}' for axis in 'xyz'), rounded(place), strict=True))
    return values


def read_markers(path: Path) -> list[Marker]:
    """Read the targets of a table, mm, RAS+, with entry and pose in SimNIBS's convention.

    Raises
    ------
    PointsFileError
        If the file is not of that form.
    """
    return [_marker(row, f'{path}, line {number}') for number, row in read_rows(path, _NEEDED)]


_NEEDED = ('position_label', *(f'{w}_{a}' for w in ('target', 'entry') for a in 'xyz'))


def _marker(row: Mapping[str, str], where: str) -> Marker:
    vectors = {what: _vector(row, f'element_{what}', where) for what in _POSE}
    pose = np.eye(4)
    for what, column in _POSE.items():
        pose[:3, column] = vectors[what]
    return Marker(
        row['position_label'],
        _vector(row, 'target', where),
        entry=_vector(row, 'entry', where),
        pose=pose if np.isfinite(pose).all() else None,
    )


def _vector(row: Mapping[str, str], name: str, where: str) -> np.ndarray:
    cells = [row.get(f'{name}_{axis}', 'n/a') for axis in 'xyz']
    if all(cell in MISSING for cell in cells):
        return np.full(3, np.nan)
    try:
        return three_numbers(cells)
    except ValueError as error:
        raise PointsFileError(f'{where}: {name}: {error}') from error


def coordinate_system(uri: str, frame: str) -> dict[str, Any]:
    """Describe the frame of the table, as its ``_coordsystem.json``.

    Parameters
    ----------
    uri : str
        BIDS URI of the image.
    frame : str
        Which form of the header the points are in, in words.
    """
    return {
        'NIBSCoordinateSystem': 'IndividualMRI',
        'NIBSCoordinateUnits': 'mm',
        'NIBSCoordinateSystemDescription': f'World frame of the NIfTI image by its {frame}, RAS+: '
        'x to the right, y to the front, z to the top',
        'IntendedFor': uri,
        'NIBSBIDSDraft': DRAFT,
    }
