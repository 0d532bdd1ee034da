"""The first screen of a participant's report: one recommended point per target, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tmsprep.derivatives.earlier import EXPERT
from tmsprep.evaluation.recommendation import Recommendation, recommend
from tmsprep.protocols import Protocol, Target
from tmsprep.reports.collect import TargetsTable
from tmsprep.reports.gyri import gyrus_words
from tmsprep.reports.sections import Number, Picture
from tmsprep.reports.styles import MethodStyle, method_order, method_style
from tmsprep.reports.summary import side_in_words, status_words, statuses_of, template_of

#: Attribute of a card to heading and explanation.
_COLUMNS = {
    'radius': (
        '90 % of errors',
        'radius of the ball that holds them on images like those it was measured on',
    ),
    'distance': ('Other method', 'distance from its point'),
    'scalp': ('Scalp', 'distance from the nearest point on the skin'),
}


@dataclass(frozen=True)
class Card:
    """What the first screen says of one target.

    Parameters
    ----------
    label, name, region, side : str
        The target: in tables, in short words, in long words, and its side in words.
    style : MethodStyle or None
        Of the method whose point is recommended; None if no point may be used.
    point, template : sequence of Number
        The point in mm: RAS+ in the scanner frame, and in the template; empty if it is unknown.
    space, mapping : str
        Name of that template, and how the position in it was found.
    radius, distance, scalp : Number or None
        Radius that holds 90 % of errors, distance from the next method's point, and distance from
        the scalp, mm.
    gyrus : str
        In which gyrus the point lies, in words; '' if it is not known.
    other : str
        Name of that next method; '' without one.
    reason, warning : str
        Why this point, or why none, in one sentence; its status in words if it is a warning.
    fallback : bool
        Whether the preferred method has no point without a warning.
    doubt : str
        Landmarks to check; '' for none.
    sketch : Picture or None
        Drawing of a good and a bad point.
    twin : bool
        Whether an earlier card has the same landmarks, those of the other side.
    """

    label: str
    name: str
    region: str
    side: str
    style: MethodStyle | None
    point: Sequence[Number]
    template: Sequence[Number]
    space: str
    mapping: str
    radius: Number | None
    distance: Number | None
    scalp: Number | None
    gyrus: str
    other: str
    reason: str
    warning: str
    fallback: bool
    doubt: str
    sketch: Picture | None
    twin: bool

    @property
    def level(self) -> str:
        """'good', 'look' or 'bad'."""
        if self.style is None:
            return 'bad'
        return 'look' if self.warning or self.fallback else 'good'


def recommended(tables: Mapping[str, TargetsTable], protocol: Protocol) -> list[Recommendation]:
    """Recommend a point for every target that the tables name, with methods called by titles."""
    order = [name for name in method_order(tables) if name != EXPERT]
    statuses = {key: words for name in order for key, words in statuses_of(name).items()}
    rows = {name: tables[name].rows for name in order}
    named = {row['label'] for some in rows.values() for row in some}
    titles = {name: method_style(name).name for name in order}
    found = recommend(rows, protocol, titles=titles, statuses=statuses)
    return [one for one in found if one.label in named]


def cards(
    found: Sequence[Recommendation], protocol: Protocol, tables: Mapping[str, TargetsTable]
) -> list[Card]:
    """Put recommendations from tables into the words and rounded numbers of the page."""
    targets = {target.label: target for target in protocol.targets}
    made: list[Card] = []
    for one in found:
        target = targets.get(one.label)
        twin = any(one.doubt and one.doubt == card.doubt for card in made)
        space = template_of(tables[one.method]) if one.usable else ('', '')
        made.append(_card(one, target, sketch_of(target, protocol), space, twin=twin))
    return made


def entry_warnings(
    found: Sequence[Recommendation], tables: Mapping[str, TargetsTable]
) -> list[str]:
    """Say which scalp entries of the recommended points are to be looked at, and why."""
    said = []
    for one in found:
        scalp = tables[one.method].sidecar.get('Scalp') if one.usable else None
        unusual = scalp.get('Unusual') if isinstance(scalp, dict) else None
        if isinstance(unusual, dict) and unusual.get(one.label):
            said.append(f'**Scalp entry of {one.name}**: {unusual[one.label]}.')
    return said


def card_columns(some: Sequence[Card]) -> dict[str, tuple[str, str]]:
    """Heading and explanation of the columns of which any card has a number, by attribute."""
    return {
        name: words
        for name, words in _COLUMNS.items()
        if any(getattr(card, name) for card in some)
    }


def common_reason(some: Sequence[Card]) -> str:
    """Return the reason that most cards share; '' if no two share one."""
    counts = Counter(card.reason for card in some)
    reason, count = counts.most_common(1)[0] if counts else ('', 0)
    return reason if count > 1 else ''


def _card(
    one: Recommendation,
    target: Target | None,
    sketch: Picture | None,
    space: tuple[str, str],
    *,
    twin: bool,
) -> Card:
    words = status_words(one.status, statuses_of(one.method))
    return Card(
        one.label,
        one.name,
        target.region if target else one.row.get('region', one.name),
        side_in_words(one.hemisphere),
        method_style(one.method) if one.usable else None,
        _triple(one.row, 'x', 'y', 'z'),
        _triple(one.row, 'mni_x', 'mni_y', 'mni_z'),
        *space,
        Number.parse(f'{one.radius_mm:.4f}'),
        Number.parse(f'{one.distance_mm:.4f}'),
        Number.parse(one.row.get('scalp_distance_mm')),
        gyrus_words(one.row),
        method_style(one.other_method).name if one.other_method else '',
        f'{one.reason[0].upper()}{one.reason[1:]}.',
        words if one.warns else '',
        one.fallback,
        one.doubt,
        sketch,
        twin,
    )


def _triple(row: Mapping[str, str], *names: str) -> list[Number]:
    numbers = [number for name in names if (number := Number.parse(row.get(name)))]
    return numbers if len(numbers) == len(names) else []


def sketch_of(target: Target | None, protocol: Protocol) -> Picture | None:
    """Embed the drawing that the protocol names for a target; None if there is none."""
    if target is None or not target.sketch:
        return None
    path = protocol.file(target.sketch)
    if not path.is_file():
        return None
    return Picture.read(path, f'Drawing: good and bad points for {target.name}')


def off_centre(found: Sequence[Recommendation], protocol: Protocol) -> str:
    """Explain points of the left with x > 0, and the reverse, as a head off centre has them.

    Parameters
    ----------
    found : sequence of Recommendation
        Of one image.
    protocol : Protocol
        Which targets mirror each other.

    Returns
    -------
    str
        One paragraph; '' if every side agrees with the sign of x, or the middle is not known.
    """
    signs = {'L': -1, 'R': 1}
    odd = [one for one in found if one.usable and signs.get(one.hemisphere, 0) * one.point[0] < 0]
    points = {one.label: one.point for one in found if one.usable}
    middles = [
        (points[t.label][0] + points[t.mirror][0]) / 2
        for t in protocol.targets
        if t.label in points and t.mirror in points
    ]
    if not odd or not middles:
        return ''
    names = ', '.join(f'{one.name} lies at x = {one.point[0]:.1f} mm' for one in odd)
    return (
        f'**The sign of x does not show the side here:** {names}. This is no error: x is counted '
        'from the origin of the scanner frame, not from the middle of the head, which lies at '
        f'about x = {float(np.median(middles)):.1f} mm (half-way between left and right targets). '
        'Sides are judged by that middle.'
    )
