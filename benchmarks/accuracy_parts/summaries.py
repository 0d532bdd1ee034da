"""From one row per point to the tables of the page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from corruptions.catalogue import CORRUPTIONS

ALL = 'all'
FAR_MM = 10.0
MOTIONS = ('rotation', 'shift', 'mirror')


def describe(rows: pd.DataFrame) -> dict[str, float]:
    """Summarise errors.

    Parameters
    ----------
    rows : pandas.DataFrame
        error_mm, has_reference, dispersion_mm, error90_mm of each point.

    Returns
    -------
    dict
        ``points`` with a reference, ``failed`` of them, and of the others mean, sd (n - 1),
        median, p95 and max in mm, ``within_10`` (share), ``dispersion`` (mean, mm), ``radius``
        (mean of error90, mm) and ``coverage`` (share of errors within their error90).
    """
    rows = rows[rows['has_reference'] == 1]
    known = rows[rows['error_mm'].notna()]
    error, radius = known['error_mm'], known['error90_mm']
    calibrated = radius.notna()
    covered = (error <= radius)[calibrated]
    return {
        'points': len(rows),
        'failed': len(rows) - len(known),
        'mean': error.mean(),
        'sd': error.std(),
        'median': error.median(),
        'p95': error.quantile(0.95),
        'max': error.max(),
        'within_10': (error <= FAR_MM).mean() if len(error) else np.nan,
        'dispersion': known['dispersion_mm'].mean(),
        'radius': radius.mean(),
        'coverage': covered.mean() if len(covered) else np.nan,
    }


def by_target(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe each method's errors per target, and of all targets together first."""
    tables = []
    for method, part in rows.groupby('method', sort=True):
        groups = [(ALL, part), *part.groupby('label', sort=False)]
        tables += [{'method': method, 'label': name, **describe(g)} for name, g in groups]
    return pd.DataFrame(tables)


def by_corruption(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe each method's errors per corruption and strength.

    Where the registration saw fewer people, the network's errors on the same ones are given too,
    as method ``cnn-same-people``.
    """
    tables = []
    for name, corruption in CORRUPTIONS.items():
        for strength in corruption.strengths:
            chosen = rows[(rows['corruption'] == name) & (rows['strength'] == strength)]
            key = {'corruption': name, 'strength': strength, 'value': corruption.value(strength)}
            for method, part in _methods(chosen).items():
                tables.append({**key, 'method': method, **describe(part)})
    return pd.DataFrame(tables)


def _methods(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    found = {method: rows[rows['method'] == method] for method in ('cnn', 'syn')}
    people = set(found['syn']['participant_id'])
    same = found['cnn'][found['cnn']['participant_id'].isin(people)]
    parts = {'cnn': found['cnn'], 'cnn-same-people': same, 'syn': found['syn']}
    return {method: part for method, part in parts.items() if len(part)}


def by_promise(judged: pd.DataFrame, spoilt: pd.DataFrame) -> pd.DataFrame:
    """Tell how often the network's radius is given, and how often it holds, per group.

    Parameters
    ----------
    judged : pandas.DataFrame
        Points in images as they are: group, method, participant_id, has_reference, error_mm,
        error90_mm, any_radius_mm and gyrus_mm.
    spoilt : pandas.DataFrame
        The same in corrupted images, with corruption and strength, without group and gyrus_mm.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``people``, ``points``; ``promised``, the share with a radius, and of these the
        mean ``radius``, mm, ``coverage`` of the reference and ``reaches``, the share whose ball
        reaches the gyrus; ``withheld``, the share of the others whose reference would be within
        the radius that they were not given.
    """
    groups = list(judged[judged['method'] == 'cnn'].groupby('group', sort=False))
    cnn = spoilt[spoilt['method'] == 'cnn'] if len(spoilt) else spoilt
    for name, corruption in CORRUPTIONS.items() if len(cnn) else ():
        for strength in corruption.strengths:
            part = cnn[(cnn['corruption'] == name) & (cnn['strength'] == strength)]
            if len(part):
                groups.append((f'{name}, {strength}', part))
    return pd.DataFrame([{'group': name, **_promise(part)} for name, part in groups])


def _promise(rows: pd.DataFrame) -> dict[str, float]:
    rows = rows[rows['has_reference'] == 1]
    given = rows['error90_mm'].notna()
    promised, others = rows[given], rows[~given & rows['error_mm'].notna()]
    reached = promised.get('gyrus_mm', pd.Series(dtype=float)).dropna()
    would = others.get('any_radius_mm', pd.Series(dtype=float)).dropna()
    return {
        'people': rows['participant_id'].nunique(),
        'points': len(rows),
        'promised': given.mean(),
        'radius': promised['error90_mm'].mean(),
        'coverage': _share(promised['error_mm'] <= promised['error90_mm']),
        'reaches': _share(reached <= promised['error90_mm'][reached.index]),
        'withheld': _share(others['error_mm'][would.index] <= would),
    }


def _share(flags: pd.Series) -> float:
    return float(flags.mean()) if len(flags) else np.nan


def by_motion(rows: pd.DataFrame) -> pd.DataFrame:
    """Distance between the network's point in the moved image and its point moved, in mm."""
    tables = []
    cnn = rows[rows['method'] == 'cnn']
    for name in MOTIONS:
        for strength in CORRUPTIONS[name].strengths:
            chosen = cnn[(cnn['corruption'] == name) & (cnn['strength'] == strength)]
            apart = chosen['inconsistency_mm'].dropna()
            if len(apart):
                tables.append(
                    {
                        'motion': name,
                        'value': CORRUPTIONS[name].value(strength),
                        'points': len(apart),
                        'median': apart.median(),
                        'p95': apart.quantile(0.95),
                        'max': apart.max(),
                    }
                )
    return pd.DataFrame(tables)


def between_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """Distance in mm between the two methods per data set and target, and of all together."""
    key = ['dataset', 'participant_id', 'label']
    wide = rows.pivot_table(
        index=key, columns='method', values=['x', 'y', 'z'], dropna=False, sort=False
    )
    difference = wide.xs('cnn', axis=1, level=1) - wide.xs('syn', axis=1, level=1)
    apart = np.sqrt((difference**2).sum(axis=1, skipna=False)).rename('mm').reset_index()
    apart = apart.merge(rows[key].drop_duplicates(), on=key)
    tables = []
    for dataset, part in apart.groupby('dataset', sort=False):
        for label, group in [(ALL, part), *part.groupby('label', sort=False)]:
            tables.append(
                {
                    'dataset': dataset,
                    'label': label,
                    'people': group['participant_id'].nunique(),
                    'failed': int(group['mm'].isna().sum()),
                    'median': group['mm'].median(),
                    'max': group['mm'].max(),
                }
            )
    return pd.DataFrame(tables)


def near_cortex(rows: pd.DataFrame, near_mm: float) -> pd.DataFrame:
    """Share of points in or near grey matter, per data set and method, beside that of chance."""
    tables = []
    for (dataset, method), part in rows.groupby(['dataset', 'method'], sort=False):
        away = part['grey_mm'].dropna()
        tables.append(
            {
                'dataset': dataset,
                'method': method,
                'people': part['participant_id'].nunique(),
                'points': len(away),
                'near': (away <= near_mm).mean(),
                'farthest': away.max(),
                'chance': part['chance'].mean(),
            }
        )
    return pd.DataFrame(tables)
