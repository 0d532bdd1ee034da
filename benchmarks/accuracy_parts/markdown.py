"""Tables and verdicts in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

_MISSING = '–'

#: Columns of shares.
_SHARES = {'within_10', 'coverage', 'near', 'inside', 'chance', 'share'} | {
    'promised',
    'reaches',
    'withheld',
}


def as_markdown(table: pd.DataFrame, columns: Mapping[str, str]) -> str:
    """Write some columns under new names: shares as percent, mm with two digits."""
    lines = [list(columns.values()), ['---'] * len(columns)]
    lines += [[_cell(row[name], name) for name in columns] for _, row in table.iterrows()]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _cell(value: object, column: str) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return _MISSING
    if column in _SHARES:
        return percent(value, 1)
    return f'{value:.2f}' if isinstance(value, float) else str(value)


def percent(share: float, digits: int = 0) -> str:
    """Write a share as percent.

    >>> percent(0.85), percent(0.909, 1)
    ('85 %', '90.9 %')
    """
    return f'{100 * share:.{digits}f} %'


def verdicts(aims: Sequence[tuple[str, str, bool]]) -> str:
    """List aims, what was found, and whether each was reached."""
    return '\n'.join(
        f'- {aim}: **{"reached" if reached else "missed"}** ({found}).'
        for aim, found, reached in aims
    )
