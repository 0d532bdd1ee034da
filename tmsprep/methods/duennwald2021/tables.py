"""Tables of Duennwald et al. 2021: localisation, segmentation, contrast ratios."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from tmsprep.evaluation.statistics import bootstrap_mean, icc_agreement

#: Values of the column `augmentation`.
AUGMENTED, NOT_AUGMENTED = 'with', 'without'

#: Directions as the paper names them, by the plane that they cross: x to the right, y to the
#: front, z to the head (rostrocaudal).
AXES = {'sagittal': 'dx_mm', 'coronal': 'dy_mm', 'axial': 'dz_mm'}

#: Both sides together.
BOTH = 'both'

#: Columns of contrast ratios; those of the rater begin with ``manual_``.
CONTRASTS = ('cr_median', 'cr_maximum')

_KEYS = ['image', 'participant', 'fold', 'augmentation', 'label']


def localisation_errors(points: pd.DataFrame, voxel_mm: float = 0.75) -> pd.DataFrame:
    """Subtract the reference from every localised point.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns `image`, `participant`, `fold`, `augmentation` (`AUGMENTED` or `NOT_AUGMENTED`),
        `label`, `x`, `y`, `z`, `reference_x`, `reference_y`, `reference_z` (mm, RAS+, NaN where
        missing), `status`.
    voxel_mm : float
        Edge of the voxels in which the paper states errors too.

    Returns
    -------
    pandas.DataFrame
        One row per row of `points`: the first five columns, `dx_mm`, `dy_mm`, `dz_mm`,
        `error_mm` (Euclidean), `error_vx`; NaN if either point is missing.
    """
    found = points[['x', 'y', 'z']].to_numpy(float)
    reference = points[['reference_x', 'reference_y', 'reference_z']].to_numpy(float)
    errors = points[_KEYS].reset_index(drop=True)
    errors[list(AXES.values())] = found - reference
    errors['error_mm'] = np.linalg.norm(found - reference, axis=1)
    errors['error_vx'] = errors['error_mm'] / voxel_mm
    return errors


def table1(errors: pd.DataFrame, *, seed: int = 1) -> pd.DataFrame:
    """Mean and sd of the errors, with and without augmentation (Table 1 of the paper).

    The predictions of all folds are pooled, as the paper does; confidence intervals draw
    participants, so that the folds' predictions of one participant do not count as several.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `localisation_errors`.
    seed : int
        For the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per `augmentation` and `label`: `mean_mm`, `sd_mm` (of the sample), `mean_vx`,
        `sd_vx`, `n` (predictions), `people` (participants), `missing` (no prediction or no
        reference),
        `ci_low_mm`, `ci_high_mm` (95 %).
    """
    rows = []
    for (augmentation, label), group in _groups(errors, 'augmentation', 'label'):
        known = group.dropna(subset='error_mm')
        interval = bootstrap_mean(known['error_mm'].to_numpy(), known['participant'], seed=seed)
        row = {'augmentation': augmentation, 'label': label}
        for unit in ('mm', 'vx'):
            row[f'mean_{unit}'] = known[f'error_{unit}'].mean()
            row[f'sd_{unit}'] = known[f'error_{unit}'].std(ddof=1)
        row |= {'n': len(known), 'people': known['participant'].nunique()}
        row |= {'missing': len(group) - len(known)}
        rows.append(row | {'ci_low_mm': interval.low, 'ci_high_mm': interval.high})
    return pd.DataFrame(rows, columns=_TABLE1)


_TABLE1 = [
    *('augmentation', 'label', 'mean_mm', 'sd_mm', 'mean_vx', 'sd_vx'),
    *('n', 'people', 'missing', 'ci_low_mm', 'ci_high_mm'),
]


def augmentation_effect(errors: pd.DataFrame, *, seed: int = 1) -> pd.DataFrame:
    """Compare training with and without augmentation, by participant.

    The paper: errors with augmentation "are often less than half"; it leaves the test open. Each
    participant's errors are averaged over the folds first; participants with one way only are left
    out.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `localisation_errors`.
    seed : int
        For the confidence interval.

    Returns
    -------
    pandas.DataFrame
        One row per `label`: `with_mm`, `without_mm` (means over participants), `ratio` (with over
        without; 0.5 is half), `difference_mm` (with less without) and its 95 % interval
        `ci_low_mm`, `ci_high_mm`, `people` (participants).
    """
    rows = []
    for (label,), group in _groups(errors, 'label'):
        means = group.pivot_table('error_mm', 'participant', 'augmentation', aggfunc='mean')
        means = means.reindex(columns=[AUGMENTED, NOT_AUGMENTED]).dropna()
        first, second = means[AUGMENTED].mean(), means[NOT_AUGMENTED].mean()
        difference = (means[AUGMENTED] - means[NOT_AUGMENTED]).to_numpy(float)
        interval = bootstrap_mean(difference, means.index.to_numpy(), seed=seed)
        row = {'label': label, 'with_mm': first, 'without_mm': second}
        row |= {'ratio': first / second if second else np.nan, 'difference_mm': first - second}
        row |= {'ci_low_mm': interval.low, 'ci_high_mm': interval.high}
        rows.append(row | {'people': len(means)})
    return pd.DataFrame(rows, columns=_EFFECT)


_EFFECT = [
    *('label', 'with_mm', 'without_mm', 'ratio'),
    *('difference_mm', 'ci_low_mm', 'ci_high_mm', 'people'),
]


def axis_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Mean squared error along each axis (section 3 of the paper).

    The paper gives these numbers in mm; squares of mm are mm2.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `localisation_errors`.

    Returns
    -------
    pandas.DataFrame
        One row per `augmentation`, `label` and `axis` (`AXES`): `mse_mm2`, `sd_mm2` (of the
        squares, of the sample), `mae_mm` (mean absolute error), `bias_mm` (mean signed error),
        `n`.
    """
    rows = []
    for (augmentation, label), group in _groups(errors, 'augmentation', 'label'):
        for axis, column in AXES.items():
            values = group[column].dropna()
            squares = values**2
            rows.append(
                {
                    **{'augmentation': augmentation, 'label': label, 'axis': axis},
                    **{'mse_mm2': squares.mean(), 'sd_mm2': squares.std(ddof=1)},
                    **{'mae_mm': values.abs().mean(), 'bias_mm': values.mean()},
                    'n': len(values),
                }
            )
    return pd.DataFrame(rows, columns=_AXIS)


_AXIS = ['augmentation', 'label', 'axis', 'mse_mm2', 'sd_mm2', 'mae_mm', 'bias_mm', 'n']


def constant_errors(points: pd.DataFrame) -> pd.DataFrame:
    """Errors of a baseline that ignores the image: the mean position in the other participants.

    The mean is in the scanner's frame, so that the errors are small where all heads, such as
    phantoms, have the same position in the scanner. The paper has no such row.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `localisation_errors`.

    Returns
    -------
    pandas.DataFrame
        One row per `label`: `mean_mm`, `sd_mm` (of the sample), `people` (participants).
    """
    axes = ['reference_x', 'reference_y', 'reference_z']
    rows = []
    for (label,), group in _groups(points, 'label'):
        positions = group.dropna(subset=axes).groupby('participant')[axes].mean().to_numpy(float)
        n = len(positions)
        errors = pd.Series(dtype=float)
        if n > 1:
            # The mean of the others is n / (n - 1) times as far away as the mean of all.
            away = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
            errors = pd.Series(away * n / (n - 1))
        row = {'label': label, 'mean_mm': errors.mean(), 'sd_mm': errors.std(ddof=1)}
        rows.append(row | {'people': n})
    return pd.DataFrame(rows, columns=['label', 'mean_mm', 'sd_mm', 'people'])


def figure2(segments: pd.DataFrame) -> pd.DataFrame:
    """Summarise Dice and false discovery rate as boxplots do (Figure 2 of the paper).

    Parameters
    ----------
    segments : pandas.DataFrame
        Columns `image`, `participant`, `fold`, `method` ('npp', 'pp', 'lpp'), `hemisphere` ('L',
        'R'), `dice`, `fdr`; NaN where not defined.

    Returns
    -------
    pandas.DataFrame
        One row per `method`, `hemisphere` and `measure` ('dice', 'fdr'): `minimum`, `quartile1`,
        `median`, `quartile3`, `maximum`, `mean`, `n`, `undefined` (left out: the rate of a mask
        that is empty, the Dice of two that are).
    """
    rows = []
    for (method, side), group in _groups(segments, 'method', 'hemisphere'):
        for measure in ('dice', 'fdr'):
            values = group[measure].dropna().to_numpy(float)
            five = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) if len(values) else [np.nan] * 5
            row = {'method': method, 'hemisphere': side, 'measure': measure}
            row |= dict(zip(_FIVE, five, strict=True))
            row |= {'mean': values.mean() if len(values) else np.nan, 'n': len(values)}
            rows.append(row | {'undefined': len(group) - len(values)})
    return pd.DataFrame(rows, columns=['method', 'hemisphere', 'measure', *_FIVE, *_REST])


_FIVE = ('minimum', 'quartile1', 'median', 'quartile3', 'maximum')
_REST = ('mean', 'n', 'undefined')


def icc_table(segments: pd.DataFrame) -> pd.DataFrame:
    """Agreement of automatic with manual contrast ratios, per fold and method.

    The paper does not state how it joins the sides: they are given one by one, and as `BOTH` with
    two rows per participant, which makes the interval too narrow.

    Parameters
    ----------
    segments : pandas.DataFrame
        Columns `fold`, `method`, `hemisphere`, `cr_median`, `cr_maximum`, `manual_cr_median`,
        `manual_cr_maximum`; NaN where a mask is empty.

    Returns
    -------
    pandas.DataFrame
        One row per `fold`, `method`, `hemisphere` ('L', 'R', `BOTH`) and `measure` ('cr_median',
        'cr_maximum'): `icc`, `ci_low`, `ci_high` (see `statistics.icc_agreement`), `n`, `missing`
        (rows without a ratio, because nothing was labelled).
    """
    rows = []
    sides = [*pd.unique(segments['hemisphere']), BOTH]
    for (fold, method), group in _groups(segments, 'fold', 'method'):
        for side, measure in product(sides, CONTRASTS):
            part = group if side == BOTH else group[group['hemisphere'] == side]
            found = icc_agreement(part[[measure, f'manual_{measure}']].to_numpy(float))
            row = {'fold': fold, 'method': method, 'hemisphere': side, 'measure': measure}
            row |= {'icc': found.icc, 'ci_low': found.low, 'ci_high': found.high}
            rows.append(row | {'n': found.n, 'missing': len(part) - found.n})
    return pd.DataFrame(rows, columns=[*_ICC_KEYS, 'icc', 'ci_low', 'ci_high', 'n', 'missing'])


_ICC_KEYS = ['fold', 'method', 'hemisphere', 'measure']


def mean_icc(iccs: pd.DataFrame) -> pd.DataFrame:
    """Average the ICC over folds (section 3 of the paper).

    Parameters
    ----------
    iccs : pandas.DataFrame
        Of `icc_table`.

    Returns
    -------
    pandas.DataFrame
        One row per `method`, `hemisphere` and `measure`: `icc` (mean), `lowest`, `highest` of
        the folds, `folds` (with an ICC), `undefined` (folds without).
    """
    rows = []
    for keys, group in _groups(iccs, *_ICC_KEYS[1:]):
        known = group['icc'].dropna()
        row = dict(zip(_ICC_KEYS[1:], keys, strict=True))
        row |= {'icc': known.mean(), 'lowest': known.min(), 'highest': known.max()}
        rows.append(row | {'folds': len(known), 'undefined': len(group) - len(known)})
    columns = [*_ICC_KEYS[1:], 'icc', 'lowest', 'highest', 'folds', 'undefined']
    return pd.DataFrame(rows, columns=columns)


def _groups(table: pd.DataFrame, *columns: str) -> list[tuple[tuple, pd.DataFrame]]:
    """Group rows in the order in which their values first appear."""
    return list(table.groupby(list(columns), sort=False, dropna=False))
