"""How much experts differ, and repeated predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tmsprep.evaluation.consensus_many import agree_many
from tmsprep.evaluation.errors import AXES, COLUMNS, POINT, RATER
from tmsprep.evaluation.status import DISAGREEMENT_MM


def expert_variability(errors: pd.DataFrame) -> pd.DataFrame:
    """Distance of each rater from the consensus (Baxter et al. 2021, Table 2, Expert Var.).

    The rater helped to make that consensus, so this is too small as a measure of an expert's
    error: by the factor ``sqrt((k - 1) / k)`` if k raters scatter alike. Those too far off to be
    in the consensus are counted as well.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `errors.errors_against_consensus`.

    Returns
    -------
    pandas.DataFrame
        Its rows of raters.
    """
    return errors[errors['method'].str.startswith(RATER)]


def leave_one_rater_out(
    points: pd.DataFrame, threshold_mm: float = DISAGREEMENT_MM
) -> pd.DataFrame:
    """Distance of each rater from the consensus of the others.

    The rater has no say in what the distance is measured from, as an algorithm has none. With
    one other rater that one's point stands for the consensus.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors.errors_against_consensus`; methods 'rater-<name>' are used.
    threshold_mm : float
        Of the consensus, see `consensus.agree`.

    Returns
    -------
    pandas.DataFrame
        `errors.COLUMNS`, `others` (how many raters the distance is measured from) and `status`
        (of the others' consensus); `error_mm` is NaN without such a consensus, and where the
        rater gave no point.

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
        rest = agree_many(np.delete(given, left_out, axis=1)[point[own]], threshold_mm)
        error[own] = np.linalg.norm(given[point[own], left_out] - rest.points, axis=1)
        others[own], status[own] = rest.agreeing.sum(axis=1), rest.statuses
    found = raters.assign(repetition=np.nan, error_mm=error, others=others, status=status)
    # All raters of a point stand together.
    in_order = np.argsort(point, kind='stable')
    return found[[*COLUMNS, 'others', 'status']].iloc[in_order].reset_index(drop=True)


def repetition_deviations(points: pd.DataFrame) -> pd.DataFrame:
    """Distance of each repetition from the mean of all: the terms of the dispersion.

    Baxter et al. 2021, equation 3, is their mean per point; Table 2 pools them over people and
    repetitions (n = 130 for 26 people).

    Parameters
    ----------
    points : pandas.DataFrame
        As for `errors.errors_against_consensus`; rows without a repetition are passed over.

    Returns
    -------
    pandas.DataFrame
        `errors.COLUMNS`, `error_mm` being the distance; NaN if one repetition is missing.
    """
    repeated = points[points['repetition'].notna()]
    groups = repeated.groupby([*POINT, 'method'], sort=False)
    apart = repeated[AXES].to_numpy(float) - groups[AXES].transform('mean').to_numpy(float)
    # Those of fewer repetitions would not be comparable.
    whole = groups['x'].transform('count') == groups['x'].transform('size')
    distance = np.where(whole, np.linalg.norm(apart, axis=1), np.nan)
    return repeated.assign(error_mm=distance)[COLUMNS]
