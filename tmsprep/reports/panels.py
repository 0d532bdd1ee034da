"""Panels of a figure: a slice in mm, and what is drawn over it; notes below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tmsprep.reports.planes import AXIS_ENDS, Plane, View
from tmsprep.reports.styles import MethodStyle
from tmsprep.reports.svg import Attributes, Page, element, line, marker, number, picture, text

#: Width of a figure in points: eight inches.
WIDTH = 576.0

#: Left and right edge of panels and text, points.
LEFT, RIGHT = 23.0, 570.0

#: Height of a capital letter in font sizes (DejaVu Sans).
CAP = 0.73

#: Length of an arm of the cross of a mark, points.
ARM = 4.0

#: Size and line height of notes, points.
_SMALL, SMALL_LINE = 6.5, 8.0


@dataclass(frozen=True, eq=False)
class Panel:
    """A rectangle of a page that shows mm; what reaches over its edge is cut off.

    Parameters
    ----------
    x, y : float
        Its upper left corner on the page, points.
    scale : float
        Points per mm.
    across : tuple of float
        mm at the left and at the right edge; they fall if the axis runs to the left.
    up : tuple of float
        mm at the lower and at the upper edge.
    """

    x: float
    y: float
    scale: float
    across: tuple[float, float]
    up: tuple[float, float]
    parts: list[str] = field(default_factory=list)

    @property
    def width(self) -> float:
        """In points."""
        return abs(self.across[1] - self.across[0]) * self.scale

    @property
    def height(self) -> float:
        """In points."""
        return (self.up[1] - self.up[0]) * self.scale

    @property
    def to_right(self) -> int:
        """1 if the axis across runs to the right, -1 if to the left."""
        return 1 if self.across[1] > self.across[0] else -1

    def place(self, across: float, up: float) -> tuple[float, float]:
        """Return where a position in mm lies, in points from the upper left corner."""
        x = (across - self.across[0]) * self.to_right * self.scale
        return x, (self.up[1] - up) * self.scale

    def add(self, *parts: str) -> None:
        """Draw elements, placed in points from the upper left corner."""
        self.parts.extend(parts)

    def drawn(self, name: str) -> str:
        """Return the panel as one element of the page, with an id."""
        return element(
            'svg', ['\n', *(f'{part}\n' for part in self.parts)], id=name,
            x=self.x, y=self.y, width=self.width, height=self.height,
            viewBox=f'0 0 {number(self.width)} {number(self.height)}',
        )  # fmt: skip


def edges(plane: Plane) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what a plane covers across and up, half a sample beyond its outer centres, mm."""
    half = (plane.across[1] - plane.across[0]) / 2
    across, up = ((centres[0] - half, centres[-1] + half) for centres in (plane.across, plane.up))
    return across, up


def show_grey(
    panel: Panel, grey: np.ndarray, across: tuple[float, float], up: tuple[float, float]
) -> None:
    """Show a picture, shape (up, across), 0 to 1, that covers `across` and `up`, on black."""
    panel.add(element('rect', width=panel.width, height=panel.height, fill='black'))
    left, top = panel.place(across[0] if panel.to_right > 0 else across[1], up[1])
    size = (across[1] - across[0]) * panel.scale, (up[1] - up[0]) * panel.scale
    panel.add(picture(grey[::-1, :: panel.to_right], left, top, *size))


def show_plane(panel: Panel, plane: Plane, view: View, window: tuple[float, float]) -> None:
    """Show a slice with the names of its four sides."""
    low, high = window
    show_grey(panel, (plane.data - low) / (high - low), *edges(plane))
    name_sides(panel, view)


def name_sides(panel: Panel, view: View, *, height: float = 0.5) -> None:
    """Write L/R, P/A, I/S at the sides; `height` is where those across stand, 0 to 1."""
    left, right = AXIS_ENDS[view.across][:: panel.to_right]
    bottom, top = AXIS_ENDS[view.up]
    y = (1 - height) * panel.height
    _side(panel, 0.03 * panel.width, y, left, 'start')
    _side(panel, 0.97 * panel.width, y, right, 'end')
    # A sixth of an inch at least from the middle of the letter to the next thing.
    _side(panel, panel.width / 2, panel.height - 8, bottom, 'middle')
    _side(panel, panel.width / 2, 8, top, 'middle')


def _side(panel: Panel, x: float, y: float, name: str, anchor: str) -> None:
    strong = name in 'LR'
    size = 10 if strong else 7
    panel.add(
        text(
            x, y + CAP / 2 * size, name, anchor=anchor, halo=True, font_size=size,
            font_weight='bold' if strong else None, fill='#ffe066' if strong else '#dddddd',
        )
    )  # fmt: skip


def scale_bar(panel: Panel, length_mm: float = 10.0) -> None:
    """Draw a bar of a known length in the lower right corner."""
    end, y = 0.95 * panel.width, 0.95 * panel.height
    start = end - length_mm * panel.scale
    ends = ((start, y), (end, y))
    panel.add(line(ends, 'black', 3.2), line(ends, 'white', 1.8))
    words = f'{length_mm:g} mm'
    panel.add(text(end, y - 4, words, anchor='end', halo=True, font_size=6.5, fill='white'))


def axes_in_mm(panel: Panel, step_mm: float = 20.0) -> list[str]:
    """Return ticks and numbers left of the panel and below it, on the page."""
    style: Attributes = {'font_size': 6, 'fill': '#444444'}
    bottom, parts = panel.y + panel.height, []
    for at in _multiples(panel.across, step_mm):
        x = panel.x + panel.place(at, 0)[0]
        parts.append(line(((x, bottom), (x, bottom + 2)), '#444444', 0.5))
        parts.append(text(x, bottom + 3.5 + CAP * 6, _signed(at), anchor='middle', **style))
    for at in _multiples(panel.up, step_mm):
        y = panel.y + panel.place(0, at)[1]
        parts.append(line(((panel.x - 2, y), (panel.x, y)), '#444444', 0.5))
        parts.append(text(panel.x - 3.5, y + CAP * 3, _signed(at), anchor='end', **style))
    return parts


def _multiples(ends: tuple[float, float], step: float) -> np.ndarray:
    low, high = sorted(ends)
    return np.arange(int(np.ceil(low / step)), int(np.floor(high / step)) + 1) * step


def _signed(value: float) -> str:
    return f'{value:g}'.replace('-', '\N{MINUS SIGN}')


def mark(
    panel: Panel,
    across: float,
    up: float,
    style: MethodStyle,
    *,
    size: float,
    alpha: float = 1.0,
    free: float = 0.0,
) -> None:
    """Draw a method's open mark: an outline, and a cross around it with a gap.

    Nothing is drawn at the point itself, so that the gyrus below it stays visible.

    Parameters
    ----------
    panel : Panel
        Where.
    across, up : float
        The point, mm.
    style : MethodStyle
        Mark of the method.
    size : float
        Size of the outline in points; 0 for none.
    alpha : float
        Opacity.
    free : float
        Radius in points within which no arm of the cross is drawn, if that of the outline is less.
    """
    x, y = panel.place(across, up)
    look: Attributes = {'fill': 'none', 'opacity': alpha if alpha < 1 else None}
    start = max(0.75 * size * style.scale, free) + 0.8
    for width, colour in ((1.7, 'black'), (0.9, style.colour)):
        if size:
            panel.add(
                marker(style.marker, x, y, size * style.scale, stroke=colour, stroke_width=width,
                       **look)
            )  # fmt: skip
        for right, down in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            ends = [(x + right * r, y + down * r) for r in (start, start + ARM)]
            panel.add(line(ends, colour, width, opacity=look['opacity']))


def draw_note(page: Page, lines: Sequence[str], left: float) -> None:
    """Write small lines at the bottom of a page."""
    for row, words in enumerate(reversed(lines)):
        y = page.height - 7 - SMALL_LINE * row
        page.add(text(left, y, words, font_size=_SMALL, fill='#333333'))
