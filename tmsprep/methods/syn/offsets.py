"""Offsets by which the points of the atlas are moved, from a table that `train` has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.bids.names import shorten
from tmsprep.evaluation.offsets import LEAST, OFFSET_AXES
from tmsprep.files import file_sha256
from tmsprep.formats.parsing import three_numbers
from tmsprep.formats.targets_tsv import MISSING, read_rows
from tmsprep.points import PointSet
from tmsprep.tables import read_json

#: Longest offset, mm: rules that are farther apart do not mean the same target, or the table is
#: damaged.
MOST_MM = 30.0

#: Entry of the sidecar that tells for which atlas the offsets are: checksums of its files.
ATLAS_CHECKSUMS = 'AtlasChecksums'

_CURE = 'make it again by train --localizers syn'


def find_offsets(path: Path, atlas: PointSet, checksums: Sequence[str]) -> dict[str, Any]:
    """Read a table of offsets, and refuse that of another atlas.

    Parameters
    ----------
    path : Path
        The table; its sidecar lies beside it.
    atlas : PointSet
        Points of the atlas, mm, RAS+.
    checksums : sequence of str
        Of the files of the atlas.

    Returns
    -------
    dict
        JSON-ready: 'file', the path; 'sha256'; 'participants', the most of any target; 'mm', the
        label of each target that is moved to x, y and z in mm, RAS+, along the axes of the atlas.

    Raises
    ------
    ValueError
        If table or sidecar cannot be read, or are of another atlas or other targets; the message
        names the file and the remedy.
    """
    sha256 = file_sha256(path)
    made_for = read_json(path.with_suffix('.json')).get(ATLAS_CHECKSUMS)
    if made_for is None:
        raise ValueError(
            f'{path}: there is no sidecar {path.with_suffix(".json").name} that says for which '
            f'atlas it is; keep both files together, or {_CURE}'
        )
    if made_for != list(checksums):
        raise ValueError(
            f'{path}: made for another atlas, or other points of it; give that atlas, or {_CURE}'
        )
    offsets: dict[str, list[float] | None] = {}
    most = 0
    for number, row in read_rows(path, ('label', *OFFSET_AXES, 'people')):
        label, where = row['label'], f'{path}, line {number}'
        if label in offsets or label not in atlas.labels:
            what = 'twice' if label in offsets else 'not a target of the protocol'
            raise ValueError(f'{where}: {label[:40]!r} is {what}; {_CURE}')
        offsets[label] = _offset([row[axis].strip() for axis in OFFSET_AXES], where)
        if offsets[label] is not None:
            most = max(most, _people(row['people'].strip(), where))
    lacking = [label for label in atlas.labels if label not in offsets]
    if lacking:
        raise ValueError(f'{path}: lacks {shorten(lacking)} of the protocol; {_CURE}')
    known = dict(zip(atlas.labels, atlas.found, strict=True))
    moved = {label: mm for label, mm in offsets.items() if mm is not None and known[label]}
    if not moved:
        raise ValueError(f'{path}: no target of the atlas has an offset; leave it out, or {_CURE}')
    return {'file': str(path), 'sha256': sha256, 'participants': most, 'mm': moved}


def _offset(cells: Sequence[str], where: str) -> list[float] | None:
    if all(cell in MISSING for cell in cells):
        return None
    try:
        offset = three_numbers(cells)
    except ValueError as error:
        raise ValueError(f'{where}: {error}; {_CURE}') from error
    if np.linalg.norm(offset) > MOST_MM:
        raise ValueError(
            f'{where}: an offset of {np.linalg.norm(offset):.0f} mm, above {MOST_MM:g}; {_CURE}'
        )
    return [float(value) for value in offset]


def _people(cell: str, where: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) < 7 and int(cell) > LEAST):
        raise ValueError(
            f'{where}: {cell[:20]!r} participants are not {LEAST + 1} or more; {_CURE}'
        )
    return int(cell)


def shifted(points: PointSet, offsets: Mapping[str, Any] | None) -> PointSet:
    """Move points of the atlas by their offsets.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the atlas.
    offsets : mapping or None
        Result of `find_offsets`; points without an offset stay.

    Examples
    --------
    >>> points = PointSet(('a', 'b'), [[1, 2, 3], [4, 5, 6]])
    >>> shifted(points, {'mm': {'b': [0, 0, 1.5]}}).coordinates.tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, 7.5]]
    """
    if not offsets:
        return points
    mm = [offsets['mm'].get(label, (0.0, 0.0, 0.0)) for label in points.labels]
    return PointSet(points.labels, points.coordinates + np.array(mm))


def describe_offsets(offsets: Mapping[str, Any] | None) -> dict[str, Any]:
    """Entry of the sidecar of points; nothing without offsets."""
    if not offsets:
        return {}
    return {
        'AtlasOffsets': {
            'File': Path(offsets['file']).name,
            'SHA256': offsets['sha256'],
            'Participants': offsets['participants'],
            'Targets': list(offsets['mm']),
        }
    }
