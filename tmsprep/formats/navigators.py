"""Which files for navigators an image gets, and which not, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tmsprep.formats import localite, simnibs
from tmsprep.formats.brainsight import (
    frame_name,
    oriented,
    read_targets_with_axes,
    write_brainsight,
)
from tmsprep.formats.invesalius import read_mkss, write_mkss
from tmsprep.formats.left_out import NO_POINT, LeftOut, without_entry, without_pose
from tmsprep.formats.markers import Marker
from tmsprep.formats.navinibs import read_navinibs, write_navinibs
from tmsprep.formats.slicer import GOOD, read_markups, write_markups
from tmsprep.imaging.forms import Forms

#: Brainsight before 2.5.3 reads version 13 of its text, later ones 14.
BRAINSIGHT_VERSIONS = {14: 'Brainsight 2.5.3 and later', 13: 'Brainsight before 2.5.3'}

#: What may be part of a file name.
_PLAIN = re.compile(r'[A-Za-z0-9+-]{1,100}')

_AGREE = 'make them agree (fslorient -copysform2qform FILE) and run again'
_NO_FORMS = (
    'the codes of the header are not known: these outputs do not say them, and the image was not '
    'found'
)


class Grid(NamedTuple):
    """The image that the points are in.

    Parameters
    ----------
    name : str
        Beginning of the names of files.
    shape : tuple of int
        Numbers of voxels along the three axes.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    forms : Forms or None
        Of the header; None if it is not known.
    """

    name: str
    shape: tuple[int, ...]
    affine: np.ndarray
    forms: Forms | None


@dataclass(frozen=True, eq=False)
class NavigatorFile:
    """A file that is to be written, and read back.

    Parameters
    ----------
    system, format : str
        The program that reads it, and its name of the format, with the version.
    frame : str
        The frame of the numbers in the file.
    name : str
        Of the file, from the directory of the image.
    markers : sequence of Marker
        What it holds, in order.
    holds : tuple of str
        Of each, see `tmsprep.formats.markers.largest_difference`.
    write : callable
        Writes it to a path.
    read : callable
        Reads it back as markers whose labels are titles, in RAS+.
    """

    system: str
    format: str
    frame: str
    name: str
    markers: Sequence[Marker]
    holds: tuple[str, ...]
    write: Callable[[Path], Path]
    read: Callable[[Path], list[Marker]]


Plan = list[NavigatorFile | LeftOut]


def plan_files(markers: Sequence[Marker], grid: Grid) -> Plan:
    """Plan the files of the recommended points of one image, for each system in turn.

    Parameters
    ----------
    markers : sequence of Marker
        One per target, mm, RAS+.
    grid : Grid
        The image.
    """
    plan: Plan = []
    for of_system in (_slicer, _brainsight, _localite, _simnibs, _visor2, _invesalius, _navinibs):
        plan += of_system(markers, grid)
    return plan


def plan_slicer(
    markers: Sequence[Marker], name: str, title: str, colour: str = GOOD
) -> NavigatorFile:
    """Plan a point list for 3D Slicer; missing points are undefined in it.

    Parameters
    ----------
    markers : sequence of Marker
        mm, RAS+.
    name, title : str
        Of the file and of the list.
    colour : str
        Of the points without a warning.
    """
    return NavigatorFile(
        '3D Slicer',
        'Markups JSON 1.0.0',
        'LPS',
        name,
        markers,
        ('target',),
        lambda path: write_markups(path, markers, name=title, colour=colour, locked=True),
        lambda path: _as_markers(path),
    )


def _as_markers(path: Path) -> list[Marker]:
    points = read_markups(path)
    return [Marker(*pair) for pair in zip(points.labels, points.coordinates, strict=True)]


def _found(markers: Sequence[Marker]) -> list[Marker]:
    return [marker for marker in markers if marker.found]


def _differ(grid: Grid) -> str:
    """Why a program that may use either form would be told a wrong place; '' if it is not."""
    if grid.forms is None:
        return _NO_FORMS
    if not grid.forms.differ(grid.shape):
        return ''
    apart = grid.forms.apart_mm(grid.shape)
    return (
        f'the qform and the sform of the image are up to {apart:.2f} mm apart; it is not known '
        f'which of them the program uses; {_AGREE}'
    )


def _slicer(markers: Sequence[Marker], grid: Grid) -> Plan:
    # Who looks at the points in Slicer sees the image under them, so the codes need not be known.
    reason = _differ(grid) if grid.forms is not None else ''
    if reason:
        return [LeftOut('3D Slicer', reason)]
    return [plan_slicer(markers, f'{grid.name}_slicer.mrk.json', grid.name)]


def _brainsight(markers: Sequence[Marker], grid: Grid) -> Plan:
    plan: Plan = []
    found, forms = [oriented(m) for m in _found(markers)], grid.forms
    for version, system in BRAINSIGHT_VERSIONS.items():
        frame = '' if forms is None else frame_name(forms, version, grid.shape)
        if not found or not frame or forms is None:
            why = _NO_FORMS if forms is None else _unnamed(forms, grid)
            plan.append(LeftOut(system, why if found else NO_POINT))
            continue
        codes = (forms.qform_code, forms.sform_code)
        folder = f'brainsight-v{version}'
        singly = [(f'{folder}/{grid.name}_{m.label}.txt', [m]) for m in found if _plain(m.label)]
        plan += [
            NavigatorFile(
                system,
                f'text, version {version}',
                frame,
                name,
                some,
                ('target', 'axes'),
                partial(write_brainsight, points=some, system=frame, version=version),
                partial(read_targets_with_axes, codes=codes),
            )
            for name, some in [(f'{grid.name}_{folder}.txt', found), *singly]
        ]
        if version >= 14 and not frame.startswith('NIfTI:Q:'):
            plan.append(LeftOut('Readers of Brainsight text that want NIfTI:Q', _no_q(forms)))
    return plan


def _plain(label: str) -> bool:
    return _PLAIN.fullmatch(label) is not None


def _unnamed(forms: Forms, grid: Grid) -> str:
    if forms.differ(grid.shape):
        return (
            f'the qform and the sform of the image are up to {forms.apart_mm(grid.shape):.2f} mm '
            f'apart under the same code {forms.sform_code}, so that the name of the frame has two '
            f'meanings; {_AGREE}'
        )
    return f'the {forms.in_use[0]}_code {forms.in_use[1]} has no name in Brainsight'


def _no_q(forms: Forms) -> str:
    why = 'qform_code is 0' if forms.qform is None else 'qform and sform differ'
    return f'{why}: SimNIBS and others read no NIfTI:S; {_AGREE}'


def _localite(markers: Sequence[Marker], grid: Grid) -> Plan:
    system, reason = 'Localite TMS Navigator', _differ(grid)
    plan: Plan = []
    for what, has, without, write, read, holds in (
        (
            'InstrumentMarker',
            [marker for marker in markers if marker.has_pose],
            without_pose,
            localite.write_instrument_markers,
            localite.read_instrument_markers,
            ('pose',),
        ),
        (
            'EntryTarget',
            [marker for marker in markers if marker.has_entry],
            without_entry,
            localite.write_entry_targets,
            localite.read_entry_targets,
            ('target', 'entry'),
        ),
    ):
        if reason:
            plan.append(LeftOut(f'{system}, {what}', reason))
            continue
        plan += without(f'{system}, {what}', markers, has)
        if not has:
            continue
        name = f'localite/{what}{localite.TIMESTAMP}.xml'
        writer = partial(write, markers=has, source=grid.name)
        plan.append(NavigatorFile(system, what, 'RAS', name, has, holds, writer, read))
    return plan


def _simnibs(markers: Sequence[Marker], grid: Grid) -> Plan:
    found = _found(markers)
    reason = _differ(grid) or ('' if found else NO_POINT)
    if reason:
        return [LeftOut('SimNIBS', reason)]
    return [
        NavigatorFile(
            'SimNIBS',
            'CSV of positions',
            'RAS',
            f'{grid.name}_simnibs.csv',
            found,
            ('target', 'pose'),
            partial(simnibs.write_positions, markers=found),
            simnibs.read_positions,
        )
    ]


def _visor2(markers: Sequence[Marker], grid: Grid) -> Plan:
    posed = [marker for marker in markers if marker.has_pose]
    reason, forms = _differ(grid), grid.forms
    if forms is not None and forms.quaternion is None:
        reason = 'qform_code is 0, and visor2 knows an image by the numbers of its qform'
    if reason or forms is None:
        return [LeftOut('ANT visor2', reason)]
    plan: Plan = [*without_pose('ANT visor2', markers, posed)]
    if posed:
        plan.append(_visor2_file(posed, forms, grid))
    return plan


def _visor2_file(posed: Sequence[Marker], forms: Forms, grid: Grid) -> NavigatorFile:
    return NavigatorFile(
        'ANT visor2',
        'markers (JSON)',
        'RAS',
        f'{grid.name}_visor2.mrk',
        posed,
        ('pose',),
        partial(simnibs.write_visor2, markers=posed, forms=forms),
        simnibs.read_visor2,
    )


def _invesalius(markers: Sequence[Marker], grid: Grid) -> Plan:
    found = _found(markers)
    if not found:
        return [LeftOut('InVesalius', NO_POINT)]
    return [
        NavigatorFile(
            'InVesalius',
            'markers, version 4',
            'voxels in mm, y from the front',
            f'{grid.name}_invesalius.mkss',
            found,
            ('target',),
            partial(write_mkss, markers=found, affine=grid.affine, shape=grid.shape),
            partial(read_mkss, affine=grid.affine, shape=grid.shape),
        )
    ]


def _navinibs(markers: Sequence[Marker], grid: Grid) -> Plan:
    found = _found(markers)
    if not found:
        return [LeftOut('NaviNIBS', NO_POINT)]
    return [
        NavigatorFile(
            'NaviNIBS',
            'targets (JSON)',
            'RAS',
            f'{grid.name}_navinibs.json',
            found,
            ('target', 'entry', 'pose'),
            partial(write_navinibs, markers=found),
            read_navinibs,
        )
    ]
