"""Charts by matplotlib: their style, the SVG file, and the errors of a group."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tmsprep.atomic import write_text
from tmsprep.reports.styles import MethodStyle, group_style
from tmsprep.reports.svg import FONTS

#: Width of the charts, inches.
WIDTH_IN = 8.0

#: With more participants in a column, a box stands for most of them.
MOST_DOTS = 200

#: Number of dots then, those with the largest errors.
SINGLE_DOTS = 30

#: Shortest axis of errors.
SHORTEST_AXIS_MM = 3.0

#: Its multiples, modulo 1, fill an interval evenly: neighbouring dots stand apart.
_GOLDEN = (math.sqrt(5) - 1) / 2

#: Height of a panel with its names, and the parts of it above and below the axes, inches.
_ROW_IN, _TOP_IN, _BELOW_IN = 2.4, 0.36, 0.5

#: Width of a method's column, and of the axis with its numbers, inches.
_COLUMN_IN, _AXIS_IN = 0.33, 0.45

#: Settings under which charts are drawn and saved.
_STYLE: dict[str, Any] = {
    'font.family': ['DejaVu Sans'],
    'font.size': 7.5,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'tmsprep',
    'svg.image_inline': True,
    'path.simplify': True,
    'path.simplify_threshold': 0.3,
}

_PATH = re.compile(r' d="[^"]*"')
#: Decimals beyond a hundredth of a point, which is enough for a line.
_LONG_NUMBER = re.compile(r'(\.\d\d)\d+')


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the settings under which figures are drawn and saved, whatever the user's own."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def save_svg(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG, the same bytes each time.

    Call it within `figure_style`.
    """
    text = io.StringIO()
    figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None})
    svg = _PATH.sub(lambda path: _LONG_NUMBER.sub(r'\1', path.group()), text.getvalue())
    return write_text(path, svg.replace("'DejaVu Sans'", FONTS))


def plot_errors(
    by_participant: pd.DataFrame, labels: Sequence[str], methods: Sequence[str], path: Path
) -> Path:
    """Draw one panel per target, in it one column per method, in it each participant as a dot.

    Parameters
    ----------
    by_participant : pandas.DataFrame
        ``participant_id``, ``method``, ``label``, ``error_mm``; one row per participant,
        method and target.
    labels, methods : sequence of str
        Targets and methods in the order of drawing; both not empty.
    path : Path
        The SVG file to write.

    Returns
    -------
    Path
        `path`.
    """
    wanted = max(1, int(WIDTH_IN / (_AXIS_IN + _COLUMN_IN * len(methods))))
    columns = min(wanted, len(labels))
    rows = math.ceil(len(labels) / columns)
    height = rows * _ROW_IN
    drawn = by_participant['method'].isin(methods)
    end = axis_end(by_participant.loc[drawn, 'error_mm'].to_numpy())
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, height))
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        figure.subplots_adjust(
            left=0.065,
            right=0.995,
            top=1 - _TOP_IN / height,
            bottom=_BELOW_IN / height,
            wspace=0.16,
            hspace=(_TOP_IN + _BELOW_IN) / (_ROW_IN - _TOP_IN - _BELOW_IN),
        )
        for axes, label in zip(grid.flat, labels, strict=False):
            rows_here = by_participant[by_participant['label'] == label]
            for x, method in enumerate(methods):
                errors = rows_here.loc[rows_here['method'] == method, 'error_mm'].to_numpy()
                _draw_column(axes, x, errors[np.isfinite(errors)], group_style(method), end)
            _name_columns(axes, label, methods, end)
        for axes in grid.flat[len(labels) :]:
            axes.set_visible(False)
        figure.supylabel('error in mm', x=0.003, fontsize=8)
        return save_svg(figure, path)


def axis_end(errors: np.ndarray) -> float:
    """Return where the axis of errors ends, mm: so that few large errors do not flatten the rest.

    A quarter above the 98th percentile, but not beyond the largest error.
    """
    known = errors[np.isfinite(errors)]
    if not len(known):
        return SHORTEST_AXIS_MM
    end = min(known.max() * 1.06, np.percentile(known, 98) * 1.25)
    return float(max(SHORTEST_AXIS_MM, end))


def _draw_column(axes: Axes, x: int, errors: np.ndarray, style: MethodStyle, end: float) -> None:
    """Draw dots, the mean as a bar with its number, and how many lie above the axis."""
    if not len(errors):
        axes.text(x, 0.03 * end, 'n/a', ha='center', va='bottom', fontsize=6, color='#666666')
        return
    shown = np.sort(errors)
    if len(errors) > MOST_DOTS:
        _draw_box(axes, x, errors, style.colour)
        shown = shown[-SINGLE_DOTS:]
    inside = shown[shown <= end]
    across = x + 0.62 * (np.arange(1, len(inside) + 1) * _GOLDEN % 1 - 0.5)
    axes.plot(
        across, inside, ls='none', marker='o', ms=2.8, mfc=style.colour, mec='white', mew=0.3,
        alpha=0.75, clip_on=False, gid=f'dots-{style.name}',
    )  # fmt: skip
    mean = float(errors.mean())
    bar = min(mean, end)
    axes.plot([x - 0.36, x + 0.36], [bar, bar], color='black', lw=1.3, solid_capstyle='butt')
    axes.text(x, end * 1.02, f'{mean:.1f}', ha='center', va='bottom', fontsize=6.5)
    above = int((errors > end).sum())
    if above:
        axes.text(
            x, 0.985 * end, f'▲{above}', ha='center', va='top', fontsize=6, color=style.colour
        )


def _draw_box(axes: Axes, x: int, errors: np.ndarray, colour: str) -> None:
    low, first, middle, third, high = np.percentile(errors, [5, 25, 50, 75, 95])
    axes.plot([x, x], [low, high], color=colour, lw=1)
    axes.fill_between([x - 0.25, x + 0.25], first, third, color=colour, alpha=0.45, lw=0)
    axes.plot([x - 0.25, x + 0.25], [middle, middle], color=colour, lw=0.8)


def _name_columns(axes: Axes, label: str, methods: Sequence[str], end: float) -> None:
    axes.set_title(label, fontsize=8, fontweight='bold', pad=11)
    axes.set_xlim(-0.6, len(methods) - 0.4)
    axes.set_ylim(0, end)
    names = [group_style(method).name for method in methods]
    axes.set_xticks(range(len(names)), names, rotation=40, ha='right', fontsize=6)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(length=2, pad=1, labelsize=6, labelleft=True)
    axes.grid(axis='y', color='#dddddd', lw=0.5)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
