"""Consensus overridden by hand: the raters whose mean a point is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.evaluation.errors import AXES, RATER
from tmsprep.text import open_text, plain

#: Written in place of raters, it leaves the point without a consensus.
NO_RATER = 'none'


def apply_overrides(agreements: pd.DataFrame, points: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Replace the consensus by the mean of raters that a table names.

    The table has the columns participant_id, label and agreeing, and perhaps image; without an
    image a row holds for all of the participant. It may be a copy of ``group_agreements.tsv`` in
    which 'agreeing' was changed: names of raters with blanks between them, or 'none'. Rows with
    ``n/a`` there change nothing.

    Parameters
    ----------
    agreements : pandas.DataFrame
        Result of `tmsprep.group.agreements.agreement_table`.
    points : pandas.DataFrame
        Points of the raters, see `tmsprep.group.points`.
    path : Path
        Table of the overrides, tab-separated.

    Returns
    -------
    pandas.DataFrame
        A copy, in which 'overridden' is true where a row was changed.

    Raises
    ------
    ValueError
        If the file is not such a table or holds two rows for one point; if there is no such
        participant, image or target; or if a rater gave no usable point there. The message names
        file and line.
    """
    agreements = agreements.copy()
    given = points.dropna(subset=AXES).set_index(['image', 'label', 'method'])[AXES].sort_index()
    groups = agreements.groupby(['participant_id', 'label']).groups
    lines: dict[tuple[str, ...], int] = {}
    for line, row in enumerate(_read(path), start=2):
        participant, image, label, agreeing = row
        if agreeing in ('', 'n/a'):
            continue
        where = f'{path}, line {line}'
        first = lines.setdefault((participant, image, label), line)
        if first != line:
            raise ValueError(f'{where}: {participant}, {label} is also in line {first}; keep one')
        raters = () if agreeing == NO_RATER else tuple(dict.fromkeys(agreeing.split()))
        images = agreements.loc[groups.get((participant, label), []), 'image']
        images = images[images == image] if image else images
        if images.empty:
            of_image = f', image {image}' if image else ''
            raise ValueError(
                f'{where}: no rater has a file of {participant}{of_image} with the target '
                f'{label!r}; correct the row'
            )
        for number, name in images.items():
            if tuple(agreements.at[number, 'agreeing'].split()) != raters:
                for column, value in _consensus(given, name, label, raters, where).items():
                    agreements.at[number, column] = value
    return agreements


def _read(path: Path) -> list[tuple[str, str, str, str]]:
    """Read participant, image, label and agreeing raters of each row, without blanks around."""
    required = ('participant_id', 'label', 'agreeing')
    try:
        table = pd.read_csv(
            open_text(path), sep='\t', dtype=str, keep_default_na=False, index_col=False
        )
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: cannot be read as a table ({error})') from error
    missing = [name for name in required if name not in table]
    if missing:
        raise ValueError(
            f'{path}: needs the columns {", ".join(required)}, separated by tabs; it has no '
            f'{missing[0]}'
        )
    names, labels, agreeing = (table[name].map(plain).str.strip() for name in required)
    images = table['image'].str.strip() if 'image' in table else [''] * len(table)
    participants = 'sub-' + names.str.removeprefix('sub-')
    return list(zip(participants, images, labels, agreeing, strict=True))


def _consensus(
    given: pd.DataFrame, image: str, label: str, raters: tuple[str, ...], where: str
) -> dict[str, Any]:
    """Make the changed cells of a row from the points of the chosen raters."""
    keys = [(image, label, RATER + rater) for rater in raters]
    missing = [rater for rater, key in zip(raters, keys, strict=True) if key not in given.index]
    if missing:
        raise ValueError(
            f'{where}: {missing[0]!r} gave no usable point of {label} in {image}; name raters who '
            f'did, or {NO_RATER}'
        )
    status = {0: 'no_consensus', 1: 'single'}.get(len(raters), 'consensus')
    mean = given.loc[keys].mean()
    return {'agreeing': ' '.join(raters), 'status': status, 'overridden': True, **mean}
