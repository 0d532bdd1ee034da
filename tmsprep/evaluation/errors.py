"""Distances of points from the raters' consensus, from other raters, and from repetitions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tmsprep.evaluation.consensus import agree
from tmsprep.evaluation.status import DISAGREEMENT_MM

AXES = ['x', 'y', 'z']

#: Columns that identify a point: this target, in this image of this participant.
POINT = ['participant_id', 'image', 'label']

#: Columns of every table of errors.
COLUMNS = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']

#: Method of the reference points.
CONSENSUS = 'consensus'

#: Prefixes of the methods of raters, variants in cross-validation, and ensembles of these.
RATER, CROSSVAL, ENSEMBLE = 'rater-', 'crossval-', 'ensemble-'

_REFERENCE = ['reference_x', 'reference_y', 'reference_z']


def errors_against_consensus(points: pd.DataFrame) -> pd.DataFrame:
    """Distance of every point from the consensus for its image and target.

    A rater whose point alone is the consensus has no error: the distance of 0 mm would say
    nothing (Baxter et al. 2021, Table 2, leaves these cells empty).

    Parameters
    ----------
    points : pandas.DataFrame
        One row per participant, image, target, method and repetition; `x`, `y`, `z` in mm, RAS+,
        NaN if missing. Rows with the method 'consensus' are the reference.

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


def expert_variability(errors: pd.DataFrame) -> pd.DataFrame:
    """Distance of each rater from the consensus (Baxter et al. 2021, Table 2, Expert Var.).

    The rater took part in that consensus, so this underestimates an expert's error: by the factor
    ``sqrt((k - 1) / k)`` if k raters scatter alike. Raters who are too far off to be in the
    consensus are counted as well.

    Parameters
    ----------
    errors : pandas.DataFrame
        Result of `errors_against_consensus`.

    Returns
    -------
    pandas.DataFrame
        The rows of raters.
    """
    return errors[errors['method'].str.startswith(RATER)]


def leave_one_rater_out(
    points: pd.DataFrame, threshold_mm: float = DISAGREEMENT_MM
) -> pd.DataFrame:
    """Distance of each rater from the consensus of the others.

    The rater has no part in the reference, just as an algorithm has none. With one other rater,
    that rater's point is the reference.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors_against_consensus`; methods 'rater-<name>' are used.
    threshold_mm : float
        Largest distance between raters who agree, see `consensus.agree`.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, `others` (number of raters in the reference) and `status` (of the others'
        consensus); `error_mm` is NaN without such a consensus, and where the rater gave no point.

    Raises
    ------
    ValueError
        If the threshold is not a positive number.
    """
    raters = points[points['method'].str.startswith(RATER)]
    if raters.empty:
        return pd.DataFrame(columns=[*COLUMNS, 'others', 'status'])
    groups = raters.groupby(POINT, sort=False)
    point, place = groups.ngroup().to_numpy(), groups.cumcount().to_numpy()
    given = np.full((point.max() + 1, place.max() + 1, 3), np.nan)
    given[point, place] = raters[AXES].to_numpy(float)
    error, others = np.empty(len(raters)), np.empty(len(raters), int)
    status = np.empty(len(raters), object)
    for left_out in range(given.shape[1]):
        own = place == left_out
        rest = agree(np.delete(given, left_out, axis=1)[point[own]], threshold_mm)
        error[own] = np.linalg.norm(given[point[own], left_out] - rest.points, axis=1)
        others[own], status[own] = rest.agreeing.sum(axis=1), rest.statuses
    found = raters.assign(repetition=np.nan, error_mm=error, others=others, status=status)
    # All raters of a point next to each other.
    in_order = np.argsort(point, kind='stable')
    return found[[*COLUMNS, 'others', 'status']].iloc[in_order].reset_index(drop=True)


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
        error of the mean point (Baxter et al. 2021, Table 4). If one repetition is missing, or
        there is only one, so is the ensemble.
    """
    single = predictions.assign(
        method=CROSSVAL + predictions['variant'], error_mm=_distance(predictions)
    )
    grouped = predictions.groupby([*POINT, 'variant'], sort=False)
    mean = grouped[[*AXES, *_REFERENCE]].mean()
    # Ensembles of fewer members would not be comparable.
    size = grouped['x'].size()
    whole = (grouped['x'].count() == size) & (size > 1)
    mean = mean.assign(error_mm=np.where(whole, _distance(mean), np.nan)).reset_index()
    mean = mean.assign(method=ENSEMBLE + mean['variant'], repetition=np.nan)
    return pd.concat([single[COLUMNS], mean[COLUMNS]], ignore_index=True)


def error_per_image(errors: pd.DataFrame) -> pd.DataFrame:
    """Average repetitions, so that each image has one error per target and method.

    Parameters
    ----------
    errors : pandas.DataFrame
        `COLUMNS`. Several rows of one method, such as repetitions, become their mean; missing
        ones are left out.

    Returns
    -------
    pandas.DataFrame
        Index `POINT`, one column per method, mm.
    """
    return errors.groupby([*POINT, 'method'])['error_mm'].mean().unstack('method')


def dispersion(predictions: np.ndarray) -> np.ndarray:
    """Mean distance of repeated predictions from their mean.

    Baxter et al. 2021, equation 3: ``D = 1/N sum_r |P_r - 1/N sum_n P_n|``. Values for different
    numbers of repetitions are not comparable: with N independent repetitions the expectation is
    ``sqrt((N - 1) / N)`` of that around the true mean.

    Parameters
    ----------
    predictions : numpy.ndarray
        Shape (repetitions, points, 3), mm.

    Returns
    -------
    numpy.ndarray
        Shape (points,), mm; 0 for a single repetition.

    Examples
    --------
    >>> dispersion(np.array([[[0.0, 0, 0]], [[6.0, 0, 0]]]))
    array([3.])
    """
    centre = predictions.mean(axis=0)
    return np.linalg.norm(predictions - centre, axis=-1).mean(axis=0)


def repetition_deviations(points: pd.DataFrame) -> pd.DataFrame:
    """Distance of each repetition from the mean of all: the terms of the `dispersion`.

    Baxter et al. 2021, equation 3, is their mean per point; Table 2 pools them over participants
    and repetitions (n = 130 for 26 participants).

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors_against_consensus`; rows without a repetition are left out.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, `error_mm` being the distance; NaN if one repetition is missing, or there is
        only one.
    """
    repeated = points[points['repetition'].notna()]
    groups = repeated.groupby([*POINT, 'method'], sort=False)
    apart = repeated[AXES].to_numpy(float) - groups[AXES].transform('mean').to_numpy(float)
    # Means of fewer repetitions would not be comparable.
    size = groups['x'].transform('size')
    whole = (groups['x'].transform('count') == size) & (size > 1)
    distance = np.where(whole, np.linalg.norm(apart, axis=1), np.nan)
    return repeated.assign(error_mm=distance)[COLUMNS]


def _distance(table: pd.DataFrame) -> np.ndarray:
    apart = table[AXES].to_numpy(float) - table[_REFERENCE].to_numpy(float)
    return np.linalg.norm(apart, axis=1)
