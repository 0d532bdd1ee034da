"""Distances of all methods and raters from the consensus, one row per point."""

from __future__ import annotations

import numpy as np
import pandas as pd

AXES = ['x', 'y', 'z']
POINT = ['participant_id', 'image', 'label']
"""What one point is: of this person, in this image, this target."""

COLUMNS = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
"""Columns of every table of errors."""

CONSENSUS, RATER, CROSSVAL, ENSEMBLE = 'consensus', 'rater-', 'crossval-', 'ensemble-'
"""Method of the reference, and how the names of raters, variants and their ensembles begin."""

_REFERENCE = ['reference_x', 'reference_y', 'reference_z']


def errors_against_consensus(points: pd.DataFrame) -> pd.DataFrame:
    """Measure how far every point lies from the consensus of its image and target.

    A rater whose point alone is the consensus has no error: the distance of 0 mm would say
    nothing (Baxter et al. 2021, Table 2, leaves these cells empty).

    Parameters
    ----------
    points : pandas.DataFrame
        One row per person, image, target, method and repetition; `x`, `y`, `z` in mm, RAS+, NaN
        if missing. Rows with the method 'consensus' are the reference.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, one row per row of `points` that is not the consensus; `error_mm` is NaN where
        either is missing.

    Raises
    ------
    ValueError
        If an image has two consensus points for one target.
    """
    reference = points.loc[points['method'] == CONSENSUS, [*POINT, *AXES, 'status']]
    reference = reference.set_axis([*POINT, *_REFERENCE, 'consensus'], axis=1)
    others = points[points['method'] != CONSENSUS]
    table = others.merge(reference, on=POINT, how='left', validate='many_to_one')
    error = _distance(table)
    alone = table['method'].str.startswith(RATER) & (table['consensus'] == 'single')
    table['error_mm'] = np.where(alone & (error < 1e-6), np.nan, error)
    return table[COLUMNS]


def prediction_errors(predictions: pd.DataFrame) -> pd.DataFrame:
    """Errors of a cross-validation, and of the ensembles of its repetitions.

    Parameters
    ----------
    predictions : pandas.DataFrame
        `crossval_predictions.tsv`: `participant_id`, `image`, `variant`, `repetition`, `label`,
        `x`, `y`, `z` and the `reference_` of each, mm, RAS+.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`; methods 'crossval-<variant>' with repetitions, and 'ensemble-<variant>', the
        error of the mean point (Baxter et al. 2021, Table 4). If one repetition is missing, so
        is the ensemble.
    """
    single = predictions.assign(
        method=CROSSVAL + predictions['variant'], error_mm=_distance(predictions)
    )
    grouped = predictions.groupby([*POINT, 'variant'], sort=False)
    mean = grouped[[*AXES, *_REFERENCE]].mean()
    # Ensembles of fewer members would not be comparable.
    whole = grouped['x'].count() == grouped['x'].size()
    mean = mean.assign(error_mm=np.where(whole, _distance(mean), np.nan)).reset_index()
    mean = mean.assign(method=ENSEMBLE + mean['variant'], repetition=np.nan)
    return pd.concat([single[COLUMNS], mean[COLUMNS]], ignore_index=True)


def error_per_image(errors: pd.DataFrame) -> pd.DataFrame:
    """Average repetitions, so that each image has one error per target and method.

    Parameters
    ----------
    errors : pandas.DataFrame
        `COLUMNS`. Several rows of one method, as repetitions have, become their mean; missing
        ones are left out.

    Returns
    -------
    pandas.DataFrame
        Index `POINT`, one column per method, mm.
    """
    return errors.groupby([*POINT, 'method'])['error_mm'].mean().unstack('method')


def _distance(table: pd.DataFrame) -> np.ndarray:
    apart = table[AXES].to_numpy(float) - table[_REFERENCE].to_numpy(float)
    return np.linalg.norm(apart, axis=1)
