"""What a cross-validation left in the outputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.names import BidsError
from tmsprep.evaluation.errors import CROSSVAL
from tmsprep.group.points import COLUMNS
from tmsprep.protocols import Protocol

PREDICTIONS = 'crossval_predictions.tsv'
_REFERENCE = ('reference_x', 'reference_y', 'reference_z')
_PREDICTED = (
    *('participant_id', 'image', 'variant', 'repetition', 'label'),
    *('x', 'y', 'z', *_REFERENCE, 'error_mm', 'status'),
)


def read_predictions(out_dir: Path, wanted: Iterable[str] = ()) -> pd.DataFrame | None:
    """Read the points that a cross-validation predicted; None if there was none.

    Parameters
    ----------
    out_dir : Path
        Folder of the outputs.
    wanted : iterable of str
        Labels of participants; nobody for all.

    Raises
    ------
    BidsError
        If the table cannot be read or lacks a column.
    """
    path = Path(out_dir) / PREDICTIONS
    if not path.is_file():
        return None
    try:
        # 'none' is a variant, so nothing but n/a is missing.
        table = pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])
        missing = [name for name in _PREDICTED if name not in table]
        if missing:
            raise ValueError(f'it has no column {missing[0]!r}')
        numbers = ['repetition', 'x', 'y', 'z', *_REFERENCE, 'error_mm']
        table = table.astype(dict.fromkeys(numbers, np.float64))
    except (OSError, ValueError) as error:
        raise BidsError(
            f'{path}: cannot be read ({error}). Run crossval again, or take the file away.'
        ) from error
    if wanted:
        table = table[table['participant_id'].isin([f'sub-{label}' for label in wanted])]
    return table.reset_index(drop=True)


def predicted_points(predictions: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Turn a cross-validation's table into points of the methods 'crossval-<variant>'.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of `read_predictions`.
    protocol : Protocol
        The targets; others are left out.
    """
    known = predictions[predictions['label'].isin(protocol.labels)]
    points = known.assign(method=CROSSVAL + known['variant'], dispersion_mm=np.nan)
    return points[list(COLUMNS)].reset_index(drop=True)


def references(predictions: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Return the points that a cross-validation compared with, one row per image and target.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of `read_predictions`.
    protocol : Protocol
        The targets; others are left out.
    """
    known = predictions[predictions['label'].isin(protocol.labels)]
    known = known.drop_duplicates(['image', 'label'])
    table = known[['participant_id', 'image', 'label', *_REFERENCE]]
    return table.rename(columns=dict(zip(_REFERENCE, 'xyz', strict=True))).reset_index(drop=True)
