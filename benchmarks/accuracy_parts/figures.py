"""Error against the strength of each corruption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tmsprep.reports.charts import figure_style, save_svg

from corruptions.catalogue import CORRUPTIONS, Corruption

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_CNN, _SYN = '#1864ab', '#2b8a3e'
"""Blue and green as in the reports, darker for white paper."""


def draw_strengths(table: pd.DataFrame, untouched_mm: float, path: Path) -> Path:
    """Draw one panel per corruption on one scale of mm.

    Parameters
    ----------
    table : pandas.DataFrame
        Result of `by_corruption`.
    untouched_mm : float
        The network's mean error on the images as they are.
    path : Path
        SVG to write.
    """
    import matplotlib.pyplot as plt

    names = [name for name in CORRUPTIONS if (table['corruption'] == name).any()]
    rows = -(-len(names) // _COLUMNS)
    top = 1.12 * max(table['p95'].max(), untouched_mm)
    with figure_style():
        figure, panels = plt.subplots(
            rows,
            _COLUMNS,
            figsize=(7.6, 1.75 * rows + 0.5),
            sharey=True,
            squeeze=False,
            layout='constrained',
        )
        for panel, name in zip(panels.flat, names, strict=False):
            _draw(panel, table[table['corruption'] == name], CORRUPTIONS[name], untouched_mm)
            panel.set_ylim(0, top)
        for panel in panels.flat[len(names) :]:
            panel.axis('off')
        for row in panels:
            row[0].set_ylabel('error (mm)')
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside upper center', ncols=4, frameon=False)
        save_svg(figure, path)
        plt.close(figure)
    return path


def _draw(panel: Axes, table: pd.DataFrame, corruption: Corruption, untouched_mm: float) -> None:
    cnn, syn = (table[table['method'] == method] for method in ('cnn', 'syn'))
    places = {strength: place for place, strength in enumerate(corruption.strengths)}
    at = cnn['strength'].map(places)
    panel.axhline(untouched_mm, color='#868e96', linewidth=0.8, label='CNN, mean, as it is')
    panel.plot(at, cnn['mean'], 'o-', color=_CNN, markersize=3.5, label='CNN, mean')
    panel.plot(at, cnn['p95'], 'o--', color=_CNN, markersize=2.5, lw=0.8, label='CNN, p95')
    for place, mean in zip(at, cnn['mean'], strict=True):
        panel.annotate(
            f'{mean:.1f}',
            (place, mean),
            (0, -9),
            textcoords='offset points',
            ha='center',
            size=6.5,
        )
    place = syn['strength'].map(places)
    panel.plot(place, syn['mean'], 's', color=_SYN, markersize=4, label='SyN, mean')
    panel.set_title(corruption.name, fontsize=8)
    unit = f'{corruption.meaning} ({corruption.unit})' if corruption.unit else corruption.meaning
    panel.set_xlabel(unit, fontsize=6.5)
    ticks = [f'{value:g}' for value in corruption.values] if len(places) > 1 else ['']
    panel.set_xticks(list(places.values()), ticks)
    panel.set_xlim(-0.35, max(places.values()) + 0.35)
    panel.spines[['top', 'right']].set_visible(False)
    panel.tick_params(length=2, width=0.5)
