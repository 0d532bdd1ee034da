"""A small picture of an image with its targets, for lists of many participants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tmsprep.points import PointSet
from tmsprep.reports.panels import Panel, show_grey
from tmsprep.reports.planes import VIEWS, View, Volume, plane_in_box
from tmsprep.reports.styles import method_order, method_style
from tmsprep.reports.svg import Page, marker

#: Value of the entity ``desc`` of the figure.
THUMBNAIL = 'thumbnail'

#: Distance of the samples, mm: a participant's thumbnail has some ten kilobytes.
SPACING_MM = 2.5

#: Height of the panels and gap between them, points.
_HEIGHT, _GAP = 64.0, 2.0


def plot_thumbnail(volume: Volume, points: Mapping[str, PointSet], path: Path) -> Path:
    """Draw an axial, a coronal and a sagittal slice through the middle of the points.

    The points of all methods are drawn on each slice, however far from it they lie: that a head
    is upside down, cut, or not a head is seen at a glance, and where its points are.

    Parameters
    ----------
    volume : Volume
        The image.
    points : mapping of str to PointSet
        Method to its points, mm, RAS+; the middle is the median of those of the first method.
    path : Path
        The SVG file to write.
    """
    order = method_order(points)
    found = [points[name].coordinates[points[name].found] for name in order]
    middle = next((np.median(own, axis=0) for own in found if len(own)), volume.box.mean(axis=0))
    extents = volume.box[1] - volume.box[0]
    scale = _HEIGHT / max(extents[view.up] for view in VIEWS)
    widths = [extents[view.across] * scale for view in VIEWS]
    page = Page(sum(widths) + _GAP * (len(VIEWS) - 1), _HEIGHT)
    left = 0.0
    for view, width in zip(VIEWS, widths, strict=True):
        panel = _panel(volume, view, middle[view.through], left, scale)
        for name, places in zip(order, found, strict=True):
            colour = method_style(name).colour
            for place in places:
                at = panel.place(place[view.across], place[view.up])
                panel.add(marker('o', *at, 2.6, fill=colour, stroke='black', stroke_width=0.4))
        page.add(panel.drawn(view.name))
        left += width + _GAP
    return page.save(path)


def _panel(volume: Volume, view: View, at: float, left: float, scale: float) -> Panel:
    """Show a slice, the participant's left on the left."""
    across, up = volume.box[:, view.across], volume.box[:, view.up]
    top = _HEIGHT - (up[1] - up[0]) * scale
    panel = Panel(left, top, scale, tuple(across), tuple(up))
    plane = plane_in_box(volume, view, at, volume.box, spacing=SPACING_MM)
    low, high = volume.window
    show_grey(panel, (plane.data - low) / (high - low), tuple(across), tuple(up))
    return panel
