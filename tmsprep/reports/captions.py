"""The words and numbers below a target's slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from tmsprep.reports.panels import CAP
from tmsprep.reports.styles import method_order, method_style, pair_name
from tmsprep.reports.svg import FONT_SIZE, Page, marker, text

WIDTH = 576.0
# Of the figure in points: eight inches.

LEFT, RIGHT = 23.0, 570.0
# Where panels and text begin and end, points.

_LINE, _ABOVE = 12.0, 15.0
# Height of a line, and free space between the panels' numbers and the text, points.

_SMALL, _SMALL_LINE = 6.5, 8.0
# Size and line height of the caption, points.


_READING = (
    'Lower row: the dotted square enlarged. Small numbers: mm that a point lies to the right '
    'of, in front of or above the slice shown (negative: left, behind, below).'
)

_CIRCLES = (
    'Dashed circle: outline of the ball around the point that holds 90 % of errors, on images '
    'like those it was measured on.'
)


def footer_height(methods: int, numbers: int, *, circles: bool) -> float:
    """Return the points that a legend and a list of numbers take, with the caption below.

    The caption has a further line if there are circles to explain.
    """
    return 44.0 + _LINE * max(methods, numbers) + (_SMALL_LINE if circles else 0.0)


def distances(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the distance in mm of every two methods, by the names that the figure prints."""
    return {
        pair_name(a, b): float(np.linalg.norm(found[a] - found[b]))
        for a, b in combinations(found, 2)
    }


def draw_legend(
    page: Page,
    methods: Sequence[str],
    found: Mapping[str, np.ndarray],
    circles: Mapping[str, float],
    top: float,
) -> None:
    """Write one line per method with its mark and its point, below `top` in points."""
    for row, name in enumerate(method_order(methods)):
        y, style = _baseline(top, row), method_style(name)
        ink = {'fill': style.colour, 'stroke': 'black', 'stroke_width': 0.7}
        page.add(marker(style.marker, LEFT + 6, y - CAP / 2 * FONT_SIZE, 6, **ink))
        words = f'{style.name}: {_place(found.get(name))}'
        if name in found and circles.get(name, 0) > 0:
            words += f'   (dashed: 90 % of errors, {circles[name]:.1f} mm)'
        page.add(text(LEFT + 14, y, words))


def draw_numbers(page: Page, numbers: Mapping[str, float], top: float) -> None:
    """Write named numbers in mm, one per line, on the right below `top` in points."""
    for row, (name, value) in enumerate(numbers.items()):
        words = f'{name}: {value:.1f} mm' if np.isfinite(value) else f'{name}: n/a'
        page.add(text(RIGHT, _baseline(top, row), words, anchor='end', font_weight='bold'))


def draw_caption(page: Page, through: str, *, radiological: bool, circles: bool) -> None:
    """Write at the bottom how the slices are to be read; `through` says where they cross."""
    convention = (
        "Radiological convention: the person's left is on the right of the picture."
        if radiological
        else "Neurological convention: the person's left is on the left of the picture."
    )
    lines = [
        f'{convention} Axes: mm, RAS+, frame of the T1w. Slices through {through}.',
        _READING,
    ]
    draw_note(page, [*lines, _CIRCLES] if circles else lines, LEFT)


def draw_note(page: Page, lines: Sequence[str], left: float) -> None:
    """Write small lines at the bottom of a page."""
    for row, words in enumerate(reversed(lines)):
        y = page.height - 7 - _SMALL_LINE * row
        page.add(text(left, y, words, font_size=_SMALL, fill='#333333'))


def _baseline(top: float, row: int) -> float:
    return top + _ABOVE + _LINE * row + CAP * FONT_SIZE


def _place(point: np.ndarray | None) -> str:
    if point is None:
        return 'no point'
    return 'x {:.1f}, y {:.1f}, z {:.1f} mm'.format(*point)
