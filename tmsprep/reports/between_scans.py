"""Part of a participant's report: the same targets in several scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tmsprep.evaluation.recommendation import Recommendation
from tmsprep.evaluation.rescans import rigid_residuals
from tmsprep.points import PointSet
from tmsprep.reports.collect import entities_in_words
from tmsprep.reports.sections import Number, Section, Table
from tmsprep.reports.styles import method_style

#: Most scans that are compared with the first one: more columns do not fit on a page.
MOST = 5

_TEXT = """\
Distances of the recommended points from those in the first scan, {first}. Each scan has a scanner
frame of its own, so the coordinates of two scans cannot be subtracted."""

_RIGID = """\
**Rigid fit**: after the points of a scan were laid over those of the first scan, all targets
together, by the rigid transform that fits best. The fit takes up a part of the differences, about
{part:.0f} % with {count} targets."""

_MNI = """\
**MNI**: between the positions in the template, in its millimetres. It holds the differences of the
two registrations as well, and no fit."""

_TEMPLATE = 'mni_x', 'mni_y', 'mni_z'


def scans_section(chosen: Mapping[str, Sequence[Recommendation]]) -> Section | None:
    """Compare the recommended points of the scans of one participant.

    Parameters
    ----------
    chosen : mapping
        Name of each image to its recommendations, in the order of the report.

    Returns
    -------
    Section or None
        A table of distances; None unless two scans or more have enough points.
    """
    scans = {name: some for name, some in chosen.items() if any(one.usable for one in some)}
    if len(scans) < 2:
        return None
    (first, own), *others = scans.items()
    columns, texts = {}, [_TEXT.format(first=entities_in_words(first) or first)]
    for name, some in others[:MOST]:
        title = entities_in_words(name) or name
        columns[f'{title}: rigid fit'] = _residuals(own, some)
        columns[f'{title}: MNI'] = _template_places(own).distance(_template_places(some))
    columns = {title: values for title, values in columns.items() if np.isfinite(values).any()}
    if not columns:
        return None
    fitted = [np.isfinite(v).sum() for title, v in columns.items() if title.endswith('fit')]
    if fitted:
        part = 100 * (1 - math.sqrt(1 - 2 / min(fitted)))
        texts.append(_RIGID.format(part=part, count=min(fitted)))
    if len(fitted) < len(columns):
        texts.append(_MNI)
    rows = [
        [f'{one.name} ({one.label})', *(_cell(values[i]) for values in columns.values())]
        for i, one in enumerate(own)
    ]
    table = Table('', ['Target', *columns], rows, _notes(own, others))
    return Section('Between scans', text='\n\n'.join(texts), tables=[table])


def _residuals(own: Sequence[Recommendation], some: Sequence[Recommendation]) -> np.ndarray:
    first, second = (
        PointSet(tuple(one.label for one in scan), np.array([one.point for one in scan]))
        for scan in (own, some)
    )
    return rigid_residuals(first, second)


def _template_places(some: Sequence[Recommendation]) -> PointSet:
    places = {}
    for one in some:
        cells = [Number.parse(one.row.get(name)) for name in _TEMPLATE]
        known = [cell.value for cell in cells if cell is not None]
        if len(known) == len(_TEMPLATE):
            places[one.label] = known
    return PointSet.from_mapping(places, [one.label for one in some])


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
