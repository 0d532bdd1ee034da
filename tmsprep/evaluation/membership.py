"""How many points of each method lie in the gyrus of their target, without any reference point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.evaluation.statistics import bootstrap_mean
from tmsprep.tables import SETTLED, Column, column

#: Column of a table of points: distance from the gyrus of the target, 0 in it, mm.
DISTANCE = 'gyrus_distance_mm'

#: A point this near to the gyrus is counted as near, mm: the edge of a voxel of a parcellation.
NEAR_MM = 2.0

#: Descriptions of the columns, beyond the common ones, of `membership_table` and its source.
COLUMNS: dict[str, Column] = {
    DISTANCE: column(
        'Distance from the gyrus of the target, as the parcellation of the image '
        '(desc-gyri_dseg) has it; 0 in it',
        'mm',
    ),
    'inside': column('Share of points in the gyrus of their target, 0 to 1'),
    'ci_low': column('Lower end of the 95 % confidence interval of that share, by bootstrap'),
    'ci_high': column('Upper end of the 95 % confidence interval of that share, by bootstrap'),
    'near': column(f'Share of points in that gyrus or within {NEAR_MM:g} mm of it, 0 to 1'),
}

_MOVED = f'its points were moved to the middle of that gyrus ({SETTLED}), which flatters it'

_COLUMNS = ['label', 'method', 'inside', 'ci_low', 'ci_high', 'near', 'n', 'people', 'reason']


def membership_table(
    points: pd.DataFrame, rows: Mapping[str, tuple[str, ...]], seed: int
) -> pd.DataFrame:
    """Share of the points of each method in, and near, the gyrus of their target.

    Parameters
    ----------
    points : pandas.DataFrame
        One row per point, with 'participant_id', 'label', 'method', `DISTANCE` (NaN where it is
        not known), and `SETTLED` if points of some method were moved.
    rows : mapping
        Name of a row to the targets that are pooled.
    seed : int
        Seed of the confidence intervals, for which participants are drawn.

    Returns
    -------
    pandas.DataFrame
        One row per row and method: `label`, `method`, `inside` with `ci_low` and `ci_high`
        (95 %), `near`, `n` (points), `people` (participants), `reason` (why there is no interval,
        or that the points were moved to the middle of that very gyrus, which flatters them).

    Examples
    --------
    >>> points = pd.DataFrame({'participant_id': ['sub-1', 'sub-2'], 'label': 'A'})
    >>> points[['method', 'gyrus_distance_mm']] = [['first', 0.0], ['first', 1.5]]
    >>> table = membership_table(points, {'A': ('A',)}, 1)
    >>> table[['inside', 'near', 'n']].to_numpy().tolist()
    [[0.5, 1.0, 2.0]]
    """
    known = points.dropna(subset=[DISTANCE])
    found = [
        {'label': name, 'method': method, **_shares(own[own['label'].isin(labels)], seed)}
        for name, labels in rows.items()
        for method, own in known.groupby('method', sort=False)
    ]
    return pd.DataFrame(found, columns=_COLUMNS)


def _shares(own: pd.DataFrame, seed: int) -> dict[str, Any]:
    inside = (own[DISTANCE] == 0).to_numpy(float)
    interval = bootstrap_mean(inside, own['participant_id'], seed=seed)
    moved = SETTLED in own and own[SETTLED].notna().any()
    reasons = [interval.reason if len(inside) else 'no values', _MOVED if moved else '']
    return {
        'inside': inside.mean() if len(inside) else np.nan,
        'ci_low': interval.low,
        'ci_high': interval.high,
        'near': float((own[DISTANCE] <= NEAR_MM).mean()) if len(inside) else np.nan,
        'n': len(own),
        'people': own['participant_id'].nunique(),
        'reason': '; '.join(filter(None, reasons)),
    }
