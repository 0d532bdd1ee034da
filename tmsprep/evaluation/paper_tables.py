"""Tables 2 to 5 of Baxter et al. 2021, as numbers and as the paper prints them."""

from __future__ import annotations

import pandas as pd

from tmsprep.evaluation.comparisons import MEAN, Pair, comparison_table, mean_table
from tmsprep.evaluation.equivalence import MARGIN_MM
from tmsprep.evaluation.errors import CROSSVAL, ENSEMBLE, prediction_errors
from tmsprep.evaluation.paper_text import as_paper
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.evaluation.variability import (
    expert_variability,
    leave_one_rater_out,
    repetition_deviations,
)
from tmsprep.protocols import Protocol

__all__ = [
    'EXPERT',
    'EXPERT_ALONE',
    'MEAN',
    'NETWORKS',
    'VARIANTS',
    'as_paper',
    'choose_network',
    'mean_labels',
    'table2',
    'table3',
    'table4',
    'table5',
]

EXPERT, EXPERT_ALONE = 'expert', 'expert-loo'
"""Methods of Table 3 that stand for all raters: measured from the consensus, and from the
consensus of the others."""

NETWORKS = ('crossval-shared', 'crossval-separate', 'crossval-none', 'cnn')
"""Which method is the CNN of Tables 2 and 3: the first there is. Cross-validated predictions are
of people that the network has not seen."""

VARIANTS = {'separate': 'Ind. Res.', 'shared': 'Shared Res.', 'none': 'No Res.'}
"""Residual layers in the order of Table 4, with its headings."""

_SHORT = {'separate': 'Ind.', 'shared': 'Sh.', 'none': 'No'}


def mean_labels(protocol: Protocol) -> tuple[str, ...]:
    """Targets that the row MEAN is over: those for chronic pain, or all if there are none."""
    pain = tuple(t.label for t in protocol.targets if 'chronic pain' in t.type)
    return pain or protocol.labels


def choose_network(errors: pd.DataFrame) -> str:
    """Name the method that is the CNN: the first of `NETWORKS` with an error, else with a row."""
    known = set(errors.loc[errors['error_mm'].notna(), 'method'])
    there = set(errors['method'])
    choices = [m for m in NETWORKS if m in known] + [m for m in NETWORKS if m in there]
    return choices[0] if choices else NETWORKS[-1]


def table2(
    points: pd.DataFrame,
    errors: pd.DataFrame,
    protocol: Protocol,
    *,
    leave_one_out: pd.DataFrame | None = None,
    threshold_mm: float = DISAGREEMENT_MM,
    network: str | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """Errors of CNN and registration, dispersion, and expert variability, per target.

    Mean and sd pool repetitions and raters, as the paper's do; confidence intervals draw people.
    Dispersion is that of the repetitions, and without repetitions that of the ensemble's members.

    Parameters
    ----------
    points, errors : pandas.DataFrame
        See `errors.errors_against_consensus`.
    protocol : Protocol
        The targets; the last row, 'MEAN', pools `mean_labels`.
    leave_one_out : pandas.DataFrame, optional
        Of `variability.leave_one_rater_out`; made if it is not given.
    threshold_mm : float
        Of the consensus, for the variability that leaves one rater out.
    network : str, optional
        Method that is the CNN; see `choose_network`.
    seed : int
        For the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per target and column of the paper: `label`, `column`, `method`, `mean_mm`,
        `sd_mm` (of the sample), `n`, `people`, `ci_low_mm`, `ci_high_mm` (95 %), `reason`.
    """
    network = network or choose_network(errors)
    raters = expert_variability(errors)
    if leave_one_out is None:
        leave_one_out = leave_one_rater_out(points, threshold_mm)
    columns = {
        'CNN Error': (network, errors[errors['method'] == network]),
        'Disp.': (network, _dispersion(points, network)),
        'Reg. Error': ('syn', errors[errors['method'] == 'syn']),
        'Expert Var.': (EXPERT, raters),
        'Expert Var. (leave one out)': (EXPERT_ALONE, leave_one_out),
    }
    return mean_table(columns, _rows(protocol), seed)


def table3(
    errors: pd.DataFrame,
    protocol: Protocol,
    *,
    leave_one_out: pd.DataFrame | None = None,
    margin_mm: float = MARGIN_MM,
    network: str | None = None,
    by_pair: bool = False,
    seed: int = 1,
) -> pd.DataFrame:
    """CNN, registration and experts compared, per target, paired by person.

    Every row is one pair of methods in one target. Holm's correction is over a family of tests:
    all targets and the paper's three pairs together. Comparisons with experts left out of the
    consensus, and the row MEAN, are families of their own, since the paper has neither.

    Parameters
    ----------
    errors : pandas.DataFrame
        See `errors.errors_against_consensus`.
    protocol : Protocol
        The targets.
    leave_one_out : pandas.DataFrame, optional
        Of `variability.leave_one_rater_out`; adds the comparisons with 'expert-loo'.
    margin_mm : float
        Mean errors that differ by less are equivalent; must be positive.
    network : str, optional
        Method that is the CNN; see `choose_network`.
    by_pair : bool
        Each pair of methods is a family by itself: less strict. The paper does not say what its
        families are; this agrees with which tests its Table 3 calls significant.
    seed : int
        For the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        See `comparison_table`.

    Raises
    ------
    ValueError
        If the margin is not a positive number.
    """
    network = network or choose_network(errors)
    pairs = [
        Pair('CNN vs. Reg.', network, 'syn', 'methods and experts'),
        Pair('CNN vs. Expert', network, EXPERT, 'methods and experts'),
        Pair('Reg. vs. Expert', 'syn', EXPERT, 'methods and experts'),
    ]
    parts = [errors, expert_variability(errors).assign(method=EXPERT)]
    if leave_one_out is not None:
        parts.append(leave_one_out[errors.columns].assign(method=EXPERT_ALONE))
        alone = 'methods and experts left out'
        pairs += [
            Pair('CNN vs. Expert (leave one out)', network, EXPERT_ALONE, alone),
            Pair('Reg. vs. Expert (leave one out)', 'syn', EXPERT_ALONE, alone),
        ]
    if by_pair:
        pairs = [pair._replace(family=pair.column) for pair in pairs]
    together = pd.concat([part for part in parts if len(part)] or [errors], ignore_index=True)
    return comparison_table(together, pairs, _rows(protocol), margin_mm, seed)


def table4(predictions: pd.DataFrame, protocol: Protocol, *, seed: int = 1) -> pd.DataFrame:
    """Errors of the variants of the network, with and without ensembling, per target.

    Parameters
    ----------
    predictions : pandas.DataFrame
        `crossval_predictions.tsv`.
    protocol : Protocol
        The targets.
    seed : int
        For the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        As `table2`. Without ensemble the repetitions are pooled.
    """
    errors = prediction_errors(predictions)
    columns = {
        f'{heading} {kind}': (prefix + name, errors[errors['method'] == prefix + name])
        for name, heading in _variants(predictions).items()
        for prefix, kind in ((CROSSVAL, 'No Ensemble'), (ENSEMBLE, 'Ensemble'))
    }
    return mean_table(columns, _rows(protocol), seed)


def table5(
    predictions: pd.DataFrame,
    protocol: Protocol,
    *,
    margin_mm: float = MARGIN_MM,
    seed: int = 1,
) -> pd.DataFrame:
    """Variants of the network compared, with and without ensembling; all tests are one family.

    That an ensemble beats its members averaged per person is no finding: by the triangle
    inequality the error of a mean point is at most the mean of the errors. How much it beats
    them is.

    Parameters
    ----------
    predictions, protocol, margin_mm, seed
        As for `table4` and `table3`.

    Returns
    -------
    pandas.DataFrame
        See `comparison_table`; negative z speaks for the variant named first. In the paper the
        sign of 'Ind. vs Sh.' is the other way round.

    Raises
    ------
    ValueError
        If the margin is not a positive number.
    """
    names = _variants(predictions)
    pairs = [
        Pair(f'Ens. vs No ({heading})', ENSEMBLE + name, CROSSVAL + name, 'variants')
        for name, heading in names.items()
    ]
    adjacent = [(a, b) for i, a in enumerate(names) for b in list(names)[i + 1 :]]
    for prefix, kind in ((ENSEMBLE, 'With Ens.'), (CROSSVAL, 'No Ens.')):
        pairs += [
            Pair(f'{_SHORT[a]} vs {_SHORT[b]} ({kind})', prefix + a, prefix + b, 'variants')
            for a, b in adjacent
        ]
    errors = prediction_errors(predictions)
    return comparison_table(errors, pairs, _rows(protocol), margin_mm, seed)


def _dispersion(points: pd.DataFrame, method: str) -> pd.DataFrame:
    rows = points[points['method'] == method]
    if rows['repetition'].notna().any():
        return repetition_deviations(rows)
    return rows.assign(error_mm=rows['dispersion_mm'])


def _rows(protocol: Protocol) -> dict[str, tuple[str, ...]]:
    return {label: (label,) for label in protocol.labels} | {MEAN: mean_labels(protocol)}


def _variants(predictions: pd.DataFrame) -> dict[str, str]:
    there = set(predictions['variant'])
    return {name: heading for name, heading in VARIANTS.items() if name in there}
