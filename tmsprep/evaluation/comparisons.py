"""Summaries of many methods in many targets, and tests of every pair of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import error_per_image
from tmsprep.evaluation.statistics import ALPHA, bootstrap_mean, holm, stars, tost, wilcoxon
from tmsprep.protocols import Protocol

#: Label of the row that pools several targets.
MEAN = 'MEAN'

_SUMMARY = [
    *('label', 'column', 'method', 'mean_mm', 'sd_mm', 'n', 'people'),
    *('ci_low_mm', 'ci_high_mm', 'reason'),
]
_COMPARISON = [
    *('label', 'column', 'first', 'second', 'n', 'mean_first_mm', 'mean_second_mm'),
    *('difference_mm', 'ci_low_mm', 'ci_high_mm', 'z', 'effect', 'p', 'family', 'family_size'),
    *('p_holm', 'stars', 'winner', 'margin_mm', 'p_tost_lower', 'p_tost_upper', 'p_tost'),
    *('p_tost_holm', 'equivalent', 'reason'),
]


class Pair(NamedTuple):
    """Two methods to be compared.

    Parameters
    ----------
    column : str
        Heading.
    first, second : str
        Methods.
    family : str
        Family of tests that Holm's correction counts together.
    """

    column: str
    first: str
    second: str
    family: str


def mean_labels(protocol: Protocol) -> tuple[str, ...]:
    """Targets that the row MEAN is over: those for chronic pain, or all if there are none."""
    pain = tuple(t.label for t in protocol.targets if 'chronic pain' in t.type)
    return pain or protocol.labels


def target_rows(protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """Rows of a table: each target, and those of `MEAN`."""
    return {label: (label,) for label in protocol.labels} | {MEAN: mean_labels(protocol)}


def mean_table(
    columns: Mapping[str, tuple[str, pd.DataFrame]],
    rows: Mapping[str, tuple[str, ...]],
    seed: int,
) -> pd.DataFrame:
    """Mean, sd and confidence interval of many columns of errors.

    Parameters
    ----------
    columns : mapping
        Heading to method and its errors, `participant_id`, `label` and `error_mm`.
    rows : mapping
        Name of a row to the targets that are pooled.
    seed : int
        Seed of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per row and column: `label`, `column`, `method`, `mean_mm`, `sd_mm` (of the
        sample), `n`, `people` (participants), `ci_low_mm`, `ci_high_mm` (95 %), `reason`.
    """
    found = [
        {'label': name, 'column': column, 'method': method, **_describe(table, labels, seed)}
        for name, labels in rows.items()
        for column, (method, table) in columns.items()
    ]
    return pd.DataFrame(found, columns=_SUMMARY)


def _describe(table: pd.DataFrame, labels: tuple[str, ...], seed: int) -> dict[str, Any]:
    table = table[table['label'].isin(labels)].dropna(subset='error_mm')
    values = table['error_mm'].to_numpy(float)
    interval = bootstrap_mean(values, table['participant_id'], seed=seed)
    return {
        'mean_mm': values.mean() if len(values) else np.nan,
        'sd_mm': values.std(ddof=1) if len(values) > 1 else np.nan,
        'n': len(values),
        'people': table['participant_id'].nunique(),
        'ci_low_mm': interval.low,
        'ci_high_mm': interval.high,
        'reason': interval.reason if len(values) else 'no values',
    }


def comparison_table(
    errors: pd.DataFrame,
    pairs: Sequence[Pair],
    rows: Mapping[str, tuple[str, ...]],
    margin_mm: float,
    seed: int,
) -> pd.DataFrame:
    """Test pairs of methods in groups of targets.

    Parameters
    ----------
    errors : pandas.DataFrame
        See `errors.errors_against_consensus`.
    pairs : sequence of Pair
        In column order; the row 'MEAN' is in a family of its own.
    rows : mapping
        Name of a row to the targets that are averaged per participant.
    margin_mm : float
        Margin of the test of equivalence.
    seed : int
        Seed of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per test: `label`, `column`, `first`, `second` (methods), `n` (participants with
        both), `mean_first_mm`, `mean_second_mm`, `difference_mm` (first - second) with
        `ci_low_mm` and `ci_high_mm` (95 %, over participants), `z` and `effect` (negative: the
        first has smaller errors), `p`, `family`, `family_size` (tests with a p-value), `p_holm`,
        `stars`, `winner` (smaller mean error, significant or not; '' if equal), `margin_mm`,
        `p_tost_lower`, `p_tost_upper`, `p_tost`, `p_tost_holm`, `equivalent` (p_tost_holm at
        most 0.05), `reason` (why something is missing, or that means and ranks favour different
        methods).
    """
    wide = error_per_image(errors)
    found = [
        _compare(wide, pair, name, labels, margin_mm, seed)
        for name, labels in rows.items()
        for pair in pairs
    ]
    table = pd.DataFrame(found, columns=_COMPARISON)
    families = table.groupby('family', sort=False)
    table['family_size'] = families['p'].transform('count').astype(int)
    for corrected, p in (('p_holm', 'p'), ('p_tost_holm', 'p_tost')):
        table[corrected] = families[p].transform(lambda values: holm(values.to_numpy(float)))
    table['stars'] = [stars(p) for p in table['p_holm']]
    table['equivalent'] = table['p_tost_holm'] <= ALPHA
    return table


def _compare(
    wide: pd.DataFrame,
    pair: Pair,
    name: str,
    labels: tuple[str, ...],
    margin_mm: float,
    seed: int,
) -> dict[str, Any]:
    both = participant_pairs(wide, pair.first, pair.second, labels)
    first, second = both['first'].to_numpy(float), both['second'].to_numpy(float)
    test, equivalence = wilcoxon(first, second), tost(first, second, margin_mm)
    interval = bootstrap_mean(first - second, both.index, seed=seed)
    means = [values.mean() if len(values) else np.nan for values in (first, second)]
    contrary = (means[0] - means[1]) * test.z < 0
    against = 'means and ranks favour different methods' if contrary else ''
    reasons = dict.fromkeys([test.reason, equivalence.reason, interval.reason, against])
    return {
        'label': name,
        'column': pair.column,
        'first': pair.first,
        'second': pair.second,
        'n': test.n,
        'mean_first_mm': means[0],
        'mean_second_mm': means[1],
        'difference_mm': means[0] - means[1],
        'ci_low_mm': interval.low,
        'ci_high_mm': interval.high,
        'z': test.z,
        'effect': test.effect,
        'p': test.p,
        'family': f'{pair.family}, {MEAN}' if name == MEAN else pair.family,
        'winner': _winner(pair, *means),
        'margin_mm': margin_mm,
        'p_tost_lower': equivalence.p_lower,
        'p_tost_upper': equivalence.p_upper,
        'p_tost': equivalence.p,
        'reason': '; '.join(reason for reason in reasons if reason),
    }


def _winner(pair: Pair, first: float, second: float) -> str:
    if first == second or np.isnan(first - second):
        return ''
    return pair.first if first < second else pair.second


def participant_pairs(
    errors: pd.DataFrame, first: str, second: str, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Pair two methods by participant: one mean error each.

    First repetitions are averaged, then images and targets, only those that both methods have.
    Repetitions that counted as participants would give differences by chance in a third of tests.

    Parameters
    ----------
    errors : pandas.DataFrame
        Result of `errors.errors_against_consensus`, or of `errors.error_per_image`.
    first, second : str
        Methods.
    labels : tuple of str
        Targets to average over.

    Returns
    -------
    pandas.DataFrame
        Index `participant_id`, sorted; columns 'first' and 'second', mm; empty without pairs.
    """
    wide = error_per_image(errors) if 'error_mm' in errors.columns else errors
    wide = wide.reindex(columns=[first, second]).set_axis(['first', 'second'], axis=1)
    both = wide[wide.index.get_level_values('label').isin(labels)].dropna()
    return both.groupby(level='participant_id').mean()
