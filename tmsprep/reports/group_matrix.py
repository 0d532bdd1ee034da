"""How far every two methods or raters lie from each other, as a square of numbers on colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmsprep.evaluation.agreement import as_matrix
from tmsprep.reports.canvas import figure_style, save_svg
from tmsprep.reports.group_figures import WIDTH_IN
from tmsprep.reports.group_styles import short_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_CELL_IN, _LEFT_IN, _BELOW_IN = 0.6, 0.8, 0.9
# The largest square, and the places for names on the left and for names and title, in inches.


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
    from matplotlib.figure import Figure

    cells = sum(len(names) for names in squares.values())
    cell = min(_CELL_IN, (WIDTH_IN - _LEFT_IN * len(squares)) / cells)
    height = _BELOW_IN + cell * max(len(names) for names in squares.values())
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, height))
        left, darkest = 0.0, _largest(agreement, squares)
        for title, names in squares.items():
            side = cell * len(names)
            bottom = height - 0.25 - side
            place = [(left + _LEFT_IN) / WIDTH_IN, bottom / height, side / WIDTH_IN, side / height]
            _draw_square(figure.add_axes(place), agreement, names, darkest)
            figure.text(place[0], 1 - 0.18 / height, title, fontweight='bold')
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
    short = [short_name(name) for name in names]
    axes.set_xticks(range(len(names)), short, rotation=40, ha='right')
    axes.set_yticks(range(len(names)), short)
    axes.tick_params(length=0, labelsize=6.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_cells(axes: Axes, means: np.ndarray, counts: np.ndarray, darkest: float) -> None:
    """Draw each square as a shape, as pictures are turned grey in the file."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

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
