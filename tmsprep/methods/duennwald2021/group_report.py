"""The report of a group in protocol locus-coeruleus: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tmsprep.atomic import write_text
from tmsprep.methods.duennwald2021.group_answers import Claim, claims
from tmsprep.methods.duennwald2021.group_figures import plot_localisation, plot_overlaps
from tmsprep.methods.duennwald2021.group_report_tables import TextTable, text_tables, way
from tmsprep.protocols import Protocol
from tmsprep.reports.participant import Picture, data_uri
from tmsprep.reports.template import render_report

NAME = 'coeruleus_group.html'
TITLES = {
    'crossval': 'Cross-validation: people whom the networks did not train on',
    'participant': 'Outputs of the participant level',
}
METHODS = ('npp', 'pp', 'lpp')
FIGURES = ('errors', 'figure2')


@dataclass(frozen=True)
class CoeruleusContent:
    """What the report shows.

    Parameters
    ----------
    protocol : Protocol
        What was localised.
    tables : mapping
        Of `tmsprep.methods.duennwald2021.group_statistics.coeruleus_tables`, and 'people'.
    remarks : tuple of tuple
        Severity, who, and what about them.
    settings : mapping
        Level to what its sidecar says.
    seed : int
        Of the confidence intervals.
    """

    protocol: Protocol
    tables: Mapping[str, pd.DataFrame]
    remarks: tuple[tuple[str, str, str], ...]
    settings: Mapping[str, Mapping[str, object]]
    seed: int


@dataclass(frozen=True)
class Level:
    """What the report says of one level."""

    name: str
    title: str
    about: Sequence[str]
    claims: Sequence[Claim]
    tables: Sequence[TextTable]
    pictures: Mapping[str, Picture]
    constant: str


def write_coeruleus_group_report(out_dir: Path, content: CoeruleusContent) -> Path:
    """Write the report and its figures.

    The HTML file holds the figures and needs no network, no scripts and no other file; the same
    content gives the same bytes. The figures stand in ``figures`` as well.

    Parameters
    ----------
    out_dir : Path
        The output folder.
    content : CoeruleusContent
        What to show.

    Returns
    -------
    Path
        ``out_dir/coeruleus_group.html``.
    """
    people = content.tables['people']
    html = render_report(
        'report_coeruleus_group.html.jinja',
        protocol=content.protocol,
        levels=[_level(out_dir, content, source) for source in content.settings],
        outcomes=people['outcome'].value_counts(sort=False).to_dict(),
        remarks=content.remarks,
        seed=content.seed,
    )
    for source in set(TITLES) - set(content.settings):
        for name in FIGURES:
            figure_path(out_dir, source, name).unlink(missing_ok=True)
    return write_text(Path(out_dir) / NAME, html)


def figure_path(out_dir: Path, source: str, name: str) -> Path:
    """Where a figure lies: `name` is one of `FIGURES`."""
    return Path(out_dir) / 'figures' / f'coeruleus_{source}_{name}.svg'


def _level(out_dir: Path, content: CoeruleusContent, source: str) -> Level:
    return Level(
        name=source,
        title=TITLES[source],
        about=about(content.settings[source]),
        claims=[c for c in claims(content.tables, source) if c.holds is not None],
        tables=text_tables(content.tables, source),
        pictures=draw_figures(out_dir, content.tables, source),
        constant=constant_sentence(content.tables, source),
    )


def draw_figures(
    out_dir: Path, tables: Mapping[str, pd.DataFrame], source: str
) -> dict[str, Picture]:
    """Draw what a level has to draw, under `figure_path`; figures of an earlier run go."""
    found = {}
    path = figure_path(out_dir, source, 'errors')
    errors = _rows(tables, 'errors', source).dropna(subset=['error_mm'])
    if len(errors):
        kinds = dict.fromkeys(k if isinstance(k, str) else None for k in errors['augmentation'])
        plot_localisation(errors, {kind: way(kind) for kind in kinds}, path)
        alt = 'Box plots of the error of localisation in mm, left and right'
        found['errors'] = Picture('errors', data_uri(path), alt)
    else:
        path.unlink(missing_ok=True)
    path = figure_path(out_dir, source, 'figure2')
    segments = _rows(tables, 'overlaps', source)
    methods = [m for m in METHODS if m in set(segments['method'])] if len(segments) else []
    if methods:
        plot_overlaps(segments, methods, path)
        alt = 'Box plots of Dice and false discovery rate of each method, left and right'
        found['figure2'] = Picture('figure2', data_uri(path), alt)
    else:
        path.unlink(missing_ok=True)
    return found


def _rows(tables: Mapping[str, pd.DataFrame], name: str, source: str) -> pd.DataFrame:
    columns = ['source', 'error_mm', 'augmentation', 'method']
    table = tables.get(name, pd.DataFrame(columns=columns))
    return table[table['source'] == source]


def about(settings: Mapping[str, object]) -> list[str]:
    """Say how a cross-validation was done, in sentences, from its sidecar."""
    said = []
    if settings.get('Data'):
        said.append(f'Data: {settings["Data"]}.')
    recipe = settings.get('Recipe')
    if isinstance(recipe, Mapping):
        counts = [_epochs(recipe.get(key)) for key in ('schedule', 'patch_schedule')]
        said.append(
            f'Recipe {recipe.get("name")}: {counts[0]} epochs for the localizers, {counts[1]} for '
            'the segmenters.'
        )
    if 'Folds' in settings:
        said.append(
            f'{settings.get("Participants", "?")} people, {settings.get("HeldOut", 0)} of them '
            f'held out; folds: {settings["Folds"]}.'
        )
    if settings.get('Generalisation'):
        said.append(str(settings['Generalisation']))
    return said


def _epochs(schedule: object) -> object:
    return schedule.get('epochs', '?') if isinstance(schedule, Mapping) else '?'


def constant_sentence(tables: Mapping[str, pd.DataFrame], source: str) -> str:
    """Say how far off an answer is that looks at no image."""
    table = tables.get('constant', pd.DataFrame(columns=['source', 'mean_mm', 'label']))
    table = table[table['source'] == source].dropna(subset=['mean_mm'])
    if not len(table):
        return ''
    parts = ', '.join(f'{row.mean_mm:.2f} mm ({row.label})' for row in table.itertuples())
    return (
        'For comparison: the mean place of the other people, which looks at no image, is off by '
        f'{parts}.'
    )
