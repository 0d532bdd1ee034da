"""Targets in the text files of Brainsight (Rogue Research)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tmsprep import __version__
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
    rounded,
    three_numbers,
)
from tmsprep.imaging.forms import Forms
from tmsprep.points import PointSet

#: Brainsight's names of NIfTI's codes of a frame, in lower case.
CODES = {'scanner': 1, 'aligned': 2, 'talairach': 3, 'mni-152': 4, 'other-template': 5}

_AXES = ('Loc. X', 'Loc. Y', 'Loc. Z')
_COLUMNS = ('Target Name', *_AXES, *(f'm{axis}n{i}' for axis in range(3) for i in range(3)))
#: What Brainsight itself writes for a point that was set with the mouse, without orientation.
_ORIENTATION = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
#: From SimNIBS's axes of the coil to Brainsight's, whose z axis points out of the head; its own
#: inverse (simnibs/utils/nnav.py, brainsight._simnibs2brainsight).
_FROM_SIMNIBS = np.diag([-1.0, 1.0, -1.0, 1.0])
_NOTES = (
    '# Notes: Each column is delimited by a tab. '
    'Each value within a column is delimited by a semicolon.'
)


def read_brainsight(path: Path, codes: tuple[int, int] | None = None) -> PointSet:
    """Read the targets of a Brainsight text file; samples, landmarks and sessions are ignored.

    Parameters
    ----------
    path : Path
        Coordinates in mm, RAS+, of one of the image's own NIfTI frames, as the header's
        ``Coordinate system`` says. ``(null)`` is a missing point. Orientations are not read.
    codes : tuple of int, optional
        qform_code and sform_code of the image. If they are not known, frames of templates are
        refused.

    Raises
    ------
    PointsFileError
        If the file is not of that form, its frame is not that of this NIfTI image, it has no
        targets, a column stands twice, or a name repeats.
    """
    lines = read_lines(path)
    _check_frame(_check_header(lines, path), codes, path)
    points: dict[str, np.ndarray] = {}
    columns: list[str] | None = None
    sections = set()
    for number, line in enumerate(lines, 1):
        if line.startswith('#'):
            # A line with tabs begins a section; comments have none.
            if '\t' in line:
                columns = [cell.strip() for cell in line.lstrip('# ').split('\t')]
                sections.add(columns[0])
                if columns[0] == 'Target Name' and len(set(columns)) < len(columns):
                    raise PointsFileError(
                        f'{path}, line {number}: a column stands twice. Export the targets again.'
                    )
        elif line.strip() and columns and columns[0] == 'Target Name':
            label, position = _target(line, columns, f'{path}, line {number}')
            add_point(points, label, position, path)
    if 'Target Name' not in sections:
        raise PointsFileError(
            f'{path}: no targets. Export again with Brainsight and select the targets.'
        )
    return PointSet.from_mapping(points)


def _check_header(lines: list[str], path: Path) -> str:
    """Return the frame, which is that of a NIfTI image; refuse other frames and units."""
    header = fields(lines, ':', ('coordinate system', 'units'), path)
    system = header.get('coordinate system', 'not named')
    if not system.lower().startswith('nifti:'):
        raise PointsFileError(
            f'{path}: not a Brainsight export in the frame of the NIfTI image (coordinate system '
            f'{system[:40]}). Export the targets again and choose a system that begins with '
            'NIfTI, such as NIfTI:S:Scanner.'
        )
    units = header.get('units', 'millimetres')
    if not units.lower().startswith('millimet'):
        raise PointsFileError(f'{path}: units are {units[:40]}; export again in millimetres.')
    return system


def _check_frame(system: str, codes: tuple[int, int] | None, path: Path) -> None:
    """Refuse a frame whose name is not of the code of the image's own qform or sform."""
    form, _, meaning = system.lower().removeprefix('nifti:').rpartition(':')
    code = CODES.get(meaning.strip())
    known: tuple[int, ...] = (CODES['scanner'], CODES['aligned'])
    why = 'a template, not the scanner'
    if codes is not None:
        known = {'q': codes[:1], 's': codes[1:], '': codes}.get(form.strip(), ())
        why = f'but the image has qform_code {codes[0]} and sform_code {codes[1]}'
    if code not in known:
        raise PointsFileError(
            f'{path}: coordinate system {system[:40]}, {why}: the points are of another image, '
            'or its header was changed since. Open this very image in Brainsight, and export the '
            'targets again.'
        )


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
            f'{where}: not a Brainsight target ({str(error)[:80]}). Correct the line, or export '
            'again.'
        ) from error


def write_brainsight(
    path: Path,
    points: PointSet | Sequence[Marker],
    system: str,
    version: int = 14,
) -> Path:
    """Write targets as Brainsight text, whole or not at all.

    The place of a target is the point in the brain; its axes are those of the coil above it, if a
    marker has a pose, so that the coil's axis passes through the point.

    Parameters
    ----------
    path : Path
        File to write.
    points : PointSet or sequence of Marker
        mm, RAS+, in the frame that `system` names. Missing points are left out.
    system : str
        Brainsight's name of the frame, see `frame_name`.
    version : int
        Of the text format: 14 for Brainsight 2.5.3 and later, 13 for earlier ones.

    Raises
    ------
    PointsFileError
        If a name cannot be written, or the frame is not that of a NIfTI image.
    """
    markers = (
        [Marker(*pair) for pair in known_points(points)]
        if isinstance(points, PointSet)
        else [marker for marker in points if marker.found]
    )
    check_writable([marker.title for marker in markers], path)
    lines = [
        f'# Version: {version}',
        f'# Coordinate system: {system}',
        f'# Created by: tmsprep {__version__}',
        '# Units: millimetres, degrees, milliseconds, and microvolts',
        '# Encoding: UTF-8',
        _NOTES,
    ]
    _check_header(lines, path)
    lines.append('# ' + '\t'.join(_COLUMNS))
    for marker in markers:
        numbers = rounded(np.array([*marker.target, *_axes(marker)]))
        lines.append('\t'.join([marker.title, *(f'{number:.{DECIMALS}f}' for number in numbers)]))
    return write_text(path, '\n'.join(lines) + '\n')


def _axes(marker: Marker) -> Iterable[float]:
    """Return the x, y and z axis of a target, nine numbers."""
    pose = oriented(marker).pose
    assert pose is not None
    return (pose @ _FROM_SIMNIBS)[:3, :3].T.ravel()


def oriented(marker: Marker) -> Marker:
    """Give a marker without a pose the axes of a target without orientation in Brainsight."""
    if marker.pose is not None:
        return marker
    neutral = np.eye(4)
    neutral[:3, :3] = np.array(_ORIENTATION).reshape(3, 3).T
    return replace(marker, pose=neutral @ _FROM_SIMNIBS)


def frame_name(forms: Forms, version: int, shape: tuple[int, ...]) -> str:
    """Name the frame of the points of an image by the codes of its header.

    Version 14 says which form is meant. ``Q`` is chosen where both are one frame, because SimNIBS
    reads no other. Version 13 says the code alone, which must be that of one frame only.

    Parameters
    ----------
    forms : Forms
        Of the image.
    version : int
        Of the text format, 13 or 14.
    shape : tuple of int
        Of the image.

    Returns
    -------
    str
        Such as ``NIfTI:Q:Scanner`` or, in version 13, ``NIfTI:Scanner``; '' if no name is true of
        one frame only.

    Examples
    --------
    >>> aligned = Forms(0, 2, None, np.eye(4))
    >>> frame_name(aligned, 14, (9, 9, 9)), frame_name(aligned, 13, (9, 9, 9))
    ('NIfTI:S:Aligned', 'NIfTI:Aligned')
    """
    which, code = forms.in_use
    names = {number: name for name, number in CODES.items()}
    if code not in names:
        return ''
    differ = forms.differ(shape)
    if version >= 14:
        as_qform = forms.qform_code in names and not differ
        letter, code = ('Q', forms.qform_code) if as_qform else (which[0].upper(), code)
        return f'NIfTI:{letter}:{_capitalised(names[code])}'
    ambiguous = differ and forms.qform_code == forms.sform_code
    return '' if ambiguous else f'NIfTI:{_capitalised(names[code])}'


def _capitalised(name: str) -> str:
    return 'MNI-152' if name == 'mni-152' else '-'.join(map(str.capitalize, name.split('-')))


def read_targets_with_axes(path: Path, codes: tuple[int, int] | None = None) -> list[Marker]:
    """Read targets with the axes of the coil; the centre of the pose is the target.

    Raises
    ------
    PointsFileError
        As `read_brainsight`, and if an axis is missing or no number.
    """
    points = read_brainsight(path, codes)
    poses = {}
    columns: list[str] = []
    for line in read_lines(path):
        cells = [cell.strip() for cell in line.lstrip('# ').split('\t')]
        if line.startswith('#'):
            columns = cells if len(cells) > 1 else columns
        elif line.strip() and columns and columns[0] == 'Target Name':
            row = dict(zip(columns, cells, strict=False))
            try:
                axes = [three_numbers(row[f'm{a}n{i}'] for i in range(3)) for a in range(3)]
            except (KeyError, ValueError) as error:
                raise PointsFileError(f'{path}: {cells[0]!r} has no axes ({error})') from error
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = np.array(axes).T, points[cells[0]]
            poses[cells[0]] = pose @ _FROM_SIMNIBS
    return [
        Marker(label, position, pose=poses.get(label))
        for label, position in zip(points.labels, points.coordinates, strict=True)
    ]
