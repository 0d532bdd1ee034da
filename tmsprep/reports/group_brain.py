"""All people's points in template space on a glass brain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmsprep.reports.canvas import figure_style, save_svg
from tmsprep.reports.group_figures import WIDTH_IN
from tmsprep.reports.group_styles import group_style

if TYPE_CHECKING:
    import pandas as pd

# Of many points of a target so many are drawn: some evenly from the middle of the cloud outwards,
# and those furthest out, which a reader must not miss. Our choice.
_EVENLY, _FURTHEST = 80, 20

_ROW_IN = 1.9


def plot_glass_brain(template_points: pd.DataFrame, methods: Sequence[str], path: Path) -> Path:
    """Draw one row per method: the brain from the left, back, top and right with every point.

    Parameters
    ----------
    template_points : pandas.DataFrame
        ``method``, ``label``, ``x``, ``y``, ``z``: mm RAS+ in the template's space. Missing
        points are left out; of more than 100 per target only some are drawn, with those furthest
        from their median.
    methods : sequence of str
        Methods to show, in order; not empty.
    path : Path
        The SVG file to write.

    Returns
    -------
    Path
        `path`.
    """
    from matplotlib.figure import Figure
    from nilearn.plotting.displays import LYRZProjector

    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, _ROW_IN * len(methods)))
        part = 1 / len(methods)
        for row, method in enumerate(methods):
            bottom = 1 - (row + 1) * part
            frame = figure.add_axes((0.0, bottom, 1.0, 0.88 * part))
            display = LYRZProjector.init_with_figure(None, figure=figure, axes=frame)
            style = group_style(method)
            places = _thinned(template_points[template_points['method'] == method])
            display.annotate(size=7)
            if len(places):
                display.add_markers(places, marker_color=style.colour, marker_size=5, alpha=0.6)
            figure.text(0.01, bottom + 0.9 * part, style.name, va='bottom', fontweight='bold')
        return save_svg(figure, path)


def _thinned(points: pd.DataFrame) -> np.ndarray:
    """Return at most 100 points per target, shape (n, 3), with those furthest from the others."""
    known = points.dropna(subset=['x', 'y', 'z'])
    parts = [np.empty((0, 3))]
    for _, rows in known.groupby('label', sort=True):
        places = rows[['x', 'y', 'z']].to_numpy(dtype=float)
        away = np.linalg.norm(places - np.median(places, axis=0), axis=1)
        order, n = np.argsort(away, kind='stable'), len(places)
        even = np.linspace(0, n - 1, min(n, _EVENLY)).astype(int)
        parts.append(places[order[np.union1d(even, np.arange(max(0, n - _FURTHEST), n))]])
    return np.concatenate(parts)
