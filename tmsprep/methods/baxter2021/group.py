"""Group level of the multi-resolution network: Tables 2 to 5 of Baxter et al. 2021."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from tmsprep.evaluation.errors import (
    CROSSVAL,
    RATER,
    errors_against_consensus,
    leave_one_rater_out,
)
from tmsprep.evaluation.offsets import OFFSET
from tmsprep.group.analysis import Group, GroupResult
from tmsprep.group.comparison import compare_group
from tmsprep.methods.baxter2021.tables import choose_network, table2, table3, table4, table5
from tmsprep.tables import Column, column

#: Methods of the network and of the registration in Tables 2 and 3.
NETWORK, REGISTRATION = 'cnn', 'syn'

_PAPER = 'of Baxter et al. 2021'

#: Tables of the paper.
DESCRIPTIONS = {
    'table2': 'Errors, dispersion and variability of experts per target, as in Table 2 ' + _PAPER,
    'table3': f'Network, registration and experts compared, as in Table 3 {_PAPER}, paired by '
    'participant',
    'table4': f'Errors of cross-validated networks, as in Table 4 {_PAPER}',
    'table5': f'Cross-validated networks compared, as in Table 5 {_PAPER}, paired by participant',
}

#: Columns of the tables of the paper beyond those of every group.
COLUMNS: dict[str, Column] = {
    'label': column('Name of the target; MEAN is over the targets for chronic pain, or all'),
    'method': column(
        'Method of the participant level, crossval-<residual layers> (cross-validation, with '
        'repetitions), ensemble-<residual layers> (the mean of its repetitions), '
        f'<method>{OFFSET} (moved by the mean offset of other participants), rater-<name>, '
        'consensus (of the raters), expert (all raters, each against the consensus), expert-loo '
        '(each against the consensus of the others)'
    ),
    'column': column('Column of the table in Baxter et al. 2021'),
    'mean_first_mm': column(
        'Mean error of the first method, repetitions averaged per participant', 'mm'
    ),
    'mean_second_mm': column(
        'Mean error of the second method, repetitions averaged per participant', 'mm'
    ),
    'difference_mm': column(
        'Mean difference of the errors, first minus second, paired by participant', 'mm'
    ),
    'family_size': column('Number of tests in the family'),
    'winner': column('Method with the smaller mean error, whether significant or not'),
    'margin_mm': column('Mean errors that differ by less count as equal', 'mm'),
    'p_tost_lower': column('One-sided paired t-test that the difference is above -margin'),
    'p_tost_upper': column('One-sided paired t-test that the difference is below +margin'),
    'p_tost': column('Test of equivalence (TOST): the larger of the two'),
    'p_tost_holm': column('p_tost after the correction of Holm'),
    'equivalent': column('Whether the mean errors are shown to differ by less than the margin'),
}


def analyse_group(group: Group) -> GroupResult:
    """Compare methods and raters, and add the tables of the paper that the points allow."""
    result, tables = compare_group(group), paper_tables(group)
    return replace(
        result,
        tables={**result.tables, **tables},
        hidden=other_variants(group, tables),
        descriptions={**result.descriptions, **DESCRIPTIONS},
        columns={**result.columns, **COLUMNS},
    )


def other_variants(group: Group, tables: Mapping[str, pd.DataFrame]) -> tuple[str, ...]:
    """Name the cross-validated variants that Tables 2 and 3 do not compare with other methods."""
    if 'table2' not in tables:
        return ()
    compared = set(tables['table2']['method'])
    methods = group.points['method'].unique()
    return tuple(m for m in methods if m.startswith(CROSSVAL) and m not in compared)


def paper_tables(group: Group) -> dict[str, pd.DataFrame]:
    """Any of 'table2' to 'table5'; see `tmsprep.methods.baxter2021.tables`."""
    request, points = group.request, group.points
    errors = errors_against_consensus(points)
    network = choose_network(errors, NETWORK)
    raters = leave_one_rater_out(points, request.threshold_mm)
    measured = set(errors.loc[errors['error_mm'].notna(), 'method'])
    experts = any(method.startswith(RATER) for method in measured)
    methods = (network, REGISTRATION, REGISTRATION + OFFSET)
    protocol, seed, margin_mm = request.protocol, request.random_seed, request.margin_mm
    tables = {}
    if measured or points['dispersion_mm'].notna().any():
        tables['table2'] = table2(
            points,
            errors,
            protocol,
            network=network,
            registration=REGISTRATION,
            leave_one_out=raters,
            seed=seed,
        )
    if sum((*(method in measured for method in methods), experts)) > 1:
        tables['table3'] = table3(
            errors,
            protocol,
            network=network,
            registration=REGISTRATION,
            leave_one_out=raters,
            margin_mm=margin_mm,
            seed=seed,
        )
    predictions = group.predictions
    if predictions is not None and len(predictions):
        tables['table4'] = table4(predictions, protocol, seed=seed)
        tables['table5'] = table5(predictions, protocol, margin_mm=margin_mm, seed=seed)
    return tables
