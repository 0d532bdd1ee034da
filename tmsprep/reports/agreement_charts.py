"""Charts of agreement: distances as a matrix, Bland-Altman plots, points on a glass brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from nilearn.plotting.displays import LYRZProjector

from tmsprep.evaluation.agreement import as_matrix, axis_differences, bland_altman
from tmsprep.reports.charts import SHORTEST_AXIS_MM, WIDTH_IN, figure_style, save_svg
from tmsprep.reports.styles import group_style

#: Largest cell, and the space for names on the left and for names and title, inches.
_CELL_IN, _LEFT_IN, _BELOW_IN = 0.6, 0.8, 0.9

#: Direction in which each axis of RAS+ grows.
DIRECTIONS = {'x': 'right', 'y': 'front', 'z': 'up'}

#: Points drawn in a panel; of more every k-th by size.
MOST_POINTS = 600

#: Points drawn of many per target: some evenly from the middle of the cloud outwards, and those
#: furthest out, which a reader must not miss.
_EVENLY, _FURTHEST = 80, 20

#: Height of a row of the glass brain, inches.
_ROW_IN = 1.9


def plot_matrices(
    agreement: pd.DataFrame, squares: Mapping[str, Sequence[str]], path: Path
) -> Path:
    """Draw the mean distance of every two methods, in one square per group of methods.

    Parameters
    ----------
    agreement : pandas.DataFrame
        Of `evaluation.agreement.agreement_table`.
    squares : mapping of str to sequence of str
        Title of a square to the methods in it, in order; not empty.
    path : Path
        The SVG file to write.

    Returns
    -------
    Path
        `path`.
    """
    cells = sum(len(names) for names in squares.values())
    cell = min(_CELL_IN, (WIDTH_IN - _LEFT_IN * len(squares)) / cells)
    height = _BELOW_IN + cell * max(len(names) for names in squares.values())
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, height))
        left, darkest = 0.0, _largest(agreement, squares)
        for title, names in squares.items():
            side = cell * len(names)
            bottom = height - 0.25 - side
            x = (left + _LEFT_IN) / WIDTH_IN
            place = (x, bottom / height, side / WIDTH_IN, side / height)
            _draw_square(figure.add_axes(place), agreement, names, darkest)
            figure.text(x, 1 - 0.18 / height, title, fontweight='bold')
            left += _LEFT_IN + side
        return save_svg(figure, path)


def _largest(agreement: pd.DataFrame, squares: Mapping[str, Sequence[str]]) -> float:
    """Return the largest distance shown, mm: the end of the colours, common to all squares."""
    shown = [
        agreement.loc[agreement['first'].isin(names) & agreement['second'].isin(names), 'mean_mm']
        for names in squares.values()
    ]
    known = [float(values.max()) for values in shown if values.notna().any()]
    return max([*known, 1e-9])


def _draw_square(
    axes: Axes, agreement: pd.DataFrame, names: Sequence[str], darkest: float
) -> None:
    means, counts = (
        as_matrix(agreement, value)
        .reindex(index=names, columns=names)
        .to_numpy(dtype=float, copy=True)
        for value in ('mean_mm', 'n')
    )
    _draw_cells(axes, means, counts, darkest)
    short = [group_style(name).name for name in names]
    axes.set_xticks(range(len(names)), short, rotation=40, ha='right')
    axes.set_yticks(range(len(names)), short)
    axes.tick_params(length=0, labelsize=6.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_cells(axes: Axes, means: np.ndarray, counts: np.ndarray, darkest: float) -> None:
    """Draw each square as a shape, as pictures are turned grey in the file."""
    size = len(means)
    np.fill_diagonal(means, np.nan)
    for i, j in np.ndindex(size, size):
        value = means[i, j]
        part = 0.1 + 0.8 * value / darkest if np.isfinite(value) else 0.0
        colour = colormaps['YlGnBu'](part) if np.isfinite(value) else '#f1f3f5'
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fc=colour, ec='white', lw=1))
        if i == j:
            continue
        text = f'{value:.1f}' if np.isfinite(value) else 'n/a'
        ink = 'white' if part > 0.55 else 'black'
        axes.text(j, i - 0.08, text, ha='center', va='center', fontsize=8, color=ink)
        known = int(np.nan_to_num(counts[i, j]))
        axes.text(j, i + 0.27, f'n {known}', ha='center', va='center', fontsize=5, color=ink)
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect='equal')


def plot_bland_altman(points: pd.DataFrame, first: str, second: str, path: Path) -> Path:
    """Draw one panel per axis with all points, the bias and the limits of agreement.

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
        names = f'{group_style(first).name} minus {group_style(second).name}, mm'
        figure.supylabel(names, x=0.005, fontsize=7.5)
        return save_svg(figure, path)


def _reach(apart: np.ndarray, limits: np.ndarray) -> float:
    """Return how far the axis of differences goes to both sides, mm: nearly all, and the limits.

    What lies beyond is drawn at the edge.
    """
    apart, limits = np.abs(apart), np.abs(limits[np.isfinite(limits)])
    most = min(1.08 * apart.max(), 1.25 * np.percentile(apart, 99))
    return float(max([SHORTEST_AXIS_MM, most, *(1.15 * limits)]))


def _draw_axis(axes: Axes, rows: pd.DataFrame, limits: Any, colour: str, reach: float) -> None:
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
