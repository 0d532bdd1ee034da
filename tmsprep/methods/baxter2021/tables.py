"""Tables 2 to 5 of Baxter et al. 2021, as numbers and as the paper prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.evaluation.comparisons import Pair, comparison_table, mean_table, target_rows
from tmsprep.evaluation.errors import (
    CROSSVAL,
    ENSEMBLE,
    expert_variability,
    leave_one_rater_out,
    prediction_errors,
    repetition_deviations,
)
from tmsprep.evaluation.offsets import OFFSET
from tmsprep.evaluation.statistics import MARGIN_MM
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.protocols import Protocol

#: Methods of Table 3 that stand for all raters: measured from the consensus, and from the
#: consensus of the others.
EXPERT, EXPERT_ALONE = 'expert', 'expert-loo'

#: Residual layers in the order of Table 4: full and short headings.
VARIANTS = {
    'separate': ('Ind. Res.', 'Ind.'),
    'shared': ('Shared Res.', 'Sh.'),
    'none': ('No Res.', 'No'),
}

#: Cross-validated networks, in the order in which they are chosen for Tables 2 and 3.
CROSS_VALIDATED = (f'{CROSSVAL}shared', f'{CROSSVAL}separate', f'{CROSSVAL}none')


def choose_network(errors: pd.DataFrame, network: str) -> str:
    """Choose the method that is the CNN of Tables 2 and 3.

    Cross-validated predictions come first, as their network was not trained on the participant.
    A method with an error is preferred to one without.

    Parameters
    ----------
    errors : pandas.DataFrame
        See `errors.errors_against_consensus`.
    network : str
        Method of the network that was applied to all participants, the last choice.
    """
    known = set(errors.loc[errors['error_mm'].notna(), 'method'])
    present = set(errors['method'])
    order = (*CROSS_VALIDATED, network)
    choices = [m for m in order if m in known] + [m for m in order if m in present]
    return choices[0] if choices else network


def table2(
    points: pd.DataFrame,
    errors: pd.DataFrame,
    protocol: Protocol,
    *,
    network: str,
    registration: str,
    leave_one_out: pd.DataFrame | None = None,
    threshold_mm: float = DISAGREEMENT_MM,
    seed: int = 1,
) -> pd.DataFrame:
    """Errors of CNN and registration, dispersion, and expert variability, per target.

    Beyond the paper's columns there is one of the registration with offsets, if it has errors.

    Mean and sd pool repetitions and raters, as the paper's do; confidence intervals draw
    participants. Dispersion is that of the repetitions, and without repetitions that of the
    ensemble's members.

    Parameters
    ----------
    points, errors : pandas.DataFrame
        See `errors.errors_against_consensus`.
    protocol : Protocol
        The targets; the last row, 'MEAN', pools `mean_labels`.
    network, registration : str
        Methods in the columns 'CNN Error' and 'Reg. Error'; see `choose_network`.
    leave_one_out : pandas.DataFrame, optional
        Result of `errors.leave_one_rater_out`; computed if it is not given.
    threshold_mm : float
        Largest distance between raters who agree, for `leave_one_out`.
    seed : int
        Seed of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        See `comparisons.mean_table`; `column` is the paper's heading.
    """
    if leave_one_out is None:
        leave_one_out = leave_one_rater_out(points, threshold_mm)
    columns = {
        'CNN Error': (network, errors[errors['method'] == network]),
        'Disp.': (network, _dispersion(points, network)),
        'Reg. Error': (registration, errors[errors['method'] == registration]),
        **_offset_column(errors, registration),
        'Expert Var.': (EXPERT, expert_variability(errors)),
        'Expert Var. (leave one out)': (EXPERT_ALONE, leave_one_out),
    }
    return mean_table(columns, target_rows(protocol), seed)


def table3(
    errors: pd.DataFrame,
    protocol: Protocol,
    *,
    network: str,
    registration: str,
    leave_one_out: pd.DataFrame | None = None,
    margin_mm: float = MARGIN_MM,
    by_pair: bool = False,
    seed: int = 1,
) -> pd.DataFrame:
    """CNN, registration and experts compared, per target, paired by participant.

    Every row is one pair of methods in one target. Holm's correction is over a family of tests:
    all targets and the paper's three pairs together. Comparisons with experts left out of the
    consensus, those with the registration with offsets, and the row MEAN, are families of their
    own, since the paper has none of them.

    Parameters
    ----------
    errors : pandas.DataFrame
        See `errors.errors_against_consensus`.
    protocol : Protocol
        The targets.
    network, registration : str
        Methods that are compared; see `choose_network`.
    leave_one_out : pandas.DataFrame, optional
        Result of `errors.leave_one_rater_out`; adds the comparisons with 'expert-loo'.
    margin_mm : float
        Mean errors that differ by less are equivalent; must be positive.
    by_pair : bool
        Each pair of methods is a family by itself: less strict. The paper does not say what its
        families are; this agrees with which tests its Table 3 calls significant.
    seed : int
        Seed of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        See `comparisons.comparison_table`.

    Raises
    ------
    ValueError
        If the margin is not a positive number.
    """
    pairs = [
        Pair('CNN vs. Reg.', network, registration, 'methods and experts'),
        Pair('CNN vs. Expert', network, EXPERT, 'methods and experts'),
        Pair('Reg. vs. Expert', registration, EXPERT, 'methods and experts'),
    ]
    parts = [errors, expert_variability(errors).assign(method=EXPERT)]
    if leave_one_out is not None:
        parts.append(leave_one_out[errors.columns].assign(method=EXPERT_ALONE))
        alone = 'methods and experts left out'
        pairs += [
            Pair('CNN vs. Expert (leave one out)', network, EXPERT_ALONE, alone),
            Pair('Reg. vs. Expert (leave one out)', registration, EXPERT_ALONE, alone),
        ]
    if registration + OFFSET in set(errors['method']):
        pairs += [
            Pair('CNN vs. Reg. + Offset', network, registration + OFFSET, 'offsets'),
            Pair('Reg. vs. Reg. + Offset', registration, registration + OFFSET, 'offsets'),
        ]
    if by_pair:
        pairs = [pair._replace(family=pair.column) for pair in pairs]
    together = pd.concat([part for part in parts if len(part)] or [errors], ignore_index=True)
    return comparison_table(together, pairs, target_rows(protocol), margin_mm, seed)


def table4(predictions: pd.DataFrame, protocol: Protocol, *, seed: int = 1) -> pd.DataFrame:
    """Errors of the variants of the network, with and without ensembling, per target.

    Parameters
    ----------
    predictions : pandas.DataFrame
        `crossval_predictions.tsv`.
    protocol : Protocol
        The targets.
    seed : int
        Seed of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        As `table2`. Without ensemble the repetitions are pooled.
    """
    errors = prediction_errors(predictions)
    columns = {
        f'{heading} {kind}': (prefix + name, errors[errors['method'] == prefix + name])
        for name, (heading, _) in _variants(predictions).items()
        for prefix, kind in ((CROSSVAL, 'No Ensemble'), (ENSEMBLE, 'Ensemble'))
    }
    return mean_table(columns, target_rows(protocol), seed)


def table5(
    predictions: pd.DataFrame,
    protocol: Protocol,
    *,
    margin_mm: float = MARGIN_MM,
    seed: int = 1,
) -> pd.DataFrame:
    """Variants of the network compared, with and without ensembling; all tests are one family.

    That an ensemble beats its members averaged per participant is to be expected: by the triangle
    inequality the error of a mean point is at most the mean of the errors. The result is by how
    much.

    Parameters
    ----------
    predictions, protocol, margin_mm, seed
        As for `table4` and `table3`.

    Returns
    -------
    pandas.DataFrame
        See `comparisons.comparison_table`; negative z speaks for the variant named first. In the
        paper the sign of 'Ind. vs Sh.' is the other way round.

    Raises
    ------
    ValueError
        If the margin is not a positive number.
    """
    variants = _variants(predictions)
    pairs = [
        Pair(f'Ens. vs No ({heading})', ENSEMBLE + name, CROSSVAL + name, 'variants')
        for name, (heading, _) in variants.items()
    ]
    names = list(variants)
    adjacent = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    for prefix, kind in ((ENSEMBLE, 'With Ens.'), (CROSSVAL, 'No Ens.')):
        for a, b in adjacent:
            heading = f'{variants[a][1]} vs {variants[b][1]} ({kind})'
            pairs.append(Pair(heading, prefix + a, prefix + b, 'variants'))
    errors = prediction_errors(predictions)
    return comparison_table(errors, pairs, target_rows(protocol), margin_mm, seed)


def _offset_column(errors: pd.DataFrame, registration: str) -> dict[str, tuple[str, pd.DataFrame]]:
    """Column of Table 2 of the registration with offsets; nothing if it is not in the errors."""
    rows = errors[errors['method'] == registration + OFFSET]
    return {'Reg. + Offset Error': (registration + OFFSET, rows)} if len(rows) else {}


def _dispersion(points: pd.DataFrame, method: str) -> pd.DataFrame:
    rows = points[points['method'] == method]
    if rows['repetition'].notna().any():
        return repetition_deviations(rows)
    return rows.assign(error_mm=rows['dispersion_mm'])


def _variants(predictions: pd.DataFrame) -> dict[str, tuple[str, str]]:
    present = set(predictions['variant'])
    return {name: headings for name, headings in VARIANTS.items() if name in present}


def as_paper(table: pd.DataFrame, *, intervals: bool = False) -> pd.DataFrame:
    """Lay out a table as the paper does: one row per target, text in every cell.

    Parameters
    ----------
    table : pandas.DataFrame
        Result of `table2`, `table3`, `table4` or `table5`.
    intervals : bool
        Add the 95 % confidence interval of the mean or of the difference.

    Returns
    -------
    pandas.DataFrame
        Column 'label', then one per heading. A mean is '7.24 ± 5.23 (n = 130)'. A test is '1.46',
        or if significant after Holm's correction '**3.74** ** CNN': the number in bold, the
        stars, and in Table 3 the winner. Table 3 has absolute Z, Table 5 signed. Empty cells
        could not be computed.
    """
    write = _write_test if 'z' in table.columns else _write_mean
    texts = [write(row) + _interval(row, intervals) for row in table.to_dict('records')]
    wide = table.assign(text=texts).pivot(index='label', columns='column', values='text')
    wide = wide.reindex(index=table['label'].unique(), columns=table['column'].unique())
    return wide.rename_axis(columns=None).reset_index()


def _write_mean(row: Mapping[Any, Any]) -> str:
    if not row['n']:
        return ''
    sd = '' if np.isnan(row['sd_mm']) else f' ± {row["sd_mm"]:.2f}'
    return f'{row["mean_mm"]:.2f}{sd} (n = {row["n"]})'


def _write_test(row: Mapping[Any, Any]) -> str:
    if np.isnan(row['z']):
        return ''
    heading = str(row['column'])
    contest = ' vs. ' in heading
    z = f'{abs(row["z"]) if contest else row["z"]:.2f}'
    if not row['stars']:
        return z
    names = dict(zip((row['first'], row['second']), heading.split(' vs. '), strict=False))
    winner = f' {names.get(row["winner"], "")}' if contest else ''
    return f'**{z}** {row["stars"]}{winner}'.rstrip()


def _interval(row: Mapping[Any, Any], wanted: bool) -> str:
    if not wanted or np.isnan(row['ci_low_mm']):
        return ''
    return f' [{row["ci_low_mm"]:.2f}, {row["ci_high_mm"]:.2f}]'
