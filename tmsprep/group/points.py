"""The table of points: one row per participant, image, target, method and repetition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tmsprep.bids.names import natural_key
from tmsprep.evaluation.consensus import CONSENSUS_STATUSES, Agreement, consensus
from tmsprep.evaluation.errors import AXES, CONSENSUS, CROSSVAL, RATER
from tmsprep.evaluation.membership import DISTANCE
from tmsprep.evaluation.offsets import OFFSET
from tmsprep.evaluation.status import RADIUS
from tmsprep.evaluation.template import MNI, MNI_FROM
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import SETTLED, Column, column

if TYPE_CHECKING:
    from tmsprep.group.raters import RaterPoints

#: Columns that every table of points must have.
_GIVEN = ('participant_id', 'image', 'method', 'repetition', 'label', *AXES, 'status')

#: Numbers that only some methods state.
STATED = ('dispersion_mm', RADIUS, SETTLED, *MNI)

#: Columns of the table of points; x, y, z in mm, RAS+, scanner frame of the image; NaN where
#: missing.
COLUMNS = (*_GIVEN, *STATED, MNI_FROM, DISTANCE)

#: Descriptions of those of `COLUMNS` that are not in every table.
STATED_COLUMNS: dict[str, Column] = {
    RADIUS: column(
        'Radius of the ball around the point that holds 90 % of errors in people like those of '
        'the calibration',
        'mm',
    ),
}

#: Columns of the table of agreements beyond the common ones.
AGREEMENT_COLUMNS: dict[str, Column] = {
    'n_raters': column('Number of raters who gave a usable point'),
    'agreeing': column('Raters whose mean the consensus is; --agreement-overrides can change it'),
    'overridden': column('Whether --agreement-overrides changed the row'),
    'largest_distance_mm': column(
        'Largest distance between two raters, whether they agree or not', 'mm'
    ),
}

_AGREEMENTS = (
    *('participant_id', 'image', 'label', 'n_raters', 'agreeing', 'status'),
    *('overridden', 'x', 'y', 'z', 'largest_distance_mm'),
)

#: Every status of the consensus, with its meaning.
STATUSES = {
    **CONSENSUS_STATUSES,
    'crossval_reference': 'reference of the cross-validation, as no rater is given here',
}


def rows_of(
    points: PointSet, image: str, method: str, statuses: Sequence[str]
) -> Iterable[tuple[object, ...]]:
    """Yield the rows of one set of points, as `point_table` takes them.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    image : str
        Name of the image without its suffix.
    method : str
        Method or rater that gave the points.
    statuses : sequence of str
        One per point.
    """
    participant = image.split('_')[0]
    rows = zip(points.labels, points.coordinates.tolist(), statuses, strict=True)
    for label, (x, y, z), status in rows:
        yield participant, image, method, np.nan, label, x, y, z, status


def point_table(rows: Iterable[tuple[object, ...]]) -> pd.DataFrame:
    """Make the table of `COLUMNS` from the results of `rows_of`; there may be none."""
    table = pd.DataFrame(list(rows), columns=list(_GIVEN))
    return in_columns(table.astype(dict.fromkeys(('repetition', *AXES), np.float64)))


def in_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Bring a table of points into the columns of `COLUMNS`; what it does not state is NaN."""
    table = table.reindex(columns=list(COLUMNS))
    return table.astype({**dict.fromkeys((*STATED, DISTANCE), np.float64), MNI_FROM: object})


def in_order(
    tables: Iterable[pd.DataFrame], labels: Sequence[str], first: Sequence[str]
) -> pd.DataFrame:
    """Join tables of points, sorted by participant, image, method, repetition and target.

    Parameters
    ----------
    tables : iterable of pandas.DataFrame
        With `COLUMNS`.
    labels : sequence of str
        Targets in the order of the protocol.
    first : sequence of str
        Methods that come first, in this order; see `methods_in_order`.
    """
    table = pd.concat([part for part in tables if len(part)] or [point_table([])])
    table = table.reset_index(drop=True)
    methods = methods_in_order(table['method'], first)
    keys = {name: _natural_places(table[name]) for name in ('participant_id', 'image')}
    keys['method'] = table['method'].map({name: i for i, name in enumerate(methods)})
    keys['repetition'] = table['repetition'].fillna(0)
    keys['label'] = table['label'].map({label: i for i, label in enumerate(labels)})
    order = pd.DataFrame(keys).sort_values(list(keys), kind='stable').index
    return table.loc[order].reset_index(drop=True)


def methods_in_order(methods: Iterable[str], first: Sequence[str]) -> list[str]:
    """Sort methods: those of the protocol, cross-validation, raters, consensus, others.

    Those with an offset follow the method that they are made of.
    """
    kinds = (CROSSVAL, RATER, CONSENSUS)

    def kind(method: str) -> int:
        made_of = method.removesuffix(OFFSET)
        if made_of in first:
            return list(first).index(made_of)
        places = (i for i, prefix in enumerate(kinds) if method.startswith(prefix))
        return len(first) + next(places, len(kinds))

    return sorted(set(methods), key=lambda method: (kind(method), natural_key(method)))


def _natural_places(names: pd.Series) -> pd.Series:
    ordered = sorted(names.unique(), key=natural_key)
    return names.map({name: place for place, name in enumerate(ordered)})


def agreement_table(
    read: Iterable[RaterPoints], protocol: Protocol, threshold_mm: float
) -> pd.DataFrame:
    """Find the raters who agree on each point (Baxter et al. 2021, section 2.1).

    Parameters
    ----------
    read : iterable of RaterPoints
        Grouped by image.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Largest distance between raters who agree.

    Returns
    -------
    pandas.DataFrame
        One row per annotated image and target: `participant_id`, `image`, `label`, `n_raters`,
        `agreeing` (names of raters, separated by blanks), `status` (see `STATUSES`),
        `overridden` (False), `x`, `y`, `z` (mm, RAS+, NaN without a consensus) and
        `largest_distance_mm` (between any two raters, whether they agree or not).
    """
    rows: list[tuple[object, ...]] = []
    for image, several in groupby(read, key=lambda points: points.file.image.stem):
        raters = {points.file.rater: points.usable for points in several}
        _, agreements = consensus(raters, protocol.labels, threshold_mm)
        given = np.stack([points.coordinates for points in raters.values()])
        farthest, names = _largest_distances(given), tuple(raters)
        numbers = np.isfinite(given).all(axis=2).sum(axis=0).tolist()
        start = (image.split('_')[0], image)
        rows += [
            (*start, label, numbers[i], *_row(names, agreements[i]), farthest[i])
            for i, label in enumerate(protocol.labels)
        ]
    return pd.DataFrame(rows, columns=list(_AGREEMENTS))


def _row(names: tuple[str, ...], agreement: Agreement) -> tuple[object, ...]:
    agreeing = ' '.join(names[i] for i in agreement.agreeing)
    return agreeing, agreement.status, False, *agreement.point.tolist()


def _largest_distances(given: np.ndarray) -> np.ndarray:
    """Largest distance between two raters per target; `given` has the shape (raters, n, 3)."""
    apart = np.linalg.norm(given[:, None] - given[None], axis=-1).reshape(-1, given.shape[1])
    known = (np.isfinite(given).all(axis=2)).sum(axis=0) > 1
    return np.where(known, np.nan_to_num(apart, nan=-1.0).max(axis=0), np.nan)


def consensus_points(agreements: pd.DataFrame) -> pd.DataFrame:
    """Turn the result of `agreement_table` into points of the method 'consensus'."""
    given = agreements.assign(method=CONSENSUS, repetition=np.nan)
    return in_columns(given).reset_index(drop=True)
