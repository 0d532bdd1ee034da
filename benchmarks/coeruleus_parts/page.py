"""The page, written from the tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.methods.duennwald2021.group_section import constant_sentence, level_tables
from tmsprep.reports.sections import Table

from coeruleus_parts.claims import Claim, claims

TEMPLATE = Path(__file__).with_name('page.md')
SOURCE = 'crossval'
_LOCALISATION = ('table1', 'augmentation', 'axes')


def write_page(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> str:
    """Fill the template.

    Parameters
    ----------
    tables : mapping
        Name of each table of the group level to it.
    facts : mapping
        Of `coeruleus_parts.facts.collect_facts`.

    Returns
    -------
    str
        Markdown.
    """
    judged = claims(tables, SOURCE)
    written = level_tables(tables, SOURCE).items()
    found = [[c.claim, f'**{c.verdict}**', c.found, c.paper] for c in judged]
    places = [as_section(table) for name, table in written if name in _LOCALISATION]
    masks = [as_section(table) for name, table in written if name not in _LOCALISATION]
    return TEMPLATE.read_text(encoding='utf-8').format(
        scale=scale(facts),
        trainings=trainings(facts['trainings']),
        machine=facts['machine'],
        versions=f'Versions: {facts["versions"]}.',
        claims=lines(found),
        speed=speed(facts),
        missed=missed(judged, facts['speed']),
        constant=constant_sentence(tables, SOURCE),
        localisation='\n\n'.join(places) or 'Not measured.',
        segmentation='\n\n'.join(masks) or 'Not measured.',
        people=', '.join(f'{n} {what}' for what, n in facts['people'].items()) + '.',
    )


def lines(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of a table."""
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def as_section(table: Table) -> str:
    """Write a table under its heading."""
    rule = ['---'] * len(table.head)
    body = lines([table.head, rule, *table.rows])
    return f'### {table.caption}\n\n{body}\n\n{table.notes}'


def scale(facts: Mapping[str, Any]) -> str:
    """Compare the size of the experiment with the paper's."""
    given, edge = facts['settings'], facts['voxel_mm']
    recipe = given['Recipe'] or {}
    epochs = [recipe.get(k, {}).get('epochs', '?') for k in ('schedule', 'patch_schedule')]
    millimetres = ' x '.join(f'{size * edge:g}' for size in facts['shape'])
    kept = given['Participants'] - given['HeldOut']
    return lines(
        [
            ('images', 'simulated', 'real, 3 T'),
            (
                'participants',
                (
                    f'{given["Participants"]}: {kept} in {given["Folds"]} folds, '
                    f'{given["HeldOut"]} held out'
                ),
                '82: 59 in 5 folds, 23 held out',
            ),
            ('field of view', f'{millimetres} mm around the brainstem', 'whole brain'),
            ('voxels', f'{edge:g} mm', '0.75 mm'),
            ('epochs of a localizer', f'{epochs[0]} (recipe {recipe.get("name", "?")})', '500'),
            ('epochs of a segmenter', str(epochs[1]), 'not given'),
        ]
    )


def trainings(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say which epochs were kept; the last ones suggest that longer training might help."""
    parts = []
    for row in rows:
        name = f'{row["network"]} {row["augmentation"]} augmentation'
        parts.append(
            f'- {name}: {row["trainings"]} trainings of about {row["minutes"]:.1f} minutes; the '
            f'epoch that was kept is {row["best_epoch"]:g} of {row["epochs"]} (median)'
        )
    return '\n'.join(parts)


def speed(facts: Mapping[str, Any]) -> str:
    """Say what LPP and NPP cost, as measured."""
    cost = facts['speed']
    lpp, npp = cost['lpp'], cost['npp']
    volume = ' x '.join(map(str, cost['shape']))
    text = (
        f'On a volume of {volume} voxels and {_count(cost["threads"], "thread")}, LPP (localizer '
        f'and one patch) takes {lpp["seconds"]:.2f} s and {lpp["extra"]:.0f} MB, NPP '
        f'({npp["windows"]} windows) {npp["seconds"]:.2f} s and {npp["extra"]:.0f} MB, on top of '
        f'Python, Torch and the volume. {_faster(lpp, npp)} {_larger(lpp, npp)}'
    )
    medians = facts['seconds']
    if {'lpp', 'npp'} <= set(medians):
        text += (
            f' In the cross-validation itself the medians were {medians["lpp"]:.2f} s (LPP) and '
            f'{medians["npp"]:.2f} s (NPP).'
        )
    return (
        f'{text} Other sizes were not measured. Times are rough: they depend on the machine and '
        'its load.'
    )


def _count(number: int, what: str) -> str:
    return f'{number} {what}{"" if number == 1 else "s"}'


def _faster(lpp: Mapping[str, float], npp: Mapping[str, float]) -> str:
    ratio = npp['seconds'] / lpp['seconds']
    if ratio >= 1:
        return f'So LPP is {ratio:.1f} times faster.'
    return f'So LPP is **not** faster: it takes {1 / ratio:.1f} times as long.'


def _larger(lpp: Mapping[str, float], npp: Mapping[str, float]) -> str:
    """Say whether LPP saves memory."""
    more = lpp['extra'] - npp['extra']
    if more <= 0:
        return f'It needs {-more:.0f} MB less memory.'
    return (
        f'But it needs **more** memory, by {more:.0f} MB: its localizer processes the whole '
        'volume at once, the sliding window one patch after the other.'
    )


def missed(judged: Sequence[Claim], cost: Mapping[str, Any]) -> str:
    """List the claims that do not hold here."""
    wrong = [f'- {claim.claim}: {claim.found}. In the paper: {claim.paper}.' for claim in judged
             if claim.holds is False]  # fmt: skip
    if cost['lpp']['seconds'] >= cost['npp']['seconds']:
        wrong.append('- LPP is more efficient than the sliding window: not in time.')
    open_ones = [claim.claim for claim in judged if claim.holds is None]
    text = (
        '\n\n' + '\n'.join(wrong) if wrong else 'Nothing: every claim that could be judged holds.'
    )
    return text + (f'\n\nNot judged: {"; ".join(open_ones)}.' if open_ones else '')
