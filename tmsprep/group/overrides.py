"""A person's own choice of raters, where their agreement is not to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import RATER

NOBODY = 'none'
"""Written in place of raters: the point is left without a consensus."""

# By the number of raters; a status of `tmsprep.evaluation.consensus.CONSENSUS_STATUSES`.
_STATUSES = {0: 'no_consensus', 1: 'single'}
_REQUIRED = ('participant_id', 'label', 'agreeing')


class Override(NamedTuple):
    """Which raters a point is the mean of.

    Parameters
    ----------
    participant_id : str
        'sub-01'.
    image : str
        Name of the T1w without its suffix; '' for all of the person.
    label : str
        The target.
    raters : tuple of str
        Their names; none for no consensus.
    line : int
        Of the file, from 1.
    """

    participant_id: str
    image: str
    label: str
    raters: tuple[str, ...]
    line: int


def read_overrides(path: Path) -> list[Override]:
    """Read a table with the columns participant_id, label and agreeing, and perhaps image.

    It may be a copy of ``group_agreements.tsv`` in which 'agreeing' was changed: names of raters
    with blanks between them, or 'none'. Rows with ``n/a`` there change nothing.

    Parameters
    ----------
    path : Path
        Tab-separated.

    Raises
    ------
    ValueError
        If the file is no such table, or says two things of one point; it names file and line.
    """
    try:
        table = pd.read_csv(path, sep='\t', dtype=str, keep_default_na=False, index_col=False)
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: cannot be read as a table ({error})') from error
    missing = [name for name in _REQUIRED if name not in table]
    if missing:
        raise ValueError(
            f'{path}: needs the columns {", ".join(_REQUIRED)}, separated by tabs; it has no '
            f'{missing[0]}'
        )
    overrides: dict[tuple[str, str, str], Override] = {}
    for number, row in enumerate(table.to_dict('records'), start=2):
        if row['agreeing'].strip() in ('', 'n/a'):
            continue
        override = _override(row, number)
        key = override[:3]
        if key in overrides:
            raise ValueError(
                f'{path}, line {number}: {override.participant_id}, {override.label} stands in '
                f'line {overrides[key].line} too; keep one'
            )
        overrides[key] = override
    return list(overrides.values())


def _override(row: Mapping[str, str], line: int) -> Override:
    names = row['agreeing'].split()
    raters = () if names == [NOBODY] else tuple(dict.fromkeys(names))
    participant = f'sub-{row["participant_id"].strip().removeprefix("sub-")}'
    return Override(participant, row.get('image', '').strip(), row['label'].strip(), raters, line)


def apply_overrides(
    agreements: pd.DataFrame, points: pd.DataFrame, overrides: Sequence[Override], path: Path
) -> pd.DataFrame:
    """Put the mean of the raters that somebody chose in place of the agreement.

    Parameters
    ----------
    agreements : pandas.DataFrame
        Of `tmsprep.group.agreements.agreement_table`.
    points : pandas.DataFrame
        Of the raters, see `tmsprep.group.points`.
    overrides : sequence of Override
        Of `read_overrides`.
    path : Path
        Their file, to name it.

    Returns
    -------
    pandas.DataFrame
        A copy, in which 'overridden' is true where a row was changed.

    Raises
    ------
    ValueError
        If there is no such person, image or target, or a rater gave no usable point there.
    """
    agreements = agreements.copy()
    places = _places(agreements)
    given = points.dropna(subset=['x']).set_index(['image', 'label', 'method'])[['x', 'y', 'z']]
    given = given.sort_index()
    for override in overrides:
        where = f'{path}, line {override.line}'
        rows = places.get((override.participant_id, override.label), [])
        rows = [i for i in rows if override.image in ('', agreements.at[i, 'image'])]
        if not rows:
            image = f', image {override.image}' if override.image else ''
            raise ValueError(
                f'{where}: no rater has a file of {override.participant_id}{image} with the '
                f'target {override.label!r}; correct the row'
            )
        for row in rows:
            if agreements.at[row, 'agreeing'].split() != list(override.raters):
                _replace(agreements, row, override, given, where)
    return agreements


def _places(agreements: pd.DataFrame) -> dict[tuple[str, str], list[int]]:
    places: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(agreements['participant_id'], agreements['label'], strict=True)):
        places.setdefault(key, []).append(row)
    return places


def _replace(
    agreements: pd.DataFrame, row: int, override: Override, given: pd.DataFrame, where: str
) -> None:
    image, label = agreements.at[row, 'image'], override.label
    keys = {rater: (image, label, RATER + rater) for rater in override.raters}
    missing = [rater for rater, key in keys.items() if key not in given.index]
    if missing:
        raise ValueError(
            f'{where}: {missing[0]!r} gave no usable point of {label} in {image}; name raters who '
            f'did, or {NOBODY}'
        )
    mean = given.loc[list(keys.values())].mean() if keys else dict.fromkeys('xyz', np.nan)
    for axis in 'xyz':
        agreements.at[row, axis] = mean[axis]
    agreements.at[row, 'agreeing'] = ' '.join(override.raters)
    agreements.at[row, 'status'] = _STATUSES.get(len(keys), 'consensus')
    agreements.at[row, 'overridden'] = True
