"""Section of a group's report: every participant against the cohort, those to look at first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.cohort import (
    FEWEST,
    LEAST_SD_MM,
    MEASURES,
    OUTLIER_Z,
    rank_images,
)
from tmsprep.protocols import Protocol
from tmsprep.reports.comparison import report_link
from tmsprep.reports.sections import Link, Number, Picture, Section, Table
from tmsprep.reports.thumbnail import THUMBNAIL
from tmsprep.text import counted

#: Images that are shown with a thumbnail, of some 14 kB in the page each: those to look at first.
MOST_THUMBNAILS = 60

#: Images that are listed in the page; the table of the outputs has all.
MOST_ROWS = 1000

_HEAD = [
    'Participant',
    'Image',
    '',
    'Look at',
    *(words.capitalize() for words in MEASURES.values()),
]

_REFERENCE = (
    'Iglewicz B, Hoaglin DC (1993). How to detect and handle outliers. The ASQC basic references '
    'in quality control: statistical techniques, vol. 16. ASQC Quality Press, Milwaukee.'
)


def cohort_section(
    layout: Layout,
    protocol: Protocol,
    table: pd.DataFrame,
    images: Mapping[str, ImageRef],
) -> Section:
    """List all images, those that need a look first.

    Parameters
    ----------
    layout : Layout
        Output folder and names, for links and thumbnails.
    protocol : Protocol
        The targets.
    table : pandas.DataFrame
        Result of `tmsprep.evaluation.cohort.cohort_table`.
    images : mapping
        Name of an image to its reference.
    """
    ranked = rank_images(table)
    names = {target.label: target.name for target in protocol.targets}
    rows = []
    for place, row in enumerate(ranked.head(MOST_ROWS).to_dict('records')):
        image = images.get(str(row['image'])) if place < MOST_THUMBNAILS else None
        thumbnail = '' if image is None else _thumbnail(layout.figure(image, THUMBNAIL))
        values = [Number.of(row[name]) if math.isfinite(row[name]) else None for name in MEASURES]
        who: str | Link = report_link(layout, str(row['participant_id']))
        rows.append([who, str(row['image']), thumbnail, look_at(row, names), *values])
    shown = needs_look(ranked).head(MOST_ROWS)
    warns = [place for place, looks in enumerate(shown) if looks]
    return Section(
        'Participants, those to look at first',
        _text(len(ranked)) + _warnings(table['status']),
        tables=[Table('', _HEAD, rows, _notes(ranked, layout), warns)],
        facts=[_fact(ranked)],
        methods=_methods(),
        references=[_REFERENCE],
        anchor='cohort',
    )


def look_at(row: Mapping[Any, Any], names: Mapping[str, str]) -> str:
    """Say what to look at in one image, in words.

    Parameters
    ----------
    row : mapping
        Row of the result of `rank_images`.
    names : mapping
        Target to its name in words.
    """
    counts = (
        (row['unusable'], 'without a usable point'),
        (row['warned'], 'with a warning'),
        (row['outliers'], f'unlike {"those" if row["outliers"] > 1 else "that"} of the cohort'),
    )
    parts = [f'{counted(number, "target")} {words}' for number, words in counts if number]
    if not parts:
        return 'Nothing stands out.'
    name, status = names.get(row['label'], row['label']), str(row['status']).replace('_', ' ')
    worst = f'**{name}**: {status}'
    if row['status'] == 'ok':
        worst = f'**{name}**: {MEASURES[row["outlier_measure"]]} (z = {row["outlier_z"]:.1f})'
    return f'{worst}. {", ".join(parts)}.'


def _thumbnail(path: Path) -> Picture | str:
    return Picture.read(path, 'slices through the middle of the points') if path.is_file() else ''


def verdict(table: pd.DataFrame) -> str:
    """Say how many images need a look, of the result of `cohort_table`."""
    ranked = rank_images(table)
    looks = int(needs_look(ranked).sum())
    first = f'Look at {looks} of them first' if looks else 'No target stands out or has a warning'
    return f'{counted(len(ranked), "image")} of {_participants(ranked)}. {first}.'


def needs_look(ranked: pd.DataFrame) -> pd.Series:
    """Tell which rows of the result of `rank_images` have anything to look at."""
    return ranked[['unusable', 'warned', 'outliers']].sum(axis=1) > 0


def _participants(ranked: pd.DataFrame) -> str:
    return counted(ranked['participant_id'].nunique(), 'participant')


def _fact(ranked: pd.DataFrame) -> str:
    n, few = len(ranked), len(ranked) < FEWEST
    serious, warned = int((ranked['unusable'] > 0).sum()), int((ranked['warned'] > 0).sum())
    outlying = int((ranked['outliers'] > 0).sum())
    unlike = 'too few to look for outliers' if few else f'{outlying} with an outlier'
    return (
        f'[{counted(n, "image")}](#cohort): {serious} with a target without a usable point, '
        f'{warned} with other warnings, {unlike}.'
    )


def _text(images: int) -> str:
    text = (
        'Recommended point of each target, the same as on the first page of each report. '
        'Numbers are the largest over the targets of an image, mm.'
    )
    if images < FEWEST:
        text += f' Values are compared with each other from {FEWEST} images on.'
    return text


def _warnings(statuses: pd.Series) -> str:
    """Count the targets with each warning, the most frequent first."""
    counts = statuses[statuses != 'ok'].value_counts()
    named = (f'{str(name).replace("_", " ")} {count}' for name, count in counts.items())
    return f' Warnings of {counted(len(statuses), "target")}: {", ".join(named) or "none"}.'


def _notes(ranked: pd.DataFrame, layout: Layout) -> str:
    more = len(ranked) - MOST_ROWS
    rest = f'{more} further images: see the table. ' if more > 0 else ''
    return (
        f'{rest}Radius: holds 90 % of errors in images like those of the calibration. Distance '
        'between methods: in the same image. Left to right difference: between a point and the '
        'mirrored point of the other side, in the template. Distance from the cohort: from the '
        'median of all images, in the template. A name is a link to the report of the '
        'participant if it lies next to this file. All targets of all images: '
        f'`{layout.level("group", "cohort").name}`.'
    )


def _methods() -> str:
    return (
        '**Cohort.** Each measure was compared among the images of the group by its modified '
        f'z-score (Iglewicz and Hoaglin, 1993), with a standard deviation of {LEAST_SD_MM:g} mm '
        f'at least; over {OUTLIER_Z:g} counts as an outlier. An outlier is not an error, and a '
        'systematic error of all images is not seen.'
    )
