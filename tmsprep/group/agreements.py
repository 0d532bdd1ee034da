"""The consensus of the raters of every image, to be reviewed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
import pandas as pd

from tmsprep.evaluation.consensus import CONSENSUS_STATUSES, Agreement, consensus
from tmsprep.evaluation.errors import CONSENSUS
from tmsprep.group.points import COLUMNS as POINT_COLUMNS
from tmsprep.group.raters import RaterPoints
from tmsprep.protocols import Protocol

COLUMNS = (
    *('participant_id', 'image', 'label', 'n_raters', 'agreeing', 'status'),
    *('overridden', 'x', 'y', 'z', 'largest_distance_mm'),
)

STATUSES = {
    **CONSENSUS_STATUSES,
    'crossval_reference': 'what the cross-validation compared with, as no rater is given here',
}
"""Closed vocabulary of the status of the consensus, with its meaning."""


def agreement_table(
    read: Iterable[RaterPoints], protocol: Protocol, threshold_mm: float
) -> pd.DataFrame:
    """Find who agrees on what, by Baxter et al. 2021, section 2.1.

    Parameters
    ----------
    read : iterable of RaterPoints
        Those of one image stand together.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Largest distance between raters who agree.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`; one row per image with a file, and target. 'agreeing' are the names of raters
        with blanks between them, 'largest_distance_mm' is that between any two who gave the
        point, whether they agree or not.
    """
    rows = []
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
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(names: tuple[str, ...], agreement: Agreement) -> tuple[object, ...]:
    agreeing = ' '.join(names[i] for i in agreement.agreeing)
    return agreeing, agreement.status, False, *agreement.point.tolist()


def _largest_distances(given: np.ndarray) -> np.ndarray:
    """Largest distance between two raters per target; `given` has the shape (raters, n, 3)."""
    apart = np.linalg.norm(given[:, None] - given[None], axis=-1).reshape(-1, given.shape[1])
    known = (np.isfinite(given).all(axis=2)).sum(axis=0) > 1
    return np.where(known, np.nan_to_num(apart, nan=-1.0).max(axis=0), np.nan)


def consensus_points(agreements: pd.DataFrame) -> pd.DataFrame:
    """Turn agreements into points of the method 'consensus'.

    Parameters
    ----------
    agreements : pandas.DataFrame
        Of `agreement_table`, perhaps overridden.
    """
    given = agreements.assign(method=CONSENSUS, repetition=np.nan, dispersion_mm=np.nan)
    return given[list(POINT_COLUMNS)].reset_index(drop=True)
