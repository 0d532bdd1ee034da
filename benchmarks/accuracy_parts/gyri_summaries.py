"""From one row per point, or per gyrus, to the tables on gyri."""

from __future__ import annotations

import numpy as np
import pandas as pd

from accuracy_parts.gyri import NEAR_MM
from accuracy_parts.summaries import ALL

#: Statuses that say that a point may lie in another gyrus than it should.
WRONG, UNKNOWN = 'wrong_gyrus', 'gyrus_unknown'


def by_gyrus(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe where the points of each group and method lie, per target and of all first.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result of `judge_people`, of many.

    Returns
    -------
    pandas.DataFrame
        group, method, label, people, points, failed (points that the method did not give), inside
        and near (shares of the others), farthest (mm from the gyrus), error (mean mm from the
        reference) and depth (mean mm below the crown).
    """
    tables = []
    rows = rows[~rows['method'].isin(('reference', 'astray'))]
    for (group, method), part in rows.groupby(['group', 'method'], sort=False):
        for label, some in [(ALL, part), *part.groupby('label', sort=False)]:
            tables.append({'group': group, 'method': method, 'label': label, **_describe(some)})
    return pd.DataFrame(tables)


def _describe(rows: pd.DataFrame) -> dict[str, float]:
    known = rows[rows['gyrus_mm'].notna()]
    return {
        'people': rows['participant_id'].nunique(),
        'points': len(rows),
        'failed': int(rows['x'].isna().sum()),
        'inside': known['inside'].mean(),
        'near': (known['gyrus_mm'] <= NEAR_MM).mean() if len(known) else np.nan,
        'farthest': known['gyrus_mm'].max(),
        'error': rows['error_mm'].mean(),
        'depth': known['depth_mm'].mean(),
    }


def warnings(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the points that were flagged, of those in, near and far from their gyrus.

    Returns
    -------
    pandas.DataFrame
        group, method, where ('inside', 'near' but not inside, 'far'), points, wrong_gyrus,
        gyrus_unknown and other (points with these statuses, the last with any but 'ok'), and the
        10th, 50th and 90th percentile of the probability of the right gyrus.
    """
    # Without a status, 'n/a', nobody judged the point.
    rows = rows[rows['gyrus_mm'].notna() & rows['status'].notna() & (rows['status'] != 'n/a')]
    where = np.where(rows['gyrus_mm'] > NEAR_MM, 'far', 'near')
    rows = rows.assign(where=np.where(rows['inside'] == 1, 'inside', where))
    tables = []
    for (group, method), part in rows.groupby(['group', 'method'], sort=False):
        for place in ('inside', 'near', 'far'):
            some = part[part['where'] == place]
            status, chance = some['status'], _chance(some)
            other = ~status.isin(['ok', WRONG, UNKNOWN])
            tables.append(
                {
                    'group': group,
                    'method': method,
                    'where': place,
                    'points': len(status),
                    WRONG: int((status == WRONG).sum()),
                    UNKNOWN: int((status == UNKNOWN).sum()),
                    'other': int(other.sum()),
                    **{f'p{q}': chance.quantile(q / 100) for q in (10, 50, 90)},
                }
            )
    return pd.DataFrame(tables)


def _chance(rows: pd.DataFrame) -> pd.Series:
    """Return the probability of the right gyrus; NaN where no network told it."""
    return rows['gyrus_probability'] if 'gyrus_probability' in rows else rows['gyrus_mm'] * np.nan


def mean_dice(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe the Dice of each group, gyrus and side: people, mean, least."""
    rows = rows[rows['dice'].notna()]
    grouped = rows.groupby(['group', 'gyrus', 'side'], sort=False)['dice']
    return grouped.agg(people='count', mean='mean', least='min').reset_index()
