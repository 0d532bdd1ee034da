"""The page, written from the tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

import tmsprep
from tmsprep.atomic import atomic_path, write_text
from tmsprep.files import file_sha256

from accuracy_parts.gyri import NEAR_MM
from accuracy_parts.gyri_page import OVERALL
from accuracy_parts.markdown import as_markdown, percent
from accuracy_parts.subjects import Subject
from registration_parts.register import ANTS, EXACT
from registration_parts.summaries import DEFAULT, MEDIAN, ONE

TEMPLATE = Path(__file__).with_name('page.md')
NAMES = {
    DEFAULT: 'default SyN',
    EXACT: 'default SyN, exact brain',
    ANTS: f'`{ANTS}[s]`, exact brain',
    ONE: 'one annotated head',
    MEDIAN: 'median of five heads',
}
_NOT_RUN = 'Not measured in this run.'


def publish(
    tables: Mapping[str, pd.DataFrame], heads: Sequence[Subject], localizer: Path, docs: Path
) -> None:
    """Write tables and page; `localizer` are the weights of the CNN."""
    for name, table in tables.items():
        with atomic_path(docs / 'tables' / f'registration_{name}.tsv') as partial:
            table.to_csv(partial, sep='\t', index=False, float_format='%.3f', na_rep='n/a')
    text = write_page(tables, [head.name for head in heads], file_sha256(localizer))
    write_text(docs / 'registration.md', text)


def write_page(tables: Mapping[str, pd.DataFrame], heads: Sequence[str], localizer: str) -> str:
    """Fill the template from the tables of `registration_parts.summaries.summarise`."""
    names = ('antspyx', 'torch', 'numpy', 'scipy', 'nibabel')
    versions = [f'tmsprep {tmsprep.__version__}', *(f'{name} {version(name)}' for name in names)]
    points = tables['points']
    return TEMPLATE.read_text(encoding='utf-8').format(
        points=_points(points),
        measured=_measured(points),
        targets='\n\n'.join(_targets(*pair) for pair in tables['targets'].groupby('group')),
        times=as_markdown(tables['times'], _TIMES) if len(tables['times']) else _NOT_RUN,
        masks=as_markdown(tables['masks'], _MASKS) if len(tables['masks']) else _NOT_RUN,
        heads=', '.join(heads),
        near=f'{NEAR_MM:g}',
        versions=', '.join(versions),
        localizer=localizer,
    )


_TIMES = {
    'method': 'registration',
    'registrations': 'registrations',
    'cpu_min': 'processor (min)',
    'elapsed_min': 'elapsed (min)',
}
_MASKS = {
    'group': 'participants',
    'program': 'program',
    'people': 'number',
    'dice': 'Dice',
    'least': 'lowest',
    'missed': 'of the labelled brain, outside the mask',
    'beyond': 'of the mask, without a label',
    'volume': 'volume (labelled brain: 1)',
}


def _points(table: pd.DataFrame) -> str:
    """One row per group and method; in brackets the default on the same participants."""
    shown = table.assign(
        method=table['method'].map(NAMES),
        inside=[_pair(row, 'inside') for _, row in table.iterrows()],
        near=[_pair(row, 'near') for _, row in table.iterrows()],
        error=[_pair(row, 'error') for _, row in table.iterrows()],
        difference=[_interval(row) for _, row in table.iterrows()],
    )
    columns = {
        **OVERALL,
        'error': 'mm from the reference',
        'difference': 'mm more than default SyN (95 %)',
    }
    return as_markdown(shown, columns)


def _pair(row: pd.Series, what: str) -> str:
    values = [row[what], row[f'{what}_default']]
    if what == 'error':
        texts = [f'{value:.2f}' for value in values]
    else:
        texts = [percent(value, 1) for value in values]
    return texts[0] if row['method'] == DEFAULT else f'{texts[0]} ({texts[1]})'


def _interval(row: pd.Series) -> str:
    if row['method'] == DEFAULT:
        return ''
    if pd.isna(row['low']):
        return f'{row["difference"]:+.2f}'
    return f'{row["difference"]:+.2f} ({row["low"]:+.2f} to {row["high"]:+.2f})'


def _measured(table: pd.DataFrame) -> str:
    """Say on how many participants ANTs' own registration has been run."""
    ants = table[table['method'] == ANTS]
    counts = [f'{row["people"]} of {row["group"]}' for _, row in ants.iterrows()]
    return ' and '.join(counts) or 'none'


def _targets(group: str, table: pd.DataFrame) -> str:
    """One table per group: % of points in the gyrus and near it, per target and method."""
    cells = [f'{100 * row["inside"]:.0f} / {100 * row["near"]:.0f}' for _, row in table.iterrows()]
    wide = table.assign(text=cells).pivot_table(
        index='label', columns='method', values='text', aggfunc='first', sort=False
    )
    columns = {'label': 'target', **{method: NAMES[method] for method in NAMES if method in wide}}
    return f'{group}:\n\n{as_markdown(wide.reset_index(), columns)}'
