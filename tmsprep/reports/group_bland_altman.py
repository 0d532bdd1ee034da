"""Where a method's points lie to the right, front or top of the reference: Bland-Altman plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmsprep.evaluation.agreement import axis_differences, bland_altman
from tmsprep.reports.canvas import figure_style, save_svg
from tmsprep.reports.group_figures import WIDTH_IN
from tmsprep.reports.group_styles import group_style, short_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DIRECTIONS = {'x': 'right', 'y': 'front', 'z': 'up'}
"""Where each axis of RAS+ grows to."""

SHORTEST_AXIS_MM = 3.0
"""The axis of differences reaches at least this far to both sides. Our choice."""

MOST_POINTS = 600
"""With more in a panel every k-th is drawn, by size. Our choice."""


def plot_bland_altman(points: pd.DataFrame, first: str, second: str, path: Path) -> Path:
    """Draw one panel per axis: each point of each person, the bias and the limits of agreement.

    Parameters
    ----------
    points : pandas.DataFrame
        As for `evaluation.errors.errors_against_consensus`.
    first, second : str
        Methods; differences are first - second. They need a point in common.
    path : Path
        The SVG file to write.

    Returns
    -------
    Path
        `path`.
    """
    from matplotlib.figure import Figure

    apart = axis_differences(points, first, second)
    limits = bland_altman(points, first, second)
    reach = _reach(apart['difference_mm'].to_numpy(), limits[['lower_mm', 'upper_mm']].to_numpy())
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 2.4))
        panels = figure.subplots(1, len(limits), sharey=True)
        figure.subplots_adjust(left=0.07, right=0.955, bottom=0.16, top=0.9, wspace=0.18)
        for axes, row in zip(panels, limits.itertuples(), strict=True):
            rows = apart[apart['axis'] == row.axis]
            _draw_axis(axes, rows, row, group_style(first).colour, reach)
        names = f'{short_name(first)} minus {short_name(second)}, mm'
        figure.supylabel(names, x=0.005, fontsize=7.5)
        return save_svg(figure, path)


def _reach(apart: np.ndarray, limits: np.ndarray) -> float:
    """Return how far the axis of differences goes to both sides, mm: nearly all, and the limits.

    What lies beyond is drawn at the edge.
    """
    apart, limits = np.abs(apart), np.abs(limits[np.isfinite(limits)])
    most = min(1.08 * apart.max(), 1.25 * np.percentile(apart, 99))
    return float(max([SHORTEST_AXIS_MM, most, *(1.15 * limits)]))


def _draw_axis(axes: Axes, rows: pd.DataFrame, limits: tuple, colour: str, reach: float) -> None:
    # Evenly spaced ranks of the differences: the largest stay when there are many.
    ordered = rows.sort_values('difference_mm', kind='stable')
    kept = np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_POINTS)).astype(int)
    shown = ordered.iloc[kept]
    axes.plot(
        shown['mean_mm'], shown['difference_mm'].clip(-reach, reach),
        ls='none', marker='o', ms=2.2, mfc=colour, mew=0, alpha=0.55,
        clip_on=False,
    )  # fmt: skip
    axes.axhline(0, color='#999999', lw=0.6)
    lines = ((limits.bias_mm, '-'), (limits.lower_mm, '--'), (limits.upper_mm, '--'))
    for value, dashes in lines:
        if np.isfinite(value):
            axes.axhline(value, color='black', lw=0.9, ls=dashes)
            axes.annotate(
                f'{round(value, 1) + 0.0:+.1f}', (1, value), xycoords=('axes fraction', 'data'),
                xytext=(2, 0), textcoords='offset points', va='center', fontsize=6.5,
            )  # fmt: skip
    axes.set(ylim=(-reach, reach))
    axes.set_title(f'{limits.axis} (+ is {DIRECTIONS[limits.axis]}), n = {limits.n}')
    axes.set_xlabel('mean of the two, mm', fontsize=6.5, labelpad=1)
    axes.tick_params(length=2, pad=1, labelsize=6)
    axes.spines[['top', 'right']].set_visible(False)
