"""What is in no file for navigators, and why."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

from tmsprep.formats.markers import Marker
from tmsprep.text import counted

NO_POINT = 'there is no point that may be used'
_NO_POSE = 'no pose of the coil is known'
_NO_ENTRY = 'no entry on the scalp is known'
_NO_HANDLE = 'the direction of the coil handle is not known'

#: Most characters of `in_one_line`, and of a reason in it: three systems and two short reasons.
MOST_IN_LINE, _MOST_OF_REASON = 270, 60


class LeftOut(NamedTuple):
    """A format that is not written, or not for every target.

    Parameters
    ----------
    system : str
        The program, and its format if it has several.
    lacks : str
        What is missing, in words.
    targets : tuple of str
        Labels of those that the file lacks; empty for all.
    why : str
        Why it is missing, if that is known.
    """

    system: str
    lacks: str
    targets: tuple[str, ...] = ()
    why: str = ''

    @property
    def what(self) -> str:
        """What is left out: 'LOFC in ANT visor2'."""
        return f'{", ".join(self.targets)} in {self.system}' if self.targets else self.system

    @property
    def reason(self) -> str:
        """What is missing, and why."""
        return f'{self.lacks} ({self.why})' if self.why else self.lacks


def without_pose(system: str, markers: Sequence[Marker], posed: Sequence[Marker]) -> list[LeftOut]:
    """Say which targets a file of poses lacks, one entry for each reason.

    Parameters
    ----------
    system : str
        As in `LeftOut`.
    markers : sequence of Marker
        All targets; those without a point are left out everywhere, and not named.
    posed : sequence of Marker
        Those of the file.
    """
    return _lacking(system, markers, posed, _NO_POSE)


def without_entry(
    system: str, markers: Sequence[Marker], entered: Sequence[Marker]
) -> list[LeftOut]:
    """Say which targets a file of entries lacks, as `without_pose`."""
    return _lacking(system, markers, entered, _NO_ENTRY)


def _lacking(
    system: str, markers: Sequence[Marker], has: Sequence[Marker], lacks: str
) -> list[LeftOut]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for marker in markers:
        if marker.found and marker not in has:
            # There is a pose where there is an entry, unless the handle is not known.
            own = _NO_HANDLE if marker.has_entry else lacks
            reasons.setdefault((own, marker.no_entry), []).append(marker.label)
    if not (reasons or has):
        return [LeftOut(system, NO_POINT)]
    of_all = len(reasons) == 1 and not has
    return [
        LeftOut(system, own, () if of_all else tuple(labels), why)
        for (own, why), labels in reasons.items()
    ]


def in_one_line(left_out: Sequence[LeftOut]) -> str:
    """Name what is left out for the log: each reason once, shortened, and only the first ones.

    Examples
    --------
    >>> found = LeftOut('A', 'no pose', ('X',), 'cut'), LeftOut('B', 'no entry', ('X',), 'cut')
    >>> in_one_line(found)
    'X in A + B (cut)'
    """
    systems: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for left in left_out:
        systems.setdefault((left.targets, left.why or left.lacks), []).append(left.system)
    parts = [
        f'{LeftOut(" + ".join(names), reason, targets).what} ({_brief(reason)})'
        for (targets, reason), names in systems.items()
    ]
    named = len(parts)
    while named > 1 and len(_join(parts, named)) > MOST_IN_LINE:
        named -= 1
    return _join(parts, named)


def _brief(reason: str) -> str:
    return shorten(reason, _MOST_OF_REASON, placeholder=' ...')


def _join(parts: Sequence[str], named: int) -> str:
    rest = len(parts) - named
    more = [f'and {counted(rest, "more reason")}'] if rest else []
    return '; '.join([*parts[:named], *more])
