"""The report of one person: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tmsprep.atomic import write_text
from tmsprep.bids.names import Layout
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import ErrorRecord, ImageResults, collect_subject
from tmsprep.reports.methods import method_texts
from tmsprep.reports.styles import method_order, method_style
from tmsprep.reports.summary import (
    MethodCount,
    Separation,
    TargetRow,
    count_found,
    largest_separation,
    target_rows,
    warnings,
)
from tmsprep.reports.template import render_report

OVERVIEW, MASK, REGISTRATION = 'overview', 'brain', 'registration'
# The figures' desc entities; a target's figure has the target's label.

ENTITY_WORDS = {
    'sub': 'person',
    'ses': 'session',
    'acq': 'acquisition',
    'ce': 'contrast agent',
    'rec': 'reconstruction',
    'run': 'run',
    'echo': 'echo',
    'inv': 'inversion',
}


@dataclass(frozen=True)
class Picture:
    """A figure with its text alternative, as a data URI."""

    what: str
    uri: str
    alt: str


@dataclass(frozen=True)
class ImagePage:
    """One T1w as the template shows it."""

    anchor: str
    name: str
    title: str
    reference: Mapping[str, object]
    rows: list[TargetRow]
    counts: list[MethodCount]
    largest: tuple[TargetRow, Separation] | None
    warnings: list[str]
    errors: list[ErrorRecord]
    earlier: list[str]
    overview: Picture | None
    targets: dict[str, Picture]
    mask: Picture | None
    registration: Picture | None
    others: list[Picture]
    sidecars: dict[str, Mapping[str, object]]
    has_dispersion: bool
    has_error90: bool
    has_expert: bool

    @property
    def concerns(self) -> str:
        """How many steps failed and how many targets carry a warning, in words."""
        failed, warned = len(self.errors), sum(row.warns for row in self.rows)
        counts = []
        if failed:
            counts.append(f'{failed} step{"s" if failed > 1 else ""} failed')
        if warned:
            counts.append(f'{warned} of {len(self.rows)} targets carry a warning')
        return ', '.join(counts)


def write_participant_report(layout: Layout, protocol: Protocol, subject: str) -> Path:
    """Write the report of one person from what lies in the output folder.

    The file holds its figures and needs no network, no scripts and no other file. The same
    derivatives give the same bytes. What is missing is said to be missing: one method only, or
    none, gives a report too.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    subject : str
        The person's label, without ``sub-``.

    Returns
    -------
    Path
        The report.
    """
    results = collect_subject(layout.out_dir, subject, layout.label)
    html = render_report(
        'report_participant.html.jinja',
        subject=results.subject,
        pages=[image_page(image) for image in results.images],
        methods=method_texts(results.images),
        errors=results.errors,
        problems=results.problems,
        method_name=lambda method: method_style(method).name,
    )
    return write_text(layout.report(subject), html)


def image_page(image: ImageResults) -> ImagePage:
    """Arrange the results of one T1w for the template."""
    rows = target_rows(image.tables)
    labels = [row.label for row in rows]
    regions = {row.label: f'{row.label}, {row.region}' for row in rows}
    pictures = {
        what: Picture(what, data_uri(path), _alternative(what, regions))
        for what, path in sorted(image.figures.items())
    }
    estimates = [estimate for row in rows for estimate in row.estimates]
    sidecars = {m: image.tables[m].sidecar for m in method_order(image.tables)}
    return ImagePage(
        anchor=image.name,
        name=image.name,
        title=entity_title(image.name),
        reference=_reference(sidecars),
        rows=rows,
        counts=count_found(rows),
        largest=largest_separation(rows),
        warnings=warnings(rows),
        errors=image.errors,
        earlier=[path.name for path in image.earlier],
        overview=pictures.get(OVERVIEW),
        targets={label: pictures[label] for label in labels if label in pictures},
        mask=pictures.get(MASK),
        registration=pictures.get(REGISTRATION),
        others=[
            picture
            for what, picture in pictures.items()
            if what not in (*labels, OVERVIEW, MASK, REGISTRATION)
        ],
        sidecars=sidecars,
        has_dispersion=any(estimate.dispersion for estimate in estimates),
        has_error90=any(estimate.error90 for estimate in estimates),
        has_expert='expert' in image.tables,
    )


def entity_title(name: str) -> str:
    """Say a file name's entities in words: 'session A, run 1'; 'T1w' if there are none."""
    pairs = [part.split('-', 1) for part in name.split('_') if '-' in part]
    words = [f'{ENTITY_WORDS.get(key, key)} {value}' for key, value in pairs if key != 'sub']
    return ', '.join(words) or 'T1w'


def data_uri(path: Path) -> str:
    """Return an SVG file as a data URI; shown as a picture it can neither run nor load things."""
    content = base64.b64encode(path.read_bytes()).decode('ascii')
    return f'data:image/svg+xml;base64,{content}'


def _reference(sidecars: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    for sidecar in sidecars.values():
        reference = sidecar.get('ReferenceImage')
        if isinstance(reference, dict):
            return reference
    return {}


def _alternative(what: str, regions: Mapping[str, str]) -> str:
    if what in regions:
        return (
            f'{regions[what]}: axial, coronal and sagittal slices with the points of each method'
        )
    return {
        OVERVIEW: 'All targets on three views of the brain',
        MASK: 'Outline of the brain mask on axial, coronal and sagittal slices',
        REGISTRATION: "Edges of the atlas on the person's slices, before and after registration",
    }.get(what, what)
