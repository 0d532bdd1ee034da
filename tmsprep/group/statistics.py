"""The tables of a group: which can be made from the points that there are."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tmsprep.evaluation.agreement import agreement_table
from tmsprep.evaluation.errors import RATER, errors_against_consensus, leave_one_rater_out
from tmsprep.evaluation.paper_tables import choose_network, table2, table3, table4, table5
from tmsprep.group.collect import Group


def group_tables(
    group: Group, threshold_mm: float, margin_mm: float, seed: int
) -> dict[str, pd.DataFrame]:
    """Make every table that the points allow.

    Parameters
    ----------
    group : Group
        Everybody's points.
    threshold_mm : float
        Largest distance between raters who agree.
    margin_mm : float
        Mean errors that differ by less count as equal.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        'errors', and any of 'agreement', 'table2', 'table3', 'table4' and 'table5'.
    """
    errors = errors_against_consensus(group.points)
    network, registration = choose_network(errors, 'cnn'), 'syn'
    tables = {'errors': errors}
    measured = set(errors.loc[errors['error_mm'].notna(), 'method'])
    if group.points['method'].nunique() > 1:
        tables['agreement'] = agreement_table(group.points)
    alone = leave_one_rater_out(group.points, threshold_mm)
    if measured or group.points['dispersion_mm'].notna().any():
        tables['table2'] = table2(
            group.points,
            errors,
            group.protocol,
            network=network,
            registration=registration,
            leave_one_out=alone,
            seed=seed,
        )
    if _comparable(measured, (network, registration)):
        tables['table3'] = table3(
            errors,
            group.protocol,
            network=network,
            registration=registration,
            leave_one_out=alone,
            margin_mm=margin_mm,
            seed=seed,
        )
    if group.predictions is not None and len(group.predictions):
        tables['table4'] = table4(group.predictions, group.protocol, seed=seed)
        tables['table5'] = table5(
            group.predictions, group.protocol, margin_mm=margin_mm, seed=seed
        )
    return tables


def _comparable(measured: set[str], methods: Iterable[str]) -> bool:
    """Tell whether two of network, registration and experts have an error."""
    experts = any(method.startswith(RATER) for method in measured)
    return sum((experts, *(method in measured for method in methods))) > 1
