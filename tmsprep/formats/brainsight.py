"""Targets in the text files of Brainsight (Rogue Research)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.formats.parsing import (
    DECIMALS,
    PointsFileError,
    add_point,
    check_writable,
    known_points,
    read_lines,
    rounded,
    three_numbers,
)
from tmsprep.points import PointSet

#: Brainsight's name of the frame: the sform of the image, with code 1 (scanner).
SYSTEM = 'NIfTI:S:Scanner'

_AXES = ('Loc. X', 'Loc. Y', 'Loc. Z')
_COLUMNS = ('Target Name', *_AXES, *(f'm{axis}n{i}' for axis in range(3) for i in range(3)))
#: What Brainsight itself writes for a point that was set with the mouse, without orientation.
_ORIENTATION = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
_NOTES = (
    '# Notes: Each column is delimited by a tab. '
    'Each value within a column is delimited by a semicolon.'
)


def read_brainsight(path: Path) -> PointSet:
    """Read the targets of a Brainsight text file; samples, landmarks and sessions are ignored.

    Parameters
    ----------
    path : Path
        Coordinates in mm, RAS+, of one of the image's own NIfTI frames, as the header's
        ``Coordinate system`` says. ``(null)`` is a missing point. Orientations are not read.

    Raises
    ------
    PointsFileError
        If the file is not of that form, its frame is not that of a NIfTI image, it has no targets,
        or a name repeats.
    """
    lines = read_lines(path)
    _check_header(lines, path)
    points: dict[str, np.ndarray] = {}
    columns: list[str] | None = None
    sections = set()
    for number, line in enumerate(lines, 1):
        if line.startswith('#'):
            # A line with tabs begins a section; comments have none.
            if '\t' in line:
                columns = [cell.strip() for cell in line.lstrip('# ').split('\t')]
                sections.add(columns[0])
        elif line.strip() and columns and columns[0] == 'Target Name':
            label, position = _target(line, columns, f'{path}, line {number}')
            add_point(points, label, position, path)
    if 'Target Name' not in sections:
        raise PointsFileError(
            f'{path}: no targets. Export again with Brainsight and select the targets.'
        )
    return PointSet.from_mapping(points)


def _check_header(lines: list[str], path: Path) -> None:
    header: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r'#\s*([^:\t]+):\s*([^\t]*)', line)
        if match:
            header.setdefault(match[1].strip().lower(), match[2].strip())
    system = header.get('coordinate system', 'not named')
    if not system.lower().startswith('nifti:'):
        raise PointsFileError(
            f'{path}: not a Brainsight export in the frame of the NIfTI image (coordinate system '
            f'{system}). Export the targets again and choose {SYSTEM}, or another system '
            'that begins with NIfTI.'
        )
    units = header.get('units', 'millimetres')
    if not units.lower().startswith('millimet'):
        raise PointsFileError(f'{path}: units are {units}; export again in millimetres.')


def _target(line: str, columns: list[str], where: str) -> tuple[str, np.ndarray]:
    cells = [cell.strip() for cell in line.split('\t')]
    row = dict(zip(columns, cells, strict=False))
    try:
        if len(cells) > len(columns):
            raise ValueError('more values than columns')
        position = [row[axis] for axis in _AXES]
        if position == ['(null)'] * 3:
            return cells[0], np.full(3, np.nan)
        return cells[0], three_numbers(position)
    except (KeyError, ValueError) as error:
        raise PointsFileError(
            f'{where}: not a Brainsight target ({error!r}). Correct the line, or export again.'
        ) from error


def write_brainsight(path: Path, points: PointSet, system: str = SYSTEM) -> Path:
    """Write targets without orientation as Brainsight text, version 14, whole or not at all.

    Parameters
    ----------
    path : Path
        File to write.
    points : PointSet
        mm, RAS+, in the frame that `system` names. Missing points are left out.
    system : str
        Brainsight's name of the frame: ``NIfTI:S:`` or ``NIfTI:Q:`` for sform or qform, then the
        meaning of its code, such as ``Scanner`` or ``Aligned``.

    Raises
    ------
    PointsFileError
        If a name cannot be written, or the frame is not that of a NIfTI image.
    """
    check_writable(points.labels, path)
    lines = [
        '# Version: 14',
        f'# Coordinate system: {system}',
        f'# Created by: tmsprep {__version__}',
        '# Units: millimetres, degrees, milliseconds, and microvolts',
        '# Encoding: UTF-8',
        _NOTES,
    ]
    _check_header(lines, path)
    lines.append('# ' + '\t'.join(_COLUMNS))
    for label, place in known_points(points):
        numbers = rounded(np.array([*place, *_ORIENTATION]))
        lines.append('\t'.join([label, *(f'{number:.{DECIMALS}f}' for number in numbers)]))
    return write_text(path, '\n'.join(lines) + '\n')
