"""The report of one participant: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tmsprep.atomic import write_text
from tmsprep.bids.names import Layout
from tmsprep.derivatives.earlier import EXPERT
from tmsprep.evaluation.recommendation import Recommendation
from tmsprep.evaluation.status import RADIUS
from tmsprep.methods import get_method, method_names, names_of
from tmsprep.protocols import Protocol
from tmsprep.reports.between_scans import scans_section, template_spaces
from tmsprep.reports.collect import (
    ImageResults,
    collect_subject,
    decisions_refused,
    entities_in_words,
)
from tmsprep.reports.first_screen import (
    card_columns,
    cards,
    common_reason,
    entry_warnings,
    off_centre,
    recommended,
)
from tmsprep.reports.methods_text import common_text, method_texts
from tmsprep.reports.navigation import navigation_section, next_steps
from tmsprep.reports.own_points import own_points_sections
from tmsprep.reports.references import PIPELINE
from tmsprep.reports.sections import Page, Picture, Section, render
from tmsprep.reports.styles import method_order, method_style
from tmsprep.reports.summary import (
    TargetRow,
    count_found,
    far_experts,
    further_columns,
    image_findings,
    largest_separation,
    target_rows,
    warnings,
)
from tmsprep.reports.thumbnail import THUMBNAIL
from tmsprep.reports.viewer import with_viewers
from tmsprep.text import counted

#: Value of the entity desc of the figure of all targets; a target's figure has its label.
OVERVIEW = 'overview'

_REFUSED = """\
Decisions of a reviewer cannot be used: {}. So the points below are those of before these \
decisions, which may have rejected or moved them, and there are no files for navigators."""

_NO_FILES = 'There are no files for navigators until then.'

_SHAPES = {'o': 'Circle', 's': 'Square', '^': 'Triangle', 'D': 'Diamond'}


def write_participant_report(
    layout: Layout, protocol: Protocol, subject: str, bids_dir: Path | None = None
) -> Path:
    """Write the report of one participant from what lies in the output folder.

    The file holds its figures and the viewer, and needs no network and no other file. The same
    derivatives give the same bytes. What is missing is reported as missing: one method only, or
    none, gives a report too.

    Parameters
    ----------
    layout : Layout
        Output folder and names.
    protocol : Protocol
        The targets, and the words of the report.
    subject : str
        Label of the participant, with or without ``sub-``.
    bids_dir : Path, optional
        The data set, to see whether its images were replaced; where the outputs say it is, if not
        given.

    Returns
    -------
    Path
        `Layout.report` of the participant.
    """
    results = collect_subject(layout, subject, protocol, bids_dir)
    sections = {image.name: method_sections(image, layout) for image in results.images}
    chosen = {image.name: recommended(image.every_table, protocol) for image in results.images}
    pages = [
        image_page(image, protocol, layout, sections[image.name], chosen[image.name])
        for image in results.images
    ]
    scans = scans_section(chosen, {image.name: template_spaces(image) for image in results.images})
    pages, unseen = with_viewers(pages, results.images, layout, protocol)
    texts = method_texts(results.images, sections)
    every = [section for some in sections.values() for section in some.values()]
    html = render(
        protocol,
        kind='report for one participant',
        heading=results.subject,
        pages=pages,
        sections=[scans] if scans else [],
        errors=results.errors,
        problems=[*results.problems, *unseen],
        methods=[common_text(protocol), *texts] if texts else [],
        references=sorted({*PIPELINE, *(t for s in every for t in s.references)}) if texts else [],
    )
    return write_text(layout.report(results.subject.removeprefix('sub-')), html)


def method_sections(image: ImageResults, layout: Layout) -> dict[str, Section]:
    """Collect what the methods add to the report of one image: method to its section.

    Figures that may be of an earlier run are left out.
    """
    found = {}
    for name in method_order(image.tables):
        section = get_method(name).section(image.image, layout) if name in method_names() else None
        if section is not None:
            found[name] = _without_pictures(section) if image.figures_are_older else section
    return found


def _without_pictures(section: Section) -> Section:
    parts = tuple(_without_pictures(part) for part in section.parts)
    return replace(section, pictures=(), parts=parts)


def image_page(
    image: ImageResults,
    protocol: Protocol,
    layout: Layout,
    sections: Mapping[str, Section],
    chosen: Sequence[Recommendation],
) -> Page:
    """Arrange the results of one image, and the points that are recommended, for the template."""
    rows = target_rows(image.tables)
    refused = decisions_refused(image, layout, protocol)
    files = navigation_section(image, layout, chosen)
    found = [*own_points_sections(image), *sections.values()]
    warned = [
        *warnings(rows, {target.label: target.name for target in protocol.targets}),
        *image_findings(image.tables),
        *far_experts(rows),
        *(text for section in found for text in section.warnings),
        *entry_warnings(chosen, image.every_table),
        *(files.warnings if files else []),
    ]
    concerns = _concerns(image, rows) if not refused else 'decisions cannot be used'
    shown = cards(chosen, protocol, image.every_table)
    unusable = not any(estimate.usable for row in rows for estimate in row.estimates)
    broken = image.errors or image.replaced or image.damaged or unusable or refused
    level = 'bad' if broken else 'look' if warned else 'good'
    own = {
        method_style(name).name: image.tables[name].sidecar for name in method_order(image.tables)
    }
    further = {title: value for section in found for title, value in section.details.items()}
    return Page(
        anchor=image.name,
        title=entities_in_words(image.name) or protocol.words['image'],
        name=image.name,
        level=level,
        verdict=_REFUSED.format(refused)
        if refused
        else _verdict(image, rows, protocol, concerns, warned),
        concerns=concerns,
        leads=[section.lead for section in found if section.lead],
        facts=[text for section in found for text in section.facts],
        warnings=[*warned, *_earlier(image)],
        cards=shown,
        card_columns=card_columns(shown),
        common_reason=common_reason(shown),
        notes=[note] if (note := off_centre(chosen, protocol)) else [],
        steps=[] if refused or image.damaged else next_steps(image, chosen, files, layout.out_dir),
        counts=_counts(rows, protocol),
        rows=rows,
        columns=further_columns(image.tables),
        reference=str(image.reference.get('Path', '')),
        with_expert=EXPERT in image.tables,
        sections=[
            section
            for section in (files, *_figures(image, rows, found), *found)
            if section and section.title and section.has_content
        ],
        errors=image.errors,
        details={**own, **further},
    )


def _concerns(image: ImageResults, rows: list[TargetRow]) -> str:
    """Count the steps that failed and the targets that carry a warning, in words."""
    failed, warned = len(image.errors), sum(row.warns for row in rows)
    counts = []
    if failed:
        counts.append(f'{counted(failed, "step")} failed')
    if warned:
        counts.append(f'{warned} of {len(rows)} targets carry a warning')
    return ', '.join(counts)


def _verdict(
    image: ImageResults,
    rows: list[TargetRow],
    protocol: Protocol,
    concerns: str,
    warned: list[str],
) -> str:
    if image.replaced:
        which = 'Incomplete' if rows else f'No {protocol.words["targets"]}'
        return f'{which}: {image.replaced_in_words}. {_NO_FILES}'
    if image.damaged:
        which = 'Damaged' if rows else f'No {protocol.words["targets"]}'
        return f'{which}: {"; ".join(image.damaged)}. {_NO_FILES}'
    if image.earlier:
        return f'No {protocol.words["targets"]}: the last run of this image failed.'
    if not rows:
        return f'No {protocol.words["targets"]}: no method left a table.'
    if image.errors:
        return f'Incomplete: {concerns}.'
    if not any(estimate.usable for row in rows for estimate in row.estimates):
        return 'No point of this image may be used: see the warnings.'
    if warned:
        return f'Look before use: {concerns or "see the warnings"}.'
    return 'No warnings. Look at every target below all the same.'


def _counts(rows: list[TargetRow], protocol: Protocol) -> list[str]:
    counts = [
        f'**{count.name}**: {count.found} of {count.total} targets found'
        + (f', {count.clear} without a warning.' if count.clear != count.found else '.')
        for count in count_found(rows)
    ]
    largest = largest_separation(rows)
    if largest:
        row, gap = largest
        where = f'{gap.name}, at {row.label} ({row.region})'
        return [*counts, f'Largest disagreement: **{gap.distance.shown} mm**, {where}.']
    if rows and len(names_of(protocol)) > 1:
        return [*counts, 'There are points of one method only, so nothing confirms them.']
    return counts


def _earlier(image: ImageResults) -> list[str]:
    if not image.earlier:
        return []
    names = ', '.join(f'`{path.name}`' for path in image.earlier)
    if image.replaced:
        return [f'Points of the former image are in {names}. They are not shown.']
    text = (
        f'An earlier run left points of this image: {names}. They are not shown, as the image '
        'may have been replaced since. They hold only if its SHA-256 is still that of '
        '`ReferenceImage` in the file of the same name ending in `.json`.'
    )
    return [text]


def _figures(
    image: ImageResults, rows: list[TargetRow], others: Iterable[Section]
) -> list[Section]:
    """Sections of the figures that every method has, and of those that no section shows."""
    shown = {picture.uri for section in others for picture in _pictures(section)}
    methods = method_order({e.method for row in rows for e in row.estimates})
    marks = '; '.join(
        f'{_SHAPES[method_style(m).marker]}: {method_style(m).name}' for m in methods
    )
    regions = {row.label: row.region for row in rows}
    overview, further, targets = [], [], {}
    for what, path in sorted(image.figures.items()):
        if what == OVERVIEW:
            alt = 'All targets on three views of the brain'
            overview.append(Picture.read(path, alt, f'{alt}. {marks}.'))
        elif what in regions:
            slices = 'axial, coronal and sagittal slices with the points of each method'
            targets[what] = Picture.read(path, f'{what}, {regions[what]}: {slices}')
        elif what != THUMBNAIL:
            further.append(Picture.read(path, what, what))
    parts = [_target_part(row, targets[row.label]) for row in rows if row.label in targets]
    further = [picture for picture in further if picture.uri not in shown]
    return [
        Section('Overview', pictures=overview),
        Section('Each target', f'{marks}. {_each_target(rows)}', parts=parts),
        Section('Further figures', pictures=further),
    ]


def _pictures(section: Section) -> Iterator[Picture]:
    yield from section.pictures
    for part in section.parts:
        yield from _pictures(part)


def _target_part(row: TargetRow, picture: Picture) -> Section:
    return Section(
        f'{row.label}: {row.region}',
        pictures=[picture],
        warnings=[f'{e.style.name}: {e.words}.' for e in row.estimates if e.warns],
        anchor=row.label,
        side=row.side,
    )


def _each_target(rows: list[TargetRow]) -> str:
    circles = any(e.values.get(RADIUS) for row in rows for e in row.estimates)
    return (
        'Faint marks lie out of the slice. Above the whole slices, below the same slices enlarged.'
        + (
            ' Dashed circle: 90 % of errors; a point without one has no measured radius.'
            if circles
            else ''
        )
    )
