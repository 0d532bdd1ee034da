"""Points of the user's own, given in a template space beside the targets of a protocol."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.files import text_sha256
from tmsprep.protocols.protocol import RESERVED, Protocol
from tmsprep.text import printable

#: Longest name of a point: figures are named after it.
MAX_NAME = 40

#: Most points of one run: each has a figure, and a row in every report.
MOST = 200


@dataclass(frozen=True)
class OwnPoints:
    """Points that are carried from a template into every image of a run.

    Parameters
    ----------
    places : mapping
        Name to x, y and z in mm, RAS+, in the template.
    space : str
        Name of the template, a key of `tmsprep.template.SPACES`.
    snap : bool
        Whether they are moved to the nearest grey matter of the participant.
    """

    places: Mapping[str, tuple[float, float, float]]
    space: str
    snap: bool = False

    def inputs(self, registration: Mapping[str, Any]) -> dict[str, str]:
        """Describe all that the points in an image depend on, for the sidecar.

        Parameters
        ----------
        registration : mapping
            `tmsprep.outcome.inputs_of` of the method that registered the image.
        """
        return {
            'Points': text_sha256(repr([__version__, asdict(self)])),
            'Registration': text_sha256(json.dumps(dict(registration), sort_keys=True)),
        }


def parse_point(text: str) -> str:
    """Check 'NAME X Y Z', mm; return it with single blanks.

    Raises
    ------
    ValueError
        If the name is none, or a coordinate is no number.

    Examples
    --------
    >>> parse_point('SMA 0  -6 58')
    'SMA 0 -6 58'
    """
    name, *numbers = text.split() or ['']
    if len(numbers) != 3:
        raise ValueError(f'{printable(text)!r}: give a name and x, y and z, such as SMA 0 -6 58')
    _check_name(name)
    for number in numbers:
        _coordinate(name, number)
    return ' '.join([name, *numbers])


def read_own_points(
    given: Sequence[str], table: Path | None, space: str, snap: bool, protocol: Protocol
) -> OwnPoints | None:
    """Collect the points of the command line and of a table; None if there are none.

    Parameters
    ----------
    given : sequence of str
        As `parse_point` returns them.
    table : Path or None
        Table with the columns label, x, y and z; mm, RAS+, in the template.
    space : str
        Name of the template.
    snap : bool
        As in `OwnPoints`.
    protocol : Protocol
        The targets, whose labels are taken.

    Raises
    ------
    ValueError
        If the table cannot be read, has no point or a missing one, a name cannot be used or is
        given twice, or there are more than `MOST`.
    """
    rows = [(name, numbers, '--point') for name, *numbers in map(str.split, given)]
    if table is not None:
        rows += _rows_of(table)
    if not rows:
        return None
    if len(rows) > MOST:
        raise ValueError(f'{len(rows)} points of your own; give {MOST} at most')
    taken = {label.lower(): f'a target of protocol {protocol.name}' for label in protocol.labels}
    taken |= dict.fromkeys(RESERVED, 'the name of a figure')
    places = {}
    for name, numbers, where in rows:
        # Without regard to case, as in the names of files on some disks.
        if (key := name.lower()) in taken:
            raise ValueError(f'{where}: {name} is {taken[key]}; give the point another name')
        taken[key] = 'given twice'
        x, y, z = (_coordinate(name, number) for number in numbers)
        places[name] = (x, y, z)
    return OwnPoints(places, space, snap)


def _rows_of(table: Path) -> list[tuple[str, list[str], str]]:
    from tmsprep.formats.targets_tsv import read_targets

    points = read_targets(table)
    if not len(points):
        raise ValueError(f'--points {table}: holds no point; write label, x, y, z and a row each')
    rows = []
    for name, found in zip(points.labels, points.found, strict=True):
        if not found:
            raise ValueError(f'--points {table}: {name} has no coordinates; write three numbers')
        try:
            _check_name(name)
        except ValueError as error:
            raise ValueError(f'--points {table}: {error}') from error
        rows.append((name, [repr(float(value)) for value in points[name]], f'--points {table}'))
    return rows


def _check_name(name: str) -> None:
    if not re.fullmatch(rf'[a-zA-Z0-9]{{1,{MAX_NAME}}}', name):
        raise ValueError(
            f'point {printable(name)!r}: use letters and digits in its name, at most {MAX_NAME}'
        )


def _coordinate(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'point {name}: {printable(text)!r} is not a coordinate in mm')
    return number
