"""The one table of a group: a row per person, image, target, method and repetition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from tmsprep.bids.names import natural_key
from tmsprep.evaluation.errors import CONSENSUS, CROSSVAL, RATER
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

COLUMNS = (
    *('participant_id', 'image', 'method', 'repetition', 'label'),
    *('x', 'y', 'z', 'status', 'dispersion_mm'),
)
"""Coordinates in mm, RAS+, scanner frame of the image; NaN if missing."""

_ORDER = ('cnn', 'syn', CROSSVAL, RATER, CONSENSUS)


def rows_of(
    points: PointSet, image: str, method: str, statuses: Sequence[str]
) -> Iterable[tuple[object, ...]]:
    """Yield the rows of one set of points, as `point_table` takes them.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    image : str
        Name of the T1w without its suffix.
    method : str
        Who or what gave them.
    statuses : sequence of str
        One per point.
    """
    participant = image.split('_')[0]
    rows = zip(points.labels, points.coordinates.tolist(), statuses, strict=True)
    for label, (x, y, z), status in rows:
        yield participant, image, method, np.nan, label, x, y, z, status, np.nan


def point_table(rows: Iterable[tuple[object, ...]]) -> pd.DataFrame:
    """Make the table of `COLUMNS` from rows; there may be none."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    numbers = ['repetition', 'x', 'y', 'z', 'dispersion_mm']
    return table.astype(dict.fromkeys(numbers, np.float64))


def in_order(table: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Sort by person, image, method, repetition and target.

    Parameters
    ----------
    table : pandas.DataFrame
        With `COLUMNS`.
    protocol : Protocol
        The order of the targets.
    """
    keys = pd.DataFrame(
        {
            'participant_id': table['participant_id'].map(_places(table['participant_id'])),
            'image': table['image'].map(_places(table['image'])),
            'method': table['method'].map(_method_places(table['method'])),
            'repetition': table['repetition'].fillna(0),
            'label': table['label'].map({label: i for i, label in enumerate(protocol.labels)}),
        }
    )
    order = keys.sort_values(list(keys), kind='stable').index
    return table.loc[order].reset_index(drop=True)


def methods_in_order(methods: Iterable[str]) -> list[str]:
    """Sort methods: networks, registration, cross-validation, raters, their consensus."""
    return sorted(set(methods), key=lambda method: (_kind(method), natural_key(method)))


def _kind(method: str) -> int:
    return next((i for i, kind in enumerate(_ORDER) if method.startswith(kind)), len(_ORDER))


def _places(names: pd.Series) -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted(names.unique(), key=natural_key))}


def _method_places(methods: pd.Series) -> dict[str, int]:
    return {name: place for place, name in enumerate(methods_in_order(methods))}
