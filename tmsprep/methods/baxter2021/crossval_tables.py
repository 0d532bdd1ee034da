"""Tables of a cross-validation: every prediction, ensembles of the repetitions, summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import dispersion
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.volume import to_volume_mm
from tmsprep.learning.folds import Job
from tmsprep.methods.baxter2021.prepared import Prepared
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

STATUSES = {
    'ok': 'localised, and there is a reference',
    'outside_volume': 'localised, but outside of the conformed volume: no use',
    'no_reference': 'localised, but without a reference there is no error',
    'failed': 'not localised: the image could not be used, nobody in training has the target, '
    'or the training diverged',
}
"""Closed vocabulary of the status column, with its meaning."""

AXES = ['x', 'y', 'z']
REFERENCE = ['reference_x', 'reference_y', 'reference_z']
ALL, CHRONIC_PAIN = 'ALL', 'CHRONIC_PAIN'
"""Rows of the summary over all targets, and over those for chronic pain (Table 2, MEAN)."""

_GROUP = ['participant_id', 'image', 'variant', 'label']


def prediction_table(
    cohort: Sequence[Prepared],
    results: Sequence[tuple[Job, Mapping[str, PointSet]]],
    labels: Sequence[str],
) -> pd.DataFrame:
    """One row per job, left-out image and target, whatever happened.

    Parameters
    ----------
    cohort : sequence of Prepared
        Everyone, also those who could not be prepared.
    results : sequence of tuple
        Job, and what `run_job` gave for it.
    labels : sequence of str
        Targets, in table order.
    """
    rows = [
        row
        for job, found in results
        for person in cohort
        if person.participant in job.left_out
        for row in _rows(job, person, found.get(person.name), labels)
    ]
    return pd.DataFrame(rows)


def _rows(
    job: Job, person: Prepared, found: PointSet | None, labels: Sequence[str]
) -> Iterator[dict]:
    points = PointSet.from_mapping({}, labels) if found is None else found.reindex(labels)
    reference = person.points.reindex(labels)
    errors = points.distance(reference)
    outside = _outside(points, person)
    for i, label in enumerate(labels):
        yield {
            'participant_id': person.participant,
            'image': person.name,
            'variant': job.variant,
            'repetition': job.repetition,
            'fold': job.fold,
            'label': label,
            **dict(zip(AXES, points.coordinates[i], strict=True)),
            **dict(zip(REFERENCE, reference.coordinates[i], strict=True)),
            'error_mm': errors[i],
            'status': _status(points.found[i], outside[i], reference.found[i]),
        }


def _outside(points: PointSet, person: Prepared) -> np.ndarray:
    """Boolean, shape (targets,): which points no image can hold."""
    if not person.affine:
        return np.zeros(len(points), bool)
    place = to_volume_mm(points.coordinates, np.array(person.affine))
    return points.found & ((place < 0) | (place > CONFORMED_SIZE)).any(axis=1)


def _status(found: bool, outside: bool, has_reference: bool) -> str:
    if not found:
        return 'failed'
    if outside:
        return 'outside_volume'
    return 'ok' if has_reference else 'no_reference'


def ensemble_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Mean of the repetitions and their dispersion, one row per image, variant and target.

    The dispersion is equation 3 of Baxter et al. 2021. If one repetition is missing, so are both:
    ensembles of fewer members would not be comparable.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of `prediction_table`.
    """
    rows = []
    for key, group in predictions.groupby(_GROUP, sort=False):
        points, reference = group[AXES].to_numpy(), group[REFERENCE].to_numpy()[0]
        centre = points.mean(axis=0)
        rows.append(
            {
                **dict(zip(_GROUP, key, strict=True)),
                'repetitions': len(group),
                **dict(zip(AXES, centre, strict=True)),
                **dict(zip(REFERENCE, reference, strict=True)),
                'error_mm': np.linalg.norm(centre - reference),
                'single_error_mm': group['error_mm'].mean(skipna=False),
                'dispersion_mm': dispersion(points[:, None])[0],
                'status': _status(
                    np.isfinite(centre).all(),
                    (group['status'] == 'outside_volume').any(),
                    np.isfinite(reference).all(),
                ),
            }
        )
    return pd.DataFrame(rows)


def deviations(predictions: pd.DataFrame) -> pd.Series:
    """Distance of each prediction from the mean of its repetitions, mm: the terms of equation 3.

    Their mean over repetitions is the dispersion; Table 2 gives their mean and sd over people and
    repetitions (n = 130 for 26 people).
    """
    centres = predictions.groupby(_GROUP, sort=False)[AXES].transform(
        lambda column: column.mean(skipna=False)
    )
    apart = predictions[AXES].to_numpy() - centres.to_numpy()
    return pd.Series(np.linalg.norm(apart, axis=1), index=predictions.index)


def summary_table(
    predictions: pd.DataFrame, ensemble: pd.DataFrame, protocol: Protocol
) -> pd.DataFrame:
    """Errors and dispersion per variant and target, and over targets, as in Tables 2 and 4.

    'single' pools the errors of all repetitions, 'ensemble' takes the error of their mean point,
    'dispersion' pools the distances from it (see `deviations`).

    Parameters
    ----------
    predictions, ensemble : pandas.DataFrame
        Of `prediction_table` and `ensemble_table`.
    protocol : Protocol
        The targets; those for chronic pain are averaged too, if there are any.
    """
    spread = predictions.assign(error_mm=deviations(predictions))
    kinds = {'single': predictions, 'ensemble': ensemble, 'dispersion': spread}
    rows = []
    for variant in predictions['variant'].unique():
        for kind, table in kinds.items():
            table = table[table['variant'] == variant]
            for name, labels in _summary_groups(protocol).items():
                values = table.loc[table['label'].isin(labels), 'error_mm'].to_numpy()
                rows.append({'variant': variant, 'kind': kind, 'label': name, **describe(values)})
    return pd.DataFrame(rows)


def _summary_groups(protocol: Protocol) -> dict[str, list[str]]:
    """Name of each row of the summary to the targets it is made of."""
    pain = [t.label for t in protocol.targets if 'chronic pain' in t.type]
    groups = {label: [label] for label in protocol.labels} | {ALL: list(protocol.labels)}
    return groups | ({CHRONIC_PAIN: pain} if pain else {})


def describe(values: np.ndarray) -> dict[str, float]:
    """Summarise distances in mm; missing ones are left out, and n says how many are not.

    The sd is that of a sample (n - 1); it is missing for a single value.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return {'n': 0} | dict.fromkeys(('mean', 'sd', 'median', 'p95', 'max'), np.nan)
    return {
        'n': len(known),
        'mean': known.mean(),
        'sd': known.std(ddof=1) if len(known) > 1 else np.nan,
        'median': np.median(known),
        'p95': np.percentile(known, 95),
        'max': known.max(),
    }
