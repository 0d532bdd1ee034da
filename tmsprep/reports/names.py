"""Names of targets beside their marks, spread out so that none hides another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tmsprep.reports.panels import CAP, Panel
from tmsprep.reports.svg import line, text

LINE_MM = 8.0
# Distance of two names in a column. Our choice.

LETTER = 0.7
# Mean width of a capital letter in font sizes (DejaVu Sans).

FONT = 6.0
# Font size of a name in points.


@dataclass(frozen=True, eq=False)
class Name:
    """A target's name, the point in mm it belongs to, and the height in mm where it stands."""

    label: str
    side: str
    place: np.ndarray
    height: float

    @property
    def width(self) -> float:
        """About, in points."""
        return LETTER * FONT * len(self.label)


def column_of_names(named: Mapping[str, tuple[np.ndarray, str]], side: str) -> list[Name]:
    """Return the names of one side from above, spread out so that none hides another."""
    places = {label: place for label, (place, its_side) in named.items() if its_side == side}
    labels = sorted(places, key=lambda label: (-places[label][1], label))
    heights = spread_out(np.array([places[label][1] for label in labels]), LINE_MM)
    return [
        Name(label, side, places[label], float(height))
        for label, height in zip(labels, heights, strict=True)
    ]


def line_to_point(panel: Panel, name: Name) -> str:
    """Draw a line from a name at the panel's edge to its point."""
    away = 3 * panel.scale + name.width
    start = away if name.side == 'L' else panel.width - away
    height = panel.place(0, name.height)[1]
    return line(((start, height), panel.place(*name.place)), 'white', 0.5, opacity=0.8)


def beside_edge(panel: Panel, name: Name) -> str:
    """Write a name at the panel's edge on its side."""
    at = 3 * panel.scale
    left = name.side == 'L'
    return _written(panel, name, at if left else panel.width - at, 'start' if left else 'end')


def beside_mark(panel: Panel, name: Name) -> str:
    """Write a name to the right of its point, or to the left where the panel ends."""
    x, away = panel.place(*name.place)[0], 6 * panel.scale
    if x + away + name.width > panel.width:
        return _written(panel, name, x - away, 'end')
    return _written(panel, name, x + away, 'start')


def _written(panel: Panel, name: Name, x: float, anchor: str) -> str:
    y = panel.place(0, name.height)[1] + CAP / 2 * FONT
    return text(x, y, name.label, anchor=anchor, halo=True, font_size=FONT, fill='white')


def spread_out(heights: np.ndarray, apart: float) -> np.ndarray:
    """Move falling heights, shape (n,), as little as it takes to be `apart` or more.

    Least squares under an order: heights that crowd share the mean of where they would be.
    """
    offsets = apart * np.arange(len(heights))
    groups: list[list[float]] = []
    for value in heights + offsets:
        groups.append([value])
        while len(groups) > 1 and np.mean(groups[-2]) < np.mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    return np.concatenate([np.full(len(g), np.mean(g)) for g in groups] or [[]]) - offsets
