"""Tables that a cross-validation left in the outputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.names import BidsError
from tmsprep.evaluation.errors import CONSENSUS, CROSSVAL
from tmsprep.group.issues import Issue
from tmsprep.group.points import in_columns
from tmsprep.protocols import Protocol
from tmsprep.text import open_text

#: Every status of a predicted point, with its meaning.
STATUSES = {
    'ok': 'found',
    'no_reference': 'predicted by cross-validation, without a point to compare with',
    'failed': 'no point',
}

_WORDS = ('participant_id', 'image', 'variant', 'label', 'status')
_REFERENCE = ('reference_x', 'reference_y', 'reference_z')
_PREDICTED = (*_WORDS, 'repetition', 'x', 'y', 'z', *_REFERENCE, 'error_mm')

#: References closer than this are the same: tables have fewer digits than the raters' files.
_SAME_MM = 0.01


def read_crossval(
    path: Path,
    columns: Sequence[str],
    words: Collection[str],
    wanted: Sequence[str] = (),
    participant: str = 'participant_id',
) -> pd.DataFrame | None:
    """Read one table of a cross-validation; None if there is none.

    Parameters
    ----------
    path : Path
        The table.
    columns : sequence of str
        Columns that it must have.
    words : collection of str
        Those of them that hold text; the others hold numbers, NaN where missing.
    wanted : sequence of str
        Labels of participants without 'sub-'; empty for all.
    participant : str
        Name of the column of participants in the result.

    Returns
    -------
    pandas.DataFrame or None
        `columns`, and no others.

    Raises
    ------
    BidsError
        If the table cannot be read or lacks a column.
    """
    if not path.is_file():
        return None
    try:
        # A variant may be called 'none' and a label 'NA': only n/a is missing.
        table = pd.read_csv(open_text(path), sep='\t', keep_default_na=False, na_values=['n/a'])
        table = table.rename(columns={'participant_id': participant})
        missing = [name for name in columns if name not in table]
        if missing:
            raise ValueError(f'it has no column {missing[0]!r}')
        numbers = [name for name in columns if name not in words]
        table = table[list(columns)].astype(dict.fromkeys(numbers, np.float64))
    except (OSError, ValueError) as error:
        raise BidsError(
            f'{path}: cannot be read ({error}). Run crossval again, or delete the file.'
        ) from error
    if wanted:
        table = table[table[participant].isin([f'sub-{label}' for label in wanted])]
    return table.reset_index(drop=True)


def read_predictions(
    path: Path, protocol: Protocol, wanted: Sequence[str] = ()
) -> pd.DataFrame | None:
    """Read the predicted points of a cross-validation; None if there are none.

    Parameters
    ----------
    path : Path
        The table.
    protocol : Protocol
        The targets; others are left out.
    wanted : sequence of str
        As for `read_crossval`.
    """
    table = read_crossval(path, _PREDICTED, _WORDS, wanted)
    if table is None:
        return None
    return table[table['label'].isin(protocol.labels)].reset_index(drop=True)


def predicted_points(predictions: pd.DataFrame) -> pd.DataFrame:
    """Turn the result of `read_predictions` into points of the methods 'crossval-<variant>'."""
    return in_columns(predictions.assign(method=CROSSVAL + predictions['variant'].astype(str)))


def reference_points(
    predictions: pd.DataFrame, agreements: pd.DataFrame
) -> tuple[pd.DataFrame, list[Issue]]:
    """Take the references of a cross-validation for images without raters; compare the others.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Result of `read_predictions`.
    agreements : pandas.DataFrame
        Result of `tmsprep.group.points.agreement_table`.

    Returns
    -------
    points : pandas.DataFrame
        Points of the method 'consensus'.
    issues : list of Issue
        A warning if the consensus of the raters has changed since the cross-validation.
    """
    known = predictions.drop_duplicates(['image', 'label'])
    known = known[['participant_id', 'image', 'label', *_REFERENCE]]
    known = known.rename(columns=dict(zip(_REFERENCE, 'xyz', strict=True))).reset_index(drop=True)
    alone = known[~known['image'].isin(agreements['image'])]
    points = in_columns(
        alone.assign(
            method=CONSENSUS,
            repetition=np.nan,
            status=np.where(alone['x'].notna(), 'crossval_reference', 'missing'),
        )
    )
    both = known.merge(agreements, on=['image', 'label'], suffixes=('', '_now'))
    now = both[['x_now', 'y_now', 'z_now']].to_numpy(dtype=np.float64)
    apart = np.linalg.norm(both[['x', 'y', 'z']].to_numpy() - now, axis=1)
    changed = int((apart > _SAME_MM).sum() + (both['x'].isna() != both['x_now'].isna()).sum())
    message = (
        f'{changed} points of the consensus are not those that crossval was run with (other '
        'files, threshold or overrides), and errors in crossval are relative to those. Run '
        'crossval again'
    )
    return points, [Issue('', message, 'warning')] if changed else []
