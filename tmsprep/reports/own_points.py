"""Points of the user's own, given in a template, in the report of one participant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tmsprep.point_table import POINT_STATUSES
from tmsprep.reports.collect import ImageResults
from tmsprep.reports.gyri import gyrus_words
from tmsprep.reports.sections import Number, Picture, Section, Table
from tmsprep.reports.summary import side_in_words, status_words

_HEAD = ('Point', 'Side', 'x', 'y', 'z', 'Given as', 'Moved to cortex (mm)', 'Status')


def own_points_sections(image: ImageResults) -> list[Section]:
    """Return the part of the report with points given in a template; none if there are none."""
    table = image.points
    if table is None:
        return []
    space = _text(table.sidecar, 'PointSpace', 'Name')
    accuracy = _text(table.sidecar, 'PointSpace', 'Accuracy')
    warned = [i for i, row in enumerate(table.rows) if row['status'] != 'ok']
    words = [gyrus_words(row) for row in table.rows]
    rows = [
        (
            row['label'],
            side_in_words(row['hemisphere']),
            *(Number.parse(row[axis]) for axis in 'xyz'),
            ', '.join(_short(row.get(f'given_{axis}')) for axis in 'xyz'),
            Number.parse(row.get('snap_mm')),
            'ok' if i not in warned else status_words(row['status'], POINT_STATUSES),
            *([words[i] or 'n/a'] if any(words) else []),
        )
        for i, row in enumerate(table.rows)
    ]
    parts = [
        _part(row['label'], image.figures[row['label']])
        for row in table.rows
        if row['label'] in image.figures
    ]
    how = _text(table.sidecar, 'MNI', 'Mapping')
    text = f'Points given in {space}'
    text += f', carried into this image {how}.' if how else ', which could not be carried here.'
    if accuracy:
        text += f' To the template of the registration: {accuracy}.'
    warnings = [
        f'{row["label"]} (point of your own): {status_words(row["status"], POINT_STATUSES)}.'
        for row in (table.rows[i] for i in warned)
    ]
    head = (*_HEAD, 'Gyrus') if any(words) else _HEAD
    caption = 'mm, RAS+, scanner frame of the image'
    shown = Table(caption, head, rows, warns=warned)
    return [
        Section(
            'Points of your own',
            text,
            tables=[shown],
            parts=parts,
            warnings=warnings,
            details={'Points of your own': table.sidecar},
            folded=True,
        )
    ]


def _part(label: str, figure: Path) -> Section:
    alt = f'{label}: axial, coronal and sagittal slices with the point'
    return Section(label, pictures=[Picture.read(figure, alt)], anchor=label)


def _text(sidecar: Mapping[str, object], key: str, name: str) -> str:
    entry = sidecar.get(key)
    return str(entry.get(name, '')) if isinstance(entry, dict) else ''


def _short(cell: str | None) -> str:
    number = Number.parse(cell)
    return 'n/a' if number is None else f'{number.value:g}'
