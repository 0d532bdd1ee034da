"""Targets in the XML files of Localite TMS Navigator.

Two kinds of file: instrument markers (poses of the coil) and pairs of an entry on the scalp and a
target in the brain. The syntax of the first is that of simnibs/utils/nnav.py, that of the second
that of a session file of 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

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

#: Localite names files by the time of their making, and SimNIBS refuses others. The same input
#: gives the same files, so this is no time: it is the first moment of the year 2000.
TIMESTAMP = '20000101000000000'

#: From SimNIBS's axes of the coil to Localite's (x into the head, y against the handle); its own
#: inverse (simnibs/utils/nnav.py, localite._simnibs2localite).
_FROM_SIMNIBS = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_GREEN, _ORANGE = '#00ff00', '#ff8000'


def write_instrument_markers(path: Path, markers: Sequence[Marker], source: str = '') -> Path:
    """Write poses of the coil, in RAS; markers without one are left out.

    Parameters
    ----------
    path : Path
        Named ``InstrumentMarker`` and `TIMESTAMP`; whole or not at all.
    markers : sequence of Marker
        mm, RAS+.
    source : str
        Name of the image, for a comment: the name of the file does not tell it.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    posed = [marker for marker in markers if marker.has_pose]
    check_writable([marker.title for marker in posed], path)
    lines = ['<InstrumentMarkerList coordinateSpace="RAS">', *_comment(source)]
    for index, marker in enumerate(posed):
        lines += [
            f'    <InstrumentMarker alwaysVisible="false" index="{index}" selected="false">',
            f'        <Marker additionalInformation="" {_look(marker)} set="true">',
            f'            <Matrix4D {_matrix(marker)}/>',
            '        </Marker>',
            '    </InstrumentMarker>',
        ]
    return write_text(path, _HEAD + '\n'.join([*lines, '</InstrumentMarkerList>']) + '\n')


def _matrix(marker: Marker) -> str:
    assert marker.pose is not None
    matrix = marker.pose @ _FROM_SIMNIBS + 0.0
    cells = np.ndenumerate(matrix)
    return ' '.join(f'data{row}{column}="{value:.8f}"' for (row, column), value in cells)


def read_instrument_markers(path: Path) -> list[Marker]:
    """Read poses of the coil in SimNIBS's convention, RAS+; `target` is not known.

    Raises
    ------
    PointsFileError
        If the file is not of that form.
    """
    root, sign = _root(path, 'InstrumentMarkerList')
    found = []
    for element in root.iter('Marker'):
        matrix = element.find('Matrix4D')
        if matrix is None:
            raise _wrong(path, 'a marker without a matrix')
        cells = [matrix.get(f'data{row}{column}', '') for row in range(4) for column in range(4)]
        numbers = [_numbers(cells[4 * row : 4 * row + 3], path) for row in range(4)]
        pose = np.array([[*row, 0.0] for row in numbers])
        pose[:, 3] = [*_numbers(cells[3:15:4], path), 1.0]
        flip = np.diag([*sign, 1.0])
        label = element.get('description', '')
        found.append(Marker(label, pose=flip @ pose @ _FROM_SIMNIBS))
    return found


def write_entry_targets(path: Path, markers: Sequence[Marker], source: str = '') -> Path:
    """Write pairs of an entry on the scalp and a target in the brain, in RAS.

    Parameters
    ----------
    path : Path
        Named ``EntryTarget`` and `TIMESTAMP`; whole or not at all.
    markers : sequence of Marker
        mm, RAS+; those without an entry are left out.
    source : str
        Name of the image, for a comment.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    pairs = [marker for marker in markers if marker.has_entry]
    check_writable([marker.title for marker in pairs], path)
    lines = ['<EntryTargetList coordinateSpace="RAS">', *_comment(source)]
    for index, marker in enumerate(pairs):
        for kind, point, drawn in (
            ('Entry', marker.entry, 'false'),
            ('Target', marker.target, 'true'),
        ):
            x, y, z = (f'{value:.4f}' for value in rounded(point))
            lines += [
                f'    <{kind} alwaysVisible="false" index="{index}" selected="true">',
                f'        <Marker {_look(marker)} drawAura="{drawn}" radius="4.0" set="true">',
                f'            <ColVec3D data0="{x}" data1="{y}" data2="{z}"/>',
                '        </Marker>',
                f'    </{kind}>',
            ]
    return write_text(path, _HEAD + '\n'.join([*lines, '</EntryTargetList>']) + '\n')


def read_entry_targets(path: Path) -> list[Marker]:
    """Read pairs of an entry and a target of the same index, mm, RAS+.

    Raises
    ------
    PointsFileError
        If the file is not of that form, or half of a pair is missing.
    """
    root, sign = _root(path, 'EntryTargetList')
    points: dict[str, dict[str, tuple[str, np.ndarray]]] = {'Entry': {}, 'Target': {}}
    for kind, found in points.items():
        for element in root.iter(kind):
            marker, place = element.find('Marker'), element.find('Marker/ColVec3D')
            if marker is None or place is None:
                raise _wrong(path, f'{kind} without a place')
            position = _numbers([place.get(f'data{axis}', '') for axis in range(3)], path)
            found[element.get('index', '')] = marker.get('description', ''), position * sign
    if points['Entry'].keys() != points['Target'].keys():
        raise _wrong(path, 'an entry without a target, or the reverse')
    return [
        Marker(label, target, entry=points['Entry'][index][1])
        for index, (label, target) in points['Target'].items()
    ]


def _comment(source: str) -> list[str]:
    return [f'    <!-- {source.replace("--", "- -")} -->'] if source else []


def _look(marker: Marker) -> str:
    colour = _ORANGE if marker.warning else _GREEN
    return f'color="{colour}" description={quoteattr(marker.title)}'


def _root(path: Path, tag: str) -> tuple[ElementTree.Element, np.ndarray]:
    """Return the root, and the signs that convert its coordinates to RAS+."""
    text = read_text(path)
    # Entities can make gigabytes of few lines, and Localite writes none.
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise _wrong(path, 'it declares entities')
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise _wrong(path, str(error)[:80]) from error
    space = root.get('coordinateSpace', '')
    if root.tag != tag or space not in ('RAS', 'LPS'):
        raise _wrong(path, f'{root.tag[:40]} in the space {space[:10]!r}')
    return root, np.array([1.0, 1.0, 1.0] if space == 'RAS' else [-1.0, -1.0, 1.0])


def _numbers(cells: Sequence[str], path: Path) -> np.ndarray:
    try:
        return three_numbers(cells)
    except ValueError as error:
        raise _wrong(path, str(error)) from error


def _wrong(path: Path, why: str) -> PointsFileError:
    return PointsFileError(
        f'{path}: not a file of markers of Localite ({why}). Export the markers again.'
    )
