"""The table of the cohort: each participant's recommended points against those of the others."""

from __future__ import annotations

import pandas as pd

from tmsprep.evaluation.cohort import cohort_table
from tmsprep.evaluation.recommendation import recommend
from tmsprep.group.analysis import Group
from tmsprep.protocols import Protocol


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
    return cohort_table(points, protocol, recommended_methods(points, protocol))


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
