"""Tables of a cross-validation: ensembles of the repetitions, and summaries."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import dispersion
from tmsprep.methods.learner import PREDICTION_COLUMNS, STATUSES
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column

AXES = ['x', 'y', 'z']
REFERENCE = ['reference_x', 'reference_y', 'reference_z']

#: Rows of the summary over all targets, and over those for chronic pain (Table 2, MEAN).
ALL, CHRONIC_PAIN = 'ALL', 'CHRONIC_PAIN'

_GROUP = ['participant_id', 'image', 'variant', 'label']

_VARIANT = column(
    'Residual layers of the network',
    separate='of their own at each level',
    shared='common to all levels',
    none='none',
)

#: Columns of the tables of predictions and of ensembles beyond the common ones.
COLUMNS: dict[str, Column] = {
    **PREDICTION_COLUMNS,
    'variant': _VARIANT,
    'status': column(
        'What is known about the point',
        **STATUSES,
        outside_volume='localised, but outside of the conformed volume: no use',
    ),
    'repetitions': column('Number of predictions that were averaged'),
    'single_error_mm': column('Mean error of the repetitions, one at a time', 'mm'),
    'dispersion_mm': column(
        'Mean distance of the repetitions from their mean (Baxter et al. 2021, equation 3)', 'mm'
    ),
}

#: Columns of the summary beyond the common ones.
SUMMARY_COLUMNS: dict[str, Column] = {
    'variant': _VARIANT,
    'label': column(
        f'Name of the target; {ALL} is all targets, {CHRONIC_PAIN} all targets for chronic pain'
    ),
    'kind': column(
        'What is summarised',
        single='errors of single predictions, all repetitions together',
        ensemble='errors of the mean of the repetitions',
        dispersion='distances of single predictions from the mean of the repetitions',
    ),
}


def status_of(found: bool, outside: bool, has_reference: bool) -> str:
    """Judge one point."""
    if not found:
        return 'failed'
    if outside:
        return 'outside_volume'
    return 'ok' if has_reference else 'no_reference'


def ensemble_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Mean of the repetitions and their dispersion, one row per image, variant and target.

    The dispersion is equation 3 of Baxter et al. 2021. If one repetition is missing, so are both:
    ensembles of fewer members would not be comparable. A single one has no dispersion.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Table of predictions.
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
                'dispersion_mm': dispersion(points[:, None])[0] if len(group) > 1 else np.nan,
                'status': status_of(
                    np.isfinite(centre).all(),
                    (group['status'] == 'outside_volume').any(),
                    np.isfinite(reference).all(),
                ),
            }
        )
    return pd.DataFrame(rows)


def deviations(predictions: pd.DataFrame) -> pd.Series:
    """Distance of each prediction from the mean of its repetitions, mm: the terms of equation 3.

    Their mean over repetitions is the dispersion; Table 2 gives their mean and sd over
    participants and repetitions (n = 130 for 26 participants). NaN for a single repetition.
    """
    centres = predictions.groupby(_GROUP, sort=False)[AXES].transform(
        lambda column: column.mean(skipna=False) if len(column) > 1 else np.nan
    )
    apart = predictions[AXES].to_numpy() - centres.to_numpy()
    return pd.Series(np.linalg.norm(apart, axis=1), index=predictions.index)


def summary_table(
    predictions: pd.DataFrame, ensemble: pd.DataFrame, protocol: Protocol
) -> pd.DataFrame:
    """Errors and dispersion per variant and target, and over targets, as in Tables 2 and 4.

    'single' pools the errors of all repetitions, 'ensemble' takes the error of their mean point,
    'dispersion' pools the distances from it (see `deviations`). A single repetition has neither.

    Parameters
    ----------
    predictions, ensemble : pandas.DataFrame
        Table of predictions, and result of `ensemble_table`.
    protocol : Protocol
        The targets; those for chronic pain are averaged too, if there are any.
    """
    spread = predictions.assign(error_mm=deviations(predictions))
    several = ensemble[ensemble['repetitions'] > 1]
    kinds = {'single': predictions, 'ensemble': several, 'dispersion': spread}
    rows = []
    for variant in predictions['variant'].unique():
        for kind, table in kinds.items():
            table = table[table['variant'] == variant]
            for name, labels in _summary_groups(protocol).items():
                values = table.loc[table['label'].isin(labels), 'error_mm'].to_numpy()
                rows.append({'variant': variant, 'kind': kind, 'label': name, **summarise(values)})
    return pd.DataFrame(rows)


def _summary_groups(protocol: Protocol) -> dict[str, list[str]]:
    """Name of each row of the summary to the targets it is made of."""
    pain = [t.label for t in protocol.targets if 'chronic pain' in t.type]
    groups = {label: [label] for label in protocol.labels} | {ALL: list(protocol.labels)}
    return groups | ({CHRONIC_PAIN: pain} if pain else {})


def summarise(values: np.ndarray) -> dict[str, float]:
    """Summarise distances in mm; missing ones are left out, and n counts the others.

    Returns
    -------
    dict
        'n', 'mean', 'sd' (of a sample; NaN for a single value), 'median', 'p95' and 'max'; NaN
        without any value.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return {'n': 0} | dict.fromkeys(('mean', 'sd', 'median', 'p95', 'max'), float('nan'))
    return {
        'n': len(known),
        'mean': float(known.mean()),
        'sd': float(known.std(ddof=1)) if len(known) > 1 else float('nan'),
        'median': float(np.median(known)),
        'p95': float(np.percentile(known, 95)),
        'max': float(known.max()),
    }
