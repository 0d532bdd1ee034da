"""The page, written from the tables alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from tmsprep.evaluation.conformal import LEVEL

from accuracy_parts.broken import FAR_MM, SMALL
from accuracy_parts.cortex import NEAR_MM
from accuracy_parts.gyri import NEAR_MM as NEAR_GYRUS_MM
from accuracy_parts.gyri_page import aims, flags, left_out, overall, overlaps, per_target
from accuracy_parts.markdown import as_markdown, percent, verdicts
from accuracy_parts.summaries import ALL
from corruptions.catalogue import CORRUPTIONS

TEMPLATE = Path(__file__).with_name('page.md')
TABLES = (
    'gyri',
    'warnings',
    'dice',
    'broken',
    'test',
    'corruptions',
    'motion',
    'promise',
    'methods',
    'cortex',
)
METHODS = {'cnn': 'CNN', 'syn': 'SyN', 'cnn-same-people': 'CNN, same participants'}
_NOT_RUN = 'Not measured in this run.'
_STATISTICS = {
    'points': 'points',
    'failed': 'failed',
    'mean': 'mean',
    'sd': 'sd',
    'median': 'median',
    'p95': 'p95',
    'max': 'max',
    'within_10': 'within 10 mm',
}
_RADIUS = {'dispersion': 'dispersion', 'radius': 'radius', 'coverage': 'coverage'}


def write_page(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, object]) -> str:
    """Fill the template.

    Parameters
    ----------
    tables : mapping
        The tables named in `TABLES`; a missing or empty one leaves its section without
        numbers.
    facts : mapping
        Values of the template's other fields.

    Returns
    -------
    str
        Markdown.
    """
    given = {name: tables.get(name, pd.DataFrame()) for name in TABLES}
    gyri = given['gyri']
    sections = {
        'gyri_aims': _or_not(aims, gyri),
        'gyri': _or_not(overall, gyri),
        'gyri_targets': _or_not(per_target, gyri),
        'warnings': _or_not(flags, given['warnings']),
        'dice': _or_not(overlaps, given['dice']),
        'broken': left_out(given['broken']) if len(gyri) else _NOT_RUN,
        'test_aims': _or_not(_test_aims, given['test']),
        'test': _or_not(_test, given['test']),
        'corruption_aims': _or_not(_corruption_aims, given['corruptions']),
        'corruptions': _or_not(_corruptions, given['corruptions']),
        'motion': _or_not(_motion, given['motion']),
        'promise_aims': _or_not(_promise_aims, given['promise']),
        'promise': _or_not(_promise, given['promise']),
        'methods': _or_not(_methods, given['methods']),
        'cortex': _or_not(_cortex, given['cortex']),
    }
    numbers = {
        'near': f'{NEAR_MM:g}',
        'near_gyrus': f'{NEAR_GYRUS_MM:g}',
        'small': percent(SMALL),
        'far_mm': f'{FAR_MM:g}',
    }
    return TEMPLATE.read_text(encoding='utf-8').format(**facts, **sections, **numbers)


def _or_not(write: Callable[[pd.DataFrame], str], table: pd.DataFrame) -> str:
    return write(table) if len(table) else _NOT_RUN


def _test(table: pd.DataFrame) -> str:
    named = table.replace({'method': METHODS})
    columns = {'method': 'method', 'label': 'target', **_STATISTICS, **_RADIUS}
    return as_markdown(named, columns)


def _test_aims(table: pd.DataFrame) -> str:
    cnn = table[(table['method'] == 'cnn') & (table['label'] == ALL)].iloc[0]
    return verdicts(
        [
            ('mean error at most 2.0 mm', f'{cnn["mean"]:.2f} mm', cnn['mean'] <= 2.0),
            ('95th percentile at most 4.5 mm', f'{cnn["p95"]:.2f} mm', cnn['p95'] <= 4.5),
            ('no point over 10 mm', f'worst {cnn["max"]:.2f} mm', cnn['max'] <= 10.0),
        ]
    )


def _corruption_aims(table: pd.DataFrame) -> str:
    middle = table[(table['method'] == 'cnn') & (table['strength'] == 'middle')]
    over = middle[middle['mean'] > 3.5]
    worst = middle.loc[middle['mean'].idxmax()]
    found = f'highest mean {worst["mean"]:.2f} mm, {worst["corruption"]}'
    if len(over):
        found += f'; missed by {", ".join(over["corruption"])}'
    return verdicts([('mean error at most 3.5 mm at each middle strength', found, not len(over))])


def _corruptions(table: pd.DataFrame) -> str:
    named = table.replace({'method': METHODS})
    units = named['corruption'].map({name: c.unit for name, c in CORRUPTIONS.items()})
    values = named['value'].map('{:g}'.format) + ' ' + units
    named = named.assign(value=values.where(named['corruption'] != 'mirror', '').str.strip())
    columns = {'corruption': 'corruption', 'strength': 'strength', 'value': 'value'}
    return as_markdown(named, {**columns, 'method': 'method', **_STATISTICS, **_RADIUS})


def _motion(table: pd.DataFrame) -> str:
    units = table['motion'].map({name: c.unit for name, c in CORRUPTIONS.items()})
    values = (table['value'].map('{:g}'.format) + ' ' + units).where(table['motion'] != 'mirror')
    columns = ('motion', 'value', 'points', 'median', 'p95', 'max')
    return as_markdown(table.assign(value=values), dict(zip(columns, columns, strict=True)))


def _promise_aims(table: pd.DataFrame) -> str:
    under = table[table['coverage'] < LEVEL]
    found = f'lowest {percent(table["coverage"].min(), 1)}' if table['promised'].any() else 'none'
    if len(under):
        found += f'; under it {", ".join(under["group"])}'
    whole = table['promised'].iloc[0]
    return verdicts(
        [
            ('at least 90 % of the promised radii of each group hold', found, not len(under)),
            (
                f'at least 90 % of points have one, {table["group"].iloc[0]}',
                percent(whole, 1),
                whole >= 0.9,
            ),
        ]
    )


def _promise(table: pd.DataFrame) -> str:
    columns = {
        'group': 'images',
        'people': 'participants',
        'points': 'points',
        'promised': 'with a radius',
        'radius': 'mean radius',
        'coverage': 'holds the reference',
        'reaches': 'reaches the gyrus',
        'withheld': 'would have held in the others',
    }
    return as_markdown(table, columns)


def _methods(table: pd.DataFrame) -> str:
    """One row per target, one column per data set: median, and maximum in brackets."""
    cells = table.assign(text=[_median_and_max(row) for _, row in table.iterrows()])
    wide = cells.pivot_table(
        index='label', columns='dataset', values='text', aggfunc='first', sort=False
    )
    participants = table.drop_duplicates('dataset').set_index('dataset')['people']
    columns = {'label': 'target'}
    columns |= {name: f'{name} ({participants[name]})' for name in wide.columns}
    return as_markdown(wide.reset_index(), columns)


def _median_and_max(row: pd.Series) -> str:
    numbers = [] if pd.isna(row['median']) else [f'{row["median"]:.2f} ({row["max"]:.2f})']
    return ', '.join(numbers + [f'{row["failed"]} failed'] * (row['failed'] > 0))


def _cortex(table: pd.DataFrame) -> str:
    columns = {
        'dataset': 'data set',
        'method': 'method',
        'people': 'participants',
        'points': 'points',
        'near': f'in or within {NEAR_MM:g} mm of grey matter',
        'farthest': 'farthest (mm)',
        'chance': 'a random position in the brain',
    }
    return as_markdown(table.replace({'method': METHODS}), columns)
