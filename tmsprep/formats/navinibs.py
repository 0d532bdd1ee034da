"""Targets as NaviNIBS imports them: a JSON list (NaviNIBS/Navigator/Model/Targets.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.formats.markers import Marker
from tmsprep.formats.parsing import (
    PointsFileError,
    check_writable,
    read_text,
    rounded,
    three_numbers,
)
from tmsprep.text import parse_json

#: From SimNIBS's axes of the coil to NaviNIBS's: there the handle is along -y, and the head along
#: -z; its own inverse.
_FROM_SIMNIBS = np.diag([1.0, -1.0, -1.0, 1.0])


def write_navinibs(path: Path, markers: Sequence[Marker]) -> Path:
    """Write targets with entry and pose of the coil, as far as they are known.

    Parameters
    ----------
    path : Path
        Ends in ``.json``; whole or not at all.
    markers : sequence of Marker
        mm, RAS+. Missing points are left out. Where the entry is not known, NaviNIBS sets it.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    found = [marker for marker in markers if marker.found]
    check_writable([marker.title for marker in found], path)
    return write_text(path, json.dumps([_target(marker) for marker in found], indent=1) + '\n')


def _target(marker: Marker) -> dict[str, Any]:
    target: dict[str, Any] = {
        'key': marker.title,
        'targetCoord': rounded(marker.target).tolist(),
        'color': '#FF8000' if marker.warning else '#00FF00',
    }
    if marker.has_entry:
        target['entryCoord'] = rounded(marker.entry).tolist()
    if marker.pose is not None:
        matrix = np.round(marker.pose @ _FROM_SIMNIBS, 8) + 0.0
        target['coilToMRITransf'] = matrix.tolist()
    return target


def read_navinibs(path: Path) -> list[Marker]:
    """Read targets, mm, RAS+, with entry and pose in SimNIBS's convention.

    Raises
    ------
    PointsFileError
        If the file is not of that form.
    """
    try:
        return [_marker(target) for target in parse_json(read_text(path))]
    except PointsFileError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise PointsFileError(
            f'{path}: not a list of targets of NaviNIBS ({str(error)[:80]})'
        ) from error


def _marker(target: dict[str, Any]) -> Marker:
    pose = None
    if 'coilToMRITransf' in target:
        rows = target['coilToMRITransf']
        pose = np.eye(4)
        pose[:3] = [[*three_numbers(row[:3]), three_numbers(row[1:4])[2]] for row in rows[:3]]
        pose = pose @ _FROM_SIMNIBS
    entry = three_numbers(target['entryCoord']) if 'entryCoord' in target else np.full(3, np.nan)
    return Marker(str(target['key']), three_numbers(target['targetCoord']), entry=entry, pose=pose)
