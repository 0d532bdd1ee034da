"""From the points of all registrations to the tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from tmsprep.methods.base import points_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet

from accuracy_parts.gyri import NEAR_MM, Labels, against_labels
from accuracy_parts.jobs import Job, collect
from accuracy_parts.judged import upwards
from accuracy_parts.measure import PROTOCOL, as_points
from accuracy_parts.subjects import Subject
from registration_parts.register import ANTS, EXACT

#: The program's default registration, to which others are compared.
DEFAULT = 'syn'

#: The median of several heads, and each head alone.
MEDIAN, ONE = 'heads', 'one head'

#: Methods in the order of the page.
METHODS = (DEFAULT, EXACT, ANTS, ONE, MEDIAN)


def summarise(jobs: Mapping[str, Sequence[Job]], out: Path) -> dict[str, pd.DataFrame]:
    """Make the tables of what has been measured.

    Returns
    -------
    dict
        'points', one row per group and method, see `compare`; 'targets', the same per target;
        'times', see `times`; 'masks', see `describe_masks`.
    """
    rows = judge(jobs, out)
    targets = [compare(some).assign(label=label) for label, some in rows.groupby('label')]
    return {
        'points': compare(rows),
        'targets': pd.concat(targets).set_index('label').loc[list(PROTOCOL.labels)].reset_index(),
        'times': times(jobs, out),
        'masks': describe_masks(collect(jobs['masks'], out)),
    }


def judge(jobs: Mapping[str, Sequence[Job]], out: Path) -> pd.DataFrame:
    """Compare all points with the labels of gyri and with the reference.

    Returns
    -------
    pandas.DataFrame
        One row per point of `METHODS`: group, participant_id, method, label, gyrus_mm, inside
        (see `against_labels`) and error_mm; of `ONE`, one for each head.
    """
    parts = []
    for job in jobs['cnn']:
        subject, up = job.subject, upwards(_located(job, out), PROTOCOL)
        assert subject.mask is not None
        labels = Labels.read(subject.mask)
        for method, points in _registered(subject, jobs, out):
            rows = against_labels(points, labels, PROTOCOL, up)
            error = points.distance(subject.points)
            identity = {'participant_id': subject.name, 'group': subject.group}
            parts.append(rows.assign(method=method, error_mm=error, **identity))
    columns = ['group', 'participant_id', 'method', 'label', 'gyrus_mm', 'inside', 'error_mm']
    return pd.concat(parts, ignore_index=True)[columns]


def _located(job: Job, out: Path) -> PointSet:
    """Read the points that a method of the program has found; all missing if it has failed."""
    return points_of(Outcome.read(job.path(out)), PROTOCOL)


def _registered(
    subject: Subject, jobs: Mapping[str, Sequence[Job]], out: Path
) -> list[tuple[str, PointSet]]:
    """List the points in one participant that were measured, with their methods."""
    own = [job for part in ('exact', 'heads', 'ants') for job in jobs[part]]
    own = [job for job in own if job.subject is subject]
    found = [(j.method, as_points(collect([j], out))) for j in own if j.path(out).is_file()]
    heads = [points for method, points in found if method.startswith('head-')]
    default = [(DEFAULT, _located(job, out)) for job in jobs['syn'] if job.subject is subject]
    others = [(ONE if method.startswith('head-') else method, points) for method, points in found]
    if heads and len(heads) == sum(job.method.startswith('head-') for job in own):
        others.append((MEDIAN, median_points(heads)))
    return default + others


def median_points(points: Sequence[PointSet]) -> PointSet:
    """Return the median of several sets of points along each axis; missing ones do not count.

    >>> sets = [PointSet(('a',), np.array([[x, 0.0, -x]])) for x in (1.0, 2.0, 9.0)]
    >>> median_points(sets).coordinates
    array([[ 2.,  0., -2.]])
    """
    places = np.ma.masked_invalid([one.coordinates for one in points])
    return PointSet(points[0].labels, np.ma.median(places, axis=0).filled(np.nan))


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe each method, and the default registration of the same participants.

    Returns
    -------
    pandas.DataFrame
        One row per group and method: people, points, failed; inside, near (shares), error (mean
        mm from the reference); inside_default, near_default, error_default; and difference, the
        mean over participants of their difference in error, with low and high, its 95 % interval
        (t, between participants; NaN with one).
    """
    tables = []
    for group, some in rows.groupby('group', sort=False):
        default = some[some['method'] == DEFAULT]
        for method in METHODS:
            own = some[some['method'] == method]
            same = default[default['participant_id'].isin(own['participant_id'])]
            if len(own):
                row = {'group': group, 'method': method, **_describe(own)}
                row |= {f'{key}_default': value for key, value in _shares(same).items()}
                tables.append({**row, **_difference(own, same)})
    return pd.DataFrame(tables)


def _describe(rows: pd.DataFrame) -> dict[str, float]:
    return {
        'people': rows['participant_id'].nunique(),
        'points': len(rows),
        'failed': int(rows['gyrus_mm'].isna().sum()),
        **_shares(rows),
    }


def _shares(rows: pd.DataFrame) -> dict[str, float]:
    known = rows[rows['gyrus_mm'].notna()]
    return {
        'inside': known['inside'].mean(),
        'near': (known['gyrus_mm'] <= NEAR_MM).mean() if len(known) else np.nan,
        'error': rows['error_mm'].mean(),
    }


def _difference(own: pd.DataFrame, same: pd.DataFrame) -> dict[str, float]:
    """Mean difference in error, own minus default, on points that both have, and its interval."""
    paired = own.merge(same, on=['participant_id', 'label'], suffixes=('', '_default'))
    difference = paired['error_mm'] - paired['error_mm_default']
    each = difference.groupby(paired['participant_id']).mean().dropna()
    half = stats.t.ppf(0.975, len(each) - 1) * each.sem() if len(each) > 1 else np.nan
    mean = each.mean()
    return {'difference': mean, 'low': mean - half, 'high': mean + half}


def times(jobs: Mapping[str, Sequence[Job]], out: Path) -> pd.DataFrame:
    """Median time of one registration: method, registrations, cpu_min, elapsed_min."""
    kinds = {
        'the program, default': [*jobs['exact'], *jobs['heads']],
        ANTS: jobs['ants'],
    }
    rows = []
    for name, some in kinds.items():
        tables = [collect([job], out) for job in some if job.path(out).is_file()]
        if tables:
            median = pd.concat(
                [table[['cpu_s', 'elapsed_s']].head(1) for table in tables]
            ).median()
            cpu, elapsed = median / 60
            rows.append((name, len(tables), cpu, elapsed))
    return pd.DataFrame(rows, columns=['method', 'registrations', 'cpu_min', 'elapsed_min'])


def describe_masks(rows: pd.DataFrame) -> pd.DataFrame:
    """Describe brain masks: group, program, people, mean dice, least, missed, beyond, volume."""
    if rows.empty:
        return rows
    rows = rows.assign(volume=rows['found_ml'] / rows['exact_ml'])
    grouped = rows.groupby(['group', 'program'], sort=False)
    return grouped.agg(
        people=('dice', 'count'),
        dice=('dice', 'mean'),
        least=('dice', 'min'),
        missed=('missed', 'mean'),
        beyond=('beyond', 'mean'),
        volume=('volume', 'mean'),
    ).reset_index()
