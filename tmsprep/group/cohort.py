"""The table of the cohort: each participant's recommended points against those of the others."""

from __future__ import annotations

import pandas as pd

from tmsprep.derivatives.earlier import REVIEWED, source_sha256
from tmsprep.evaluation.cohort import cohort_table
from tmsprep.evaluation.recommendation import DECISION, DECISIONS, recommend
from tmsprep.formats.targets_tsv import read_rows
from tmsprep.group.analysis import Group
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column

#: Column of the table beyond those of `tmsprep.evaluation.cohort`.
DECISION_COLUMN: dict[str, Column] = {
    DECISION: column(
        'What a reviewer decided about the target; the point of the row is that of the method',
        **{name: f'{name} by a reviewer' for name in DECISIONS},
    )
}


def table_of_cohort(group: Group) -> pd.DataFrame | None:
    """Compare the recommended points of all images; None without points of the methods.

    Parameters
    ----------
    group : Group
        Its points of methods of the participant level are used, not those of raters or of a
        cross-validation.
    """
    points = group.points[group.points['method'].isin(group.request.names)]
    if points.empty:
        return None
    protocol = group.request.protocol
    table = cohort_table(points, protocol, recommended_methods(points, protocol))
    decided = decisions(group)
    keys = zip(table['image'], table['label'], strict=True)
    return table.assign(**{DECISION: [decided.get(key, '') for key in keys]})


def decisions(group: Group) -> dict[tuple[str, str], str]:
    """Read what reviewers decided: image and target to one of `DECISIONS`.

    A table without a sidecar was not checked, and one of another image does not hold.
    """
    layout = group.request.layout
    found = {}
    for name, image in group.images.items():
        path = layout.table(image, REVIEWED)
        of = {source_sha256(layout.table(image, method)) for method in group.request.names}
        if not path.is_file() or source_sha256(path) not in of - {''}:
            continue
        try:
            rows = [row for _, row in read_rows(path, ('label', DECISION))]
        except ValueError:
            continue
        found.update({(name, row['label']): row[DECISION] for row in rows})
    return {key: decision for key, decision in found.items() if decision in DECISIONS}


def recommended_methods(points: pd.DataFrame, protocol: Protocol) -> dict[tuple[str, str], str]:
    """Find the method whose point is recommended: by image and target; '' if none may be used."""
    chosen = {}
    for image, rows in points.groupby('image', sort=False):
        tables = {
            str(method): own.to_dict('records')
            for method, own in rows.groupby('method', sort=False)
        }
        for one in recommend(tables, protocol):
            chosen[str(image), one.label] = one.method
    return chosen
