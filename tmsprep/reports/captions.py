"""The words and numbers below a target's slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from tmsprep.reports.styles import method_order, method_style, pair_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_IN = 8.0
# Of the figure in inches.

LEFT, RIGHT = 0.04, 0.99
# Where panels and text begin and end, as parts of the width.

_LINE_IN = 0.17
_ABOVE_IN = 0.2
# Height of a line, and free space between the panels' numbers and the text, in inches.

_CAPTION_LINE_IN = 0.11
# Height of a line of the caption in inches.


_CIRCLES = (
    'Dashed circle: outline of the ball around the point that holds 90 % of errors, on images '
    'like those it was measured on.'
)


def footer_height(methods: int, numbers: int, *, circles: bool) -> float:
    """Return the inches that a legend and a list of numbers take, with the caption below.

    The caption has a further line if there are circles to explain.
    """
    return 0.62 + _LINE_IN * max(methods, numbers) + (_CAPTION_LINE_IN if circles else 0.0)


def distances(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the distance in mm of every two methods, by the names that the figure prints."""
    return {
        pair_name(a, b): float(np.linalg.norm(found[a] - found[b]))
        for a, b in combinations(found, 2)
    }


def draw_legend(
    figure: Figure,
    methods: Sequence[str],
    found: Mapping[str, np.ndarray],
    circles: Mapping[str, float],
    top: float,
) -> None:
    """Write one line per method with its mark and its point, below `top` (0 to 1)."""
    from matplotlib.lines import Line2D

    height = figure.get_figheight()
    for row, name in enumerate(method_order(methods)):
        y, style = top - (_ABOVE_IN + _LINE_IN * row) / height, method_style(name)
        figure.add_artist(
            Line2D(
                [LEFT + 0.01],
                [y - 0.06 / height],
                marker=style.marker,
                markersize=6,
                markerfacecolor=style.colour,
                markeredgecolor='black',
                markeredgewidth=0.7,
                linestyle='none',
            )
        )
        text = f'{style.name}: {_place(found.get(name))}'
        if name in found and circles.get(name, 0) > 0:
            text += f'   (dashed: 90 % of errors, {circles[name]:.1f} mm)'
        figure.text(LEFT + 0.025, y, text, va='top')


def draw_numbers(figure: Figure, numbers: Mapping[str, float], top: float) -> None:
    """Write named numbers in mm, one per line, on the right below `top` (0 to 1)."""
    height = figure.get_figheight()
    for row, (name, value) in enumerate(numbers.items()):
        y = top - (_ABOVE_IN + _LINE_IN * row) / height
        text = f'{name}: {value:.1f} mm' if np.isfinite(value) else f'{name}: n/a'
        figure.text(RIGHT, y, text, va='top', ha='right', fontweight='bold')


def draw_caption(figure: Figure, through: str, *, radiological: bool, circles: bool) -> None:
    """Write at the bottom how the slices are to be read; `through` says where they cross."""
    convention = (
        "Radiological convention: the person's left is on the right of the picture."
        if radiological
        else "Neurological convention: the person's left is on the left of the picture."
    )
    text = (
        f'{convention} Axes: mm, RAS+, frame of the T1w. Slices through {through}.\n'
        'Lower row: the dotted square enlarged. Small numbers: mm that a point lies to the right '
        'of, in front of or above the slice shown (negative: left, behind, below).'
    )
    if circles:
        text += f'\n{_CIRCLES}'
    y = 0.08 / figure.get_figheight()
    figure.text(LEFT, y, text, va='bottom', fontsize=6.5, color='#333333')


def _place(point: np.ndarray | None) -> str:
    if point is None:
        return 'no point'
    return 'x {:.1f}, y {:.1f}, z {:.1f} mm'.format(*point)
