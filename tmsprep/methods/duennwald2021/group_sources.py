"""Where the group level of the locus coeruleus has its numbers from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.group.issues import Issue

CROSSVAL, PARTICIPANT = 'crossval', 'participant'
"""Levels whose outputs are measured."""

POINT_COLUMNS = (
    *('image', 'participant', 'fold', 'augmentation', 'label', 'x', 'y', 'z', 'status'),
    *('reference_x', 'reference_y', 'reference_z'),
)
SEGMENT_COLUMNS = (
    *('image', 'participant', 'fold', 'method', 'hemisphere', 'status', 'dice', 'fdr'),
    *('volume_mm3', 'cr_median', 'cr_maximum'),
    *('manual_volume_mm3', 'manual_cr_median', 'manual_cr_maximum', 'seconds'),
)
"""Columns of `crossval_points.tsv` and `crossval_segmentation.tsv`."""

_WORDS = ('image', 'participant', 'augmentation', 'label', 'method', 'hemisphere', 'status')


class Measured(NamedTuple):
    """Points and segmentations of one level beside a rater's.

    Parameters
    ----------
    points, segments : pandas.DataFrame
        `POINT_COLUMNS`, mm, RAS+; `SEGMENT_COLUMNS`. NaN where missing.
    issues : list of Issue
        Who is missing or failed.
    roles : dict
        Full label of each known participant to what it was there for.
    settings : dict
        What the level's sidecar says of how it was done.
    """

    points: pd.DataFrame
    segments: pd.DataFrame
    issues: list[Issue]
    roles: dict[str, str]
    settings: dict[str, object]


def as_numbers(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Choose columns; what is no word becomes a number.

    Parameters
    ----------
    table : pandas.DataFrame
        As read, or made of rows that may lack a value.
    columns : tuple of str
        `POINT_COLUMNS` or `SEGMENT_COLUMNS`.

    Raises
    ------
    ValueError
        If a number is none.
    """
    table = table.reindex(columns=list(columns))
    numbers = [name for name in columns if name not in _WORDS]
    return table.astype(dict.fromkeys(numbers, np.float64)).reset_index(drop=True)


def nothing() -> Measured:
    """Return what a level that has not been run has measured."""
    return Measured(as_numbers(pd.DataFrame(), POINT_COLUMNS), no_segments(), [], {}, {})


def no_segments() -> pd.DataFrame:
    """Return a table of segmentations without rows."""
    return as_numbers(pd.DataFrame(), SEGMENT_COLUMNS)
