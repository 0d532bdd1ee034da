"""The sections of the page on gyri, from their tables alone."""

from __future__ import annotations

import pandas as pd

from accuracy_parts.gyri import NEAR_MM
from accuracy_parts.gyri_summaries import UNKNOWN, WRONG
from accuracy_parts.markdown import as_markdown, percent, verdicts
from accuracy_parts.summaries import ALL

NAMES = {
    'cnn': 'CNN',
    'cnn_located': 'CNN, not settled',
    'syn': 'SyN',
    'syn_settled': 'SyN, settled',
    'syn_offset': 'SyN + offset',
    'syn_offset_settled': 'SyN + offset, settled',
    'recommended': 'recommended',
    'pose': 'pose alone',
    'pose_settled': 'pose alone, settled',
}

#: Methods of the tables per target, in which there is less room.
PER_TARGET = ('cnn', 'syn', 'syn_offset', 'syn_settled', 'recommended', 'pose')

#: Points that no method gave, to try the judge.
TRIED = {'reference': 'the reference', 'astray': 'set astray'}

#: First columns of a table with one row per group and method, see `by_gyrus`.
OVERALL = {
    'group': 'participants',
    'method': 'method',
    'people': 'number',
    'points': 'points',
    'failed': 'failed',
    'inside': 'in the gyrus',
    'near': f'within {NEAR_MM:g} mm',
}

#: Groups that no choice was made on.
REPORTED = ('MICCAI 2012, others', 'IXI, test')

#: Aims set before the measurement: shares near and in the gyrus, and near it of every target.
NEAR, INSIDE, EVERY = 0.97, 0.85, 0.90

_WHERE = {'inside': 'in it', 'near': f'beside it, up to {NEAR_MM:g} mm', 'far': 'farther'}


def aims(table: pd.DataFrame) -> str:
    """Say which aims were reached, from the result of `by_gyrus`."""
    lines = []
    for group in REPORTED:
        own = table[table['group'] == group].set_index(['method', 'label'])
        if own.empty:
            continue
        all_of = own.loc[('cnn', ALL)]
        for what, aim in (('near', NEAR), ('inside', INSIDE)):
            where = f'within {NEAR_MM:g} mm of' if what == 'near' else 'in'
            aim_words = (
                f'{group}: at least {percent(aim)} of the points of the CNN {where} their gyrus'
            )
            lines.append((aim_words, percent(all_of[what], 1), bool(all_of[what] >= aim)))
        cnn = own.loc['cnn'].drop(ALL)
        if 'syn' in own.index:
            below = _below(cnn, own.loc['syn'].drop(ALL))
            text = f'below on {", ".join(below)}' if below else 'on none below'
            aim_words = f'{group}: CNN not below SyN on any target, within {NEAR_MM:g} mm and in'
            lines.append((f'{aim_words} the gyrus', text, not below))
        few = cnn[cnn['near'] < EVERY]
        found = ', '.join(f'{label} {percent(share)}' for label, share in few['near'].items())
        aim_words = f'{group}: no target under {percent(EVERY)} within {NEAR_MM:g} mm'
        lines.append((aim_words, found or f'lowest {percent(cnn["near"].min())}', few.empty))
    return verdicts(lines)


def _below(cnn: pd.DataFrame, syn: pd.DataFrame) -> list[str]:
    """Targets on which the network is below the registration, and by which share."""
    names = {'near': f'within {NEAR_MM:g} mm', 'inside': 'in the gyrus'}
    return [
        f'{label} ({percent(cnn.at[label, what])} against {percent(syn.at[label, what])} {words})'
        for label in cnn.index
        for what, words in names.items()
        if cnn.loc[label, what] < syn.loc[label, what]
    ]


def overall(table: pd.DataFrame) -> str:
    """One row per group and method, all targets together."""
    columns = {
        **OVERALL,
        'farthest': 'farthest',
        'error': 'from the reference',
        'depth': 'below the crown',
    }
    chosen = table[table['label'] == ALL].replace({'method': NAMES})
    return as_markdown(chosen, columns)


def per_target(table: pd.DataFrame) -> str:
    """One table per group: % of points in the gyrus and near it, per target and method."""
    parts = []
    for group, own in table.groupby('group', sort=False):
        texts = [_shares(row) for _, row in own.iterrows()]
        wide = own.assign(text=texts).pivot_table(
            index='label', columns='method', values='text', aggfunc='first', sort=False
        )
        people = own['people'].max()
        methods = {method: NAMES[method] for method in PER_TARGET if method in wide}
        heading = {'label': 'target', **methods}
        extra = own[own['method'] == 'cnn'].set_index('label')[['error', 'depth']]
        wide = wide.join(extra).reset_index()
        heading |= {'error': 'CNN from the reference', 'depth': 'CNN below the crown'}
        parts.append(f'{group} ({people}):\n\n{as_markdown(wide, heading)}')
    return '\n\n'.join(parts)


def _shares(row: pd.Series) -> str:
    if pd.isna(row['inside']):
        return 'failed'
    return f'{100 * row["inside"]:.0f} / {100 * row["near"]:.0f}'


def flags(table: pd.DataFrame) -> str:
    """Reliability of the warnings, from the result of `warnings`."""
    columns = {
        'group': 'participants',
        'method': 'method',
        'where': 'where the point lies, by the labels of its gyrus',
        'points': 'points',
        WRONG: f'`{WRONG}`',
        UNKNOWN: f'`{UNKNOWN}`',
        'other': 'another warning',
        'p50': 'median probability',
    }
    return as_markdown(table.replace({'method': NAMES | TRIED, 'where': _WHERE}), columns)


def overlaps(table: pd.DataFrame) -> str:
    """Dice of the parcellation, one row per gyrus and side, one column per group."""
    cells = table.assign(text=[f'{r["mean"]:.3f} ({r["least"]:.2f})' for _, r in table.iterrows()])
    wide = cells.pivot_table(
        index=['gyrus', 'side'], columns='group', values='text', aggfunc='first', sort=False
    )
    people = table.groupby('group')['people'].max()
    columns = {'gyrus': 'gyrus', 'side': 'side'}
    columns |= {name: f'{name} ({people[name]})' for name in wide.columns}
    return as_markdown(wide.reset_index(), columns)


def left_out(table: pd.DataFrame) -> str:
    """List the labels that the rule of `broken_labels` left out."""
    if table.empty:
        return 'No label was left out by this rule.'
    columns = {
        'participant_id': 'participant',
        'gyrus': 'gyrus',
        'side': 'side',
        'share': 'volume (share of the median)',
        'away_mm': 'from its expected place',
    }
    return as_markdown(table, columns)
