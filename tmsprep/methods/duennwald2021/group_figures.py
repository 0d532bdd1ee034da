"""Box plots of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmsprep.reports.charts import figure_style, save_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Width of the charts, inches.
WIDTH_IN = 8.0

#: Sides and targets, in words.
SIDES = {'L': 'left', 'R': 'right', 'LLC': 'left', 'RLC': 'right'}
_COLOURS = {'left': '#1971c2', 'right': '#e8590c'}

#: Width of a box; two stand side by side within one unit.
_WIDTH = 0.34


def plot_localisation(errors: pd.DataFrame, ways: Mapping[object, str], path: Path) -> Path:
    """Draw the errors of each way of training, left and right, each participant a dot.

    Parameters
    ----------
    errors : pandas.DataFrame
        ``participant``, ``augmentation``, ``label``, ``error_mm``; folds are averaged per
        participant.
    ways : mapping
        Value of ``augmentation`` (None for a missing one) to its name, in the order of drawing.
    path : Path
        The SVG file to write.
    """
    from matplotlib.figure import Figure

    keyed = errors.assign(way=errors['augmentation'].where(errors['augmentation'].notna(), None))
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 2.8), layout='constrained')
        axes = figure.subplots()
        for x, way in enumerate(ways):
            same = keyed['way'].isna() if way is None else keyed['way'] == way
            for i, label in enumerate(dict.fromkeys(errors['label'])):
                rows = keyed[same & (keyed['label'] == label)]
                values = rows.groupby('participant')['error_mm'].mean().dropna().to_numpy()
                _box(axes, x + (i - 0.5) * 0.4, values, SIDES.get(label, label), dots=True)
        _finish(axes, list(ways.values()), 'error in mm')
        axes.set_ylim(0, None)
        return save_svg(figure, path)


def plot_overlaps(segments: pd.DataFrame, methods: Sequence[str], path: Path) -> Path:
    """Draw Dice and false discovery rate of each method, as Figure 2 of Duennwald et al. 2021.

    Parameters
    ----------
    segments : pandas.DataFrame
        ``method``, ``hemisphere``, ``dice``, ``fdr``; every prediction counts once, as in the
        paper, so that with folds a participant counts as often as there are folds.
    methods : sequence of str
        In the order of drawing.
    path : Path
        The SVG file to write.
    """
    from matplotlib.figure import Figure

    names = {'dice': 'Dice', 'fdr': 'false discovery rate'}
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 2.8), layout='constrained')
        for axes, (measure, name) in zip(figure.subplots(1, 2), names.items(), strict=True):
            for x, method in enumerate(methods):
                for i, side in enumerate('LR'):
                    same = (segments['method'] == method) & (segments['hemisphere'] == side)
                    values = segments.loc[same, measure].dropna().to_numpy()
                    _box(axes, x + (i - 0.5) * 0.4, values, SIDES[side], dots=False)
            _finish(axes, [method.upper() for method in methods], name)
            axes.set_ylim(-0.02, 1.02)
        return save_svg(figure, path)


def _box(axes: Axes, x: float, values: np.ndarray, side: str, *, dots: bool) -> None:
    """Draw the box, whiskers to 1.5 times its height, and outliers or all dots; n below."""
    colour = _COLOURS.get(side, '#495057')
    if not len(values):
        axes.text(x, 0, 'n/a', ha='center', va='bottom', fontsize=6, color='#666666')
        return
    axes.boxplot(
        [values], positions=[x], widths=_WIDTH, patch_artist=True, showfliers=not dots,
        boxprops={'facecolor': colour, 'alpha': 0.35, 'edgecolor': colour},
        medianprops={'color': 'black', 'lw': 1.3}, whiskerprops={'color': colour},
        capprops={'color': colour},
        flierprops={'marker': 'o', 'ms': 2, 'mfc': colour, 'mec': 'none', 'alpha': 0.5},
    )  # fmt: skip
    if dots:
        # Neighbouring dots stand apart: multiples of the golden section fill an interval evenly.
        across = x + 0.26 * (np.arange(1, len(values) + 1) * 0.618034 % 1 - 0.5)
        axes.plot(across, np.sort(values), ls='none', marker='o', ms=2.4, mfc=colour, mec='none')


def _finish(axes: Axes, names: Sequence[str], ylabel: str) -> None:
    from matplotlib.patches import Patch

    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(ylabel)
    axes.grid(axis='y', color='#dddddd', lw=0.5)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    handles = [Patch(facecolor=c, alpha=0.35, edgecolor=c, label=s) for s, c in _COLOURS.items()]
    axes.legend(handles=handles, frameon=False, fontsize=6.5, loc='best')
