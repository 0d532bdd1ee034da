"""Part of a participant's report: the same targets in several scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tmsprep.evaluation.recommendation import Recommendation
from tmsprep.evaluation.rescans import rigid_residuals
from tmsprep.evaluation.template import ESTIMATED
from tmsprep.points import PointSet
from tmsprep.reports.collect import ImageResults, entities_in_words
from tmsprep.reports.sections import Number, Section, Table
from tmsprep.reports.styles import method_style
from tmsprep.reports.summary import template_of

#: Most scans that are compared with the first one: more columns do not fit on a page.
MOST = 5

_TEXT = """\
Distances of the recommended points from those in the first scan, {first}. Each scan has a scanner
frame of its own, so the coordinates of two scans cannot be subtracted."""

_RIGID = """\
**Rigid fit**: after the points of a scan were laid over those of the first scan, all targets
together, by the rigid transform that fits best. The fit takes up a part of the differences, about
{part:.0f} % with {count} targets."""

_IN_TEMPLATE = """\
**Template**: between the positions in the template {spaces}, in its millimetres. It holds the
differences of the two registrations as well, and no fit."""

_TEMPLATE = 'mni_x', 'mni_y', 'mni_z'


def scans_section(
    chosen: Mapping[str, Sequence[Recommendation]], spaces: Mapping[str, Mapping[str, str]]
) -> Section | None:
    """Compare the recommended points of the scans of one participant.

    Parameters
    ----------
    chosen : mapping
        Name of each image to its recommendations, in the order of the report.
    spaces : mapping
        Name of each image to: method to the template that its points were carried to by a
        registration. Positions that are only estimated are not compared.

    Returns
    -------
    Section or None
        A table of distances; None unless two scans or more have enough points.
    """
    scans = {name: some for name, some in chosen.items() if any(one.usable for one in some)}
    if len(scans) < 2:
        return None
    (first, own), *others = scans.items()
    rigid, template = {}, {}
    places = _template_places(own, spaces.get(first, {}))
    for name, some in others[:MOST]:
        title = entities_in_words(name) or name
        rigid[f'{title}: rigid fit'] = _residuals(own, some)
        theirs = _template_places(some, spaces.get(name, {}))
        template[f'{title}: template'] = _apart(own, places, theirs)
    columns = {k: v for k, v in {**rigid, **template}.items() if np.isfinite(v).any()}
    if not columns:
        return None
    texts = [_TEXT.format(first=entities_in_words(first) or first)]
    fitted = [count for v in rigid.values() if (count := int(np.isfinite(v).sum()))]
    if fitted:
        part = 100 * (1 - math.sqrt(1 - 2 / min(fitted)))
        texts.append(_RIGID.format(part=part, count=min(fitted)))
    if any(name in columns for name in template):
        known = sorted({space for space, _ in places.values()})
        texts.append(_IN_TEMPLATE.format(spaces=', '.join(known)))
    rows = [
        [f'{one.name} ({one.label})', *(_cell(values[i]) for values in columns.values())]
        for i, one in enumerate(own)
    ]
    table = Table('', ['Target', *columns], rows, _notes(own, others))
    return Section('Between scans', text='\n\n'.join(texts), tables=[table])


def template_spaces(image: ImageResults) -> dict[str, str]:
    """Name the template that a registration carried the points of each method to."""
    found = {name: template_of(table) for name, table in image.every_table.items()}
    return {name: space for name, (space, how) in found.items() if how != ESTIMATED}


def _residuals(own: Sequence[Recommendation], some: Sequence[Recommendation]) -> np.ndarray:
    first, second = (
        PointSet(tuple(one.label for one in scan), np.array([one.point for one in scan]))
        for scan in (own, some)
    )
    return rigid_residuals(first, second)


def _template_places(
    some: Sequence[Recommendation], spaces: Mapping[str, str]
) -> dict[str, tuple[str, np.ndarray]]:
    """Template and position in it, shape (3,), by target."""
    places = {}
    for one in some:
        cells = [Number.parse(one.row.get(name)) for name in _TEMPLATE]
        known = [cell.value for cell in cells if cell is not None]
        if spaces.get(one.method) and len(known) == len(_TEMPLATE):
            places[one.label] = spaces[one.method], np.array(known)
    return places


def _apart(
    own: Sequence[Recommendation],
    first: Mapping[str, tuple[str, np.ndarray]],
    second: Mapping[str, tuple[str, np.ndarray]],
) -> np.ndarray:
    """Distances in one template, shape (n,); NaN where a position is missing or of another one."""
    apart = np.full(len(own), np.nan)
    for i, one in enumerate(own):
        if one.label in first and one.label in second:
            (space, here), (other, there) = first[one.label], second[one.label]
            apart[i] = np.linalg.norm(here - there) if space == other else np.nan
    return apart


def _cell(value: float) -> Number | None:
    return None if math.isnan(value) else Number.of(float(value))


def _notes(
    own: Sequence[Recommendation], others: Sequence[tuple[str, Sequence[Recommendation]]]
) -> str:
    """Say where points of different methods are compared, and which scans are left out."""
    methods = {one.label: one.method for one in own if one.usable}
    mixed = [
        f'{one.name} ({method_style(methods[one.label]).name}, {method_style(one.method).name})'
        for _, some in others[:MOST]
        for one in some
        if one.usable and methods.get(one.label, one.method) != one.method
    ]
    notes = ['All numbers in mm.']
    if mixed:
        notes.append(f'Points of different methods: {", ".join(dict.fromkeys(mixed))}.')
    if len(others) > MOST:
        left = ', '.join(entities_in_words(name) or name for name, _ in others[MOST:])
        notes.append(f'Not compared: {left}.')
    return ' '.join(notes)
