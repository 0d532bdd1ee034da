"""All targets in one figure: on the participant's brain seen from left, above and right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.spatialimages import SpatialImage

from tmsprep.points import PointSet
from tmsprep.reports.panels import (
    CAP,
    WIDTH,
    Panel,
    draw_note,
    mark,
    name_sides,
    scale_bar,
    show_grey,
)
from tmsprep.reports.planes import VIEWS, View, Volume, bounding_box, plane_in_box
from tmsprep.reports.styles import method_order, method_style
from tmsprep.reports.svg import FONT_SIZE, Attributes, Page, line, marker, text

#: Spacing of the rendering.
SPACING_MM = 1.25

#: Depths below the surface of the mask that are averaged: bright gyri, dark sulci.
CORTEX_MM = (3.0, 9.0)

#: Points left and right of the panels, between, above and below them.
_LEFT, _GAP, _ABOVE, _BELOW = 11.5, 11.0, 18.0, 36.0

#: Distance of two names in a column.
LINE_MM = 8.0

#: Mean width of a capital letter in font sizes (DejaVu Sans).
LETTER = 0.7

#: Font size of a name in points.
FONT = 6.0


@dataclass(frozen=True)
class Look:
    """A direction to look from.

    `sign` is the end of the axis on which the viewer stands, `margin` the mm left free on both
    sides for the targets' names.
    """

    title: str
    view: View
    sign: int
    mirrored: bool
    hemispheres: str
    margin: float = 0.0


_AXIAL, _, _SAGITTAL = VIEWS
LOOKS = (
    Look('from the left', _SAGITTAL, -1, True, 'L'),
    Look('from above', _AXIAL, 1, False, 'LR', 42.0),
    Look('from the right', _SAGITTAL, 1, False, 'R'),
)


def plot_overview(
    image: SpatialImage | Volume,
    points: Mapping[str, PointSet],
    path: Path,
    *,
    mask: SpatialImage | Volume | None = None,
) -> Path:
    """Draw every target of every method on three views of the brain.

    A point is shown on the side where it lies, whatever its name says: one that was found on the
    wrong side is seen there.

    Parameters
    ----------
    image : nibabel image or Volume
        Any axis order, oblique or not.
    points : mapping of str to PointSet
        Method to its points, mm RAS+ in the image's world. Missing points are left out.
    path : Path
        The SVG file to write.
    mask : nibabel image or Volume, optional
        Brain mask on any grid in the same world. With it the cortex is rendered; without it a
        slice through the middle of the targets stands behind them, as the head's surface is a
        face.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        If the mask is empty or an image cannot be shown.
    """
    volume = Volume.from_image(image)
    box, brain = _brain(volume, mask)
    extents = box[1] - box[0]
    widths = [extents[look.view.across] + 2 * look.margin for look in LOOKS]
    scale = (WIDTH - 2 * _LEFT - _GAP * (len(LOOKS) - 1)) / sum(widths)
    height = scale * extents[[2, 1]].max()
    page = Page(WIDTH, _ABOVE + height + _BELOW)
    left = _LEFT
    for look, width in zip(LOOKS, widths, strict=True):
        panel = _panel(look, box, left, _ABOVE + height / 2, scale)
        grey, spacing = _background(look, volume, box, brain, points)
        _draw_background(panel, look, box, grey, spacing)
        _draw_points(panel, look, points, box[:, 0].mean())
        middle = panel.x + panel.width / 2
        page.add(panel.drawn(look.title.replace(' ', '-')))
        page.add(text(middle, panel.y - 4, look.title, anchor='middle', font_size=9))
        left += width * scale + _GAP
    _draw_legend(page, points, rendered=brain is not None)
    return page.save(path)


def render_cortex(
    intensity: np.ndarray, brain: np.ndarray, axis: int, sign: int, spacing: float
) -> np.ndarray:
    """Look at a brain along a world axis.

    Parameters
    ----------
    intensity : numpy.ndarray
        Shape (x, y, z), from 0 to 1, along the world axes.
    brain : numpy.ndarray
        Same shape, true inside.
    axis, sign : int
        The axis looked along, and the end of it (-1 or 1) where the viewer stands.
    spacing : float
        Distance of the samples in mm.

    Returns
    -------
    numpy.ndarray
        The two other axes in their order; grey from 0 to 1, NaN where there is no brain.
    """
    brain, intensity = np.moveaxis(brain, axis, 0), np.moveaxis(intensity, axis, 0)
    if sign > 0:
        brain, intensity = brain[::-1], intensity[::-1]
    depth = brain.argmax(axis=0)
    steps = np.arange(*np.array(CORTEX_MM) / spacing)
    below = np.clip(depth + np.round(steps)[:, None, None].astype(int), 0, len(brain) - 1)
    cortex = np.take_along_axis(intensity, below, axis=0).mean(axis=0)
    slope = np.hypot(*np.gradient(depth * 1.0))
    shaded = cortex / np.sqrt(1 + 0.15 * slope**2)
    return np.where(brain.any(axis=0), shaded, np.nan)


def _brain(
    volume: Volume, mask: SpatialImage | Volume | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    if mask is None:
        return volume.box, None
    inside = Volume.from_image(mask)
    box = bounding_box(inside.data > 0.5, inside.affine)
    if box is None:
        raise ValueError('the brain mask is empty')
    box = box + np.array([[-8.0], [8.0]])
    low, high = volume.window
    intensity = np.clip((volume.resample(box, SPACING_MM) - low) / (high - low), 0, 1)
    brain = inside.resample(box, SPACING_MM) > 0.5
    if not brain.any():
        raise ValueError('the brain mask is too small to be a brain')
    return box, (intensity, brain)


def _background(
    look: Look,
    volume: Volume,
    box: np.ndarray,
    brain: tuple[np.ndarray, np.ndarray] | None,
    points: Mapping[str, PointSet],
) -> tuple[np.ndarray, float]:
    """Return the picture behind the points, shape (up, across), and its spacing in mm."""
    if brain is not None:
        grey = render_cortex(*brain, look.view.through, look.sign, SPACING_MM).T
        return np.nan_to_num(grey / np.nanpercentile(grey, 99.5), nan=0.0), SPACING_MM
    low, high = volume.window
    grey = plane_in_box(volume, look.view, _middle(points, look, box), box, spacing=1.0).data
    return np.clip((grey - low) / (high - low), 0, 1), 1.0


def _panel(look: Look, box: np.ndarray, left: float, middle: float, scale: float) -> Panel:
    """Make an empty panel; `left` and `middle` are its edge and its half height on the page."""
    across, up = box[:, look.view.across], box[:, look.view.up]
    ends = (across[0] - look.margin, across[1] + look.margin)
    top = middle - scale * (up[1] - up[0]) / 2
    return Panel(left, top, scale, ends[::-1] if look.mirrored else ends, tuple(up))


def _draw_background(
    panel: Panel, look: Look, box: np.ndarray, grey: np.ndarray, spacing: float
) -> None:
    left, bottom = box[0, [look.view.across, look.view.up]]
    top, right = np.array([bottom, left]) + np.array(grey.shape) * spacing
    show_grey(panel, grey, (left, right), (bottom, top))
    name_sides(panel, look.view, height=0.93 if look.margin else 0.5)
    scale_bar(panel)


def _middle(points: Mapping[str, PointSet], look: Look, box: np.ndarray) -> float:
    places = np.concatenate(
        [p.coordinates[p.found] for p in points.values()] or [np.empty((0, 3))]
    )
    centre = box.mean(axis=0)
    if look.hemispheres in ('L', 'R'):
        places = places[(places[:, 0] < centre[0]) == (look.hemispheres == 'L')]
    along = places[:, look.view.through]
    return float(np.median(along)) if len(along) else float(centre[look.view.through])


def _draw_points(panel: Panel, look: Look, points: Mapping[str, PointSet], middle: float) -> None:
    marks: list[tuple[np.ndarray, str]] = []
    named: dict[str, tuple[np.ndarray, str]] = {}
    for method in method_order(points):
        places = points[method]
        for label in np.array(places.labels)[places.found]:
            place = places[label]
            side = 'LR'[int(place[0] > middle)]
            if side in look.hemispheres:
                seen = place[[look.view.across, look.view.up]]
                marks.append((seen, method))
                named.setdefault(label, (seen, side))
    names = [name for side in look.hemispheres for name in column_of_names(named, side)]
    if look.margin:
        panel.add(*(line_to_point(panel, name) for name in names))
    for (across, up), method in marks:
        mark(panel, across, up, method_style(method), size=5.5)
    write = write_at_edge if look.margin else write_at_mark
    panel.add(*(write(panel, name) for name in names))


def _draw_legend(page: Page, points: Mapping[str, PointSet], *, rendered: bool) -> None:
    x, y = _LEFT + 6, page.height - 18
    for method in method_order(points):
        style, found = method_style(method), points[method].found
        words = f'{style.name}: {found.sum()} of {len(found)}'
        ink: Attributes = {'fill': style.colour, 'stroke': 'black', 'stroke_width': 0.9}
        page.add(marker(style.marker, x, y - CAP / 2 * FONT_SIZE, 6, **ink))
        page.add(text(x + 9, y, words))
        x += 30 + LETTER * FONT_SIZE * len(words)
    note = (
        'Cortex of the participant, 3 to 9 mm below the brain surface; deep targets are projected.'
        if rendered
        else 'Slices through the middle of the targets; the targets are projected onto them.'
    )
    draw_note(page, [note], _LEFT)


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


def write_at_edge(panel: Panel, name: Name) -> str:
    """Write a name at the panel's edge on its side."""
    at = 3 * panel.scale
    left = name.side == 'L'
    return _written(panel, name, at if left else panel.width - at, 'start' if left else 'end')


def write_at_mark(panel: Panel, name: Name) -> str:
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
    means = [np.full(len(group), np.mean(group)) for group in groups]
    return np.concatenate([*means, np.empty(0)]) - offsets
