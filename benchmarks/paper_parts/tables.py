"""The tables of Baxter et al. 2021, each cell as printed beside what was found here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from coeruleus_parts.page import lines

MISSING = '–'

#: Cells as they are printed in the paper: table, label, column, cell. Typing errors in names of
#: rows and columns are corrected.
PUBLISHED = Path(__file__).with_name('baxter2021.tsv')

#: Columns of a table of the group level that the paper does not have.
FAIR = ('Reg. + Offset Error', 'Expert Var. (leave one out)')


def read(path: Path) -> pd.DataFrame:
    """Read a table of the group level, or of a cross-validation."""
    return pd.read_csv(path, sep='\t', na_values='n/a', keep_default_na=False)


def published() -> dict[int, pd.DataFrame]:
    """Read the paper's tables: number to cells by label and column, in the paper's order."""
    cells = pd.read_csv(PUBLISHED, sep='\t', dtype={'cell': str})
    found = {}
    for number, rows in cells.groupby('table'):
        order = [list(dict.fromkeys(rows[name])) for name in ('label', 'column')]
        wide = rows.pivot(index='label', columns='column', values='cell')
        found[int(number)] = wide.reindex(index=order[0], columns=order[1])
    return found


def mean_cell(row: Mapping[str, object]) -> str:
    """Write mean, sd and number of a row of Table 2 or 4, as the paper does."""
    if pd.isna(row['mean_mm']):
        return MISSING
    return f'{row["mean_mm"]:.2f} ± {row["sd_mm"]:.2f} (n = {row["n"]:.0f})'


def short_cell(row: Mapping[str, object]) -> str:
    """Write mean and sd alone."""
    return mean_cell(row).split(' (')[0]


def z_cell(row: Mapping[str, object], *, signed: bool, names: Mapping[str, str]) -> str:
    """Write Z, stars and, where significant, the better one.

    Parameters
    ----------
    row : mapping
        Of Table 3 or 5 of the group level.
    signed : bool
        Whether the sign is that of the first error minus the second; else the size of Z.
    names : mapping
        Methods of the group level to their names in the paper; a winner is named if it is there.
    """
    if pd.isna(row['z']):
        return MISSING
    z = abs(float(row['z']))
    if signed and row['difference_mm'] < 0:
        z = -z
    stars = '' if pd.isna(row['stars']) else row['stars'].replace('*', r'\*')
    winner = names.get(row['winner'], '') if stars else ''
    return ' '.join(part for part in (f'{z:.2f}', stars, winner) if part)


def beside(
    paper: pd.DataFrame, here: pd.DataFrame, write: Callable[[Mapping[str, object]], str]
) -> str:
    """Write one table in Markdown, the paper's cell before the one found here.

    Parameters
    ----------
    paper : pandas.DataFrame
        Of `published`.
    here : pandas.DataFrame
        Long, with label and column; columns that the paper does not have are left out.
    write : callable
        Writes the cell of a row.
    """
    found = {(row['label'], row['column']): write(row) for row in here.to_dict('records')}
    labels = list(dict.fromkeys([*paper.index, *here['label']]))
    head = ['target', *paper.columns]
    rows = []
    for label in labels:
        cells = []
        for column in paper.columns:
            printed = paper[column].get(label, MISSING)
            printed = MISSING if pd.isna(printed) else printed.replace('*', r'\*')
            cells.append(f'{printed} / {found.get((label, column), MISSING)}')
        rows.append([label, *cells])
    return lines([head, ['---'] * len(head), *rows])


def counts(predictions: pd.DataFrame, table2: pd.DataFrame) -> pd.DataFrame:
    """Count people, annotations and consensus points of each target, as in Table 1.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of a cross-validation: its references are the consensus.
    table2 : pandas.DataFrame
        Of the group level: each rater's distance from the consensus counts once, and so does
        each person who has one. Those who were tested without any annotation do not count.
    """
    rows = []
    for label, some in predictions.groupby('label', sort=False):
        agreed = some.loc[some['reference_x'].notna(), 'participant_id'].nunique()
        raters = table2[(table2['label'] == label) & (table2['column'] == 'Expert Var.')]
        rows += [
            {'label': label, 'column': 'P#', 'cell': f'{raters["people"].max():.0f}'},
            {'label': label, 'column': 'T#', 'cell': f'{raters["n"].sum():.0f}'},
            {'label': label, 'column': 'C#', 'cell': str(agreed)},
        ]
    return pd.DataFrame(rows)


def opponents(table2: pd.DataFrame, columns: Iterable[str] = FAIR) -> str:
    """List what the paper does not compare with: fair opponents; '' if none was measured."""
    there = [name for name in columns if (table2['column'] == name).any()]
    if not there:
        return ''
    found = {(r['label'], r['column']): short_cell(r) for r in table2.to_dict('records')}
    head = ['target', *there]
    rows = [
        [label, *(found.get((label, name), MISSING) for name in there)]
        for label in dict.fromkeys(table2['label'])
    ]
    return lines([head, ['---'] * len(head), *rows])


def extent(predictions: pd.DataFrame, facts: Mapping[str, int]) -> str:
    """Say how many repetitions of each variant have been run on all people.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of a cross-validation, which may be under way.
    facts : mapping
        Its sidecar, with the number of 'Repetitions' and of 'Participants', and 'Variants'.
    """
    people = predictions.groupby(['variant', 'repetition'])['participant_id'].nunique()
    whole = people[people == facts['Participants']].reset_index()['variant'].value_counts()
    counts = {str(name): int(whole.get(name, 0)) for name in facts['Variants']}
    if set(counts.values()) == {facts['Repetitions']}:
        return f'{facts["Repetitions"]} repetitions'
    said = ', '.join(f'{count} (`{name}`)' for name, count in counts.items())
    return f'repetitions done so far, of {facts["Repetitions"]}: {said}'


def gyri(shares: pd.DataFrame, methods: Mapping[str, str]) -> str:
    """Write the share of points in the gyrus of their target, and within 2 mm of it, per cent.

    Parameters
    ----------
    shares : pandas.DataFrame
        Of the group level.
    methods : mapping
        Methods to their headings.
    """
    known = {(row.label, row.method): row for row in shares.itertuples()}
    present = {m: name for m, name in methods.items() if m in set(shares['method'])}
    rows = [['target', *present.values()], ['---'] * (len(present) + 1)]
    for label in dict.fromkeys(shares['label']):
        cells = [known.get((label, method)) for method in present]
        said = [f'{100 * c.inside:.0f} / {100 * c.near:.0f}' if c else MISSING for c in cells]
        rows.append([label, *said])
    return lines(rows)
