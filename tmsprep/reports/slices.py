"""One target in three orthogonal slices of the participant's own image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from nibabel.spatialimages import SpatialImage

from tmsprep.reports.panels import (
    CAP,
    LEFT,
    RIGHT,
    SMALL_LINE,
    WIDTH,
    Panel,
    axes_in_mm,
    draw_note,
    edges,
    mark,
    scale_bar,
    show_plane,
)
from tmsprep.reports.planes import VIEWS, Plane, View, Volume, plane_in_box, sample_plane
from tmsprep.reports.styles import method_order, method_style, pair_name
from tmsprep.reports.svg import FONT_SIZE, Attributes, Page, element, marker, text

#: Side of the enlarged part: a gyrus and its neighbours.
CROP_MM = 64.0

#: Points further than this from their mean are not shown in one crop.
FAR_MM = 30.0

#: The cross of a mark begins at the ball of a smaller radius than this.
_NEAR_MM = 6.0

#: Opacity of a mark that lies 10 mm or more out of the slice.
FADED = 0.4

#: Points between panels of a row, above the panels, and between the rows.
_GAP, _ABOVE, _BETWEEN = 20.0, 36.0, 14.0

#: Height of a line of the legend, and space between panels and text, points.
_LINE, _ABOVE_TEXT = 12.0, 15.0

_READING = (
    'Lower row: the dotted square enlarged. Small numbers: mm that a point lies to the right '
    'of, in front of or above the slice shown (negative: left, behind, below).'
)

_CIRCLES = (
    'Dashed circle: outline of the ball around the point that holds 90 % of errors, on images '
    'like those it was measured on.'
)


def plot_target(
    image: SpatialImage | Volume,
    points: Mapping[str, np.ndarray],
    path: Path,
    *,
    label: str,
    region: str = '',
    circles: Mapping[str, float] | None = None,
    measures: Mapping[str, float] | None = None,
    crop_mm: float = CROP_MM,
    radiological: bool = False,
) -> Path:
    """Draw one target: three whole slices, and the same slices enlarged around the target.

    After Figure 4 of Baxter et al. 2021. The slices go through the mean of the points, or through
    the first method's point if the methods lie too far apart for one crop.

    Parameters
    ----------
    image : nibabel image or Volume
        Any axis order, oblique or not.
    points : mapping of str to numpy.ndarray
        Method, or 'expert' for the raters, to (x, y, z), mm RAS+ in the world of the image.
        NaN means that the method has no point; the figure says so.
    path : Path
        The SVG file to write.
    label, region : str
        The target's name, and in words.
    circles : mapping of str to float, optional
        Method to the radius in mm of the ball around its point that holds 90 % of errors. Its
        outline is drawn in the enlarged slices.
    measures : mapping of str to float, optional
        Further numbers in mm to print, by name, such as expert variability and dispersion. The
        distance of every two methods is printed in any case.
    crop_mm : float
        Side of the enlarged part.
    radiological : bool
        Show the participant's left on the right. The default is the neurological convention.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        If no method has a point, or the image cannot be shown.
    """
    found = found_points(points)
    if not found:
        raise ValueError(f'{label}: no method found this target, so there is nothing to show')
    volume = Volume.from_image(image)
    circles = {method: radius for method, radius in (circles or {}).items() if method in found}
    scene = Scene(volume, shown_centre(found), found, circles, crop_mm, radiological)
    numbers = {**distances(found), **(measures or {})}
    title = f'{label}: {region}' if region else label
    return target_page(scene, tuple(points), title, numbers).save(path)


@dataclass(frozen=True, eq=False)
class Scene:
    """What the panels of one target show; the parts are as in `plot_target`.

    `centre` is where the slices cross, `found` holds the known points only.
    """

    volume: Volume
    centre: np.ndarray
    found: Mapping[str, np.ndarray]
    circles: Mapping[str, float]
    crop_mm: float
    radiological: bool


def target_page(
    scene: Scene, methods: Sequence[str], title: str, numbers: Mapping[str, float]
) -> Page:
    """Build the figure of `plot_target` without saving it.

    Parameters
    ----------
    scene : Scene
        What is shown.
    methods : sequence of str
        All methods that were asked, found or not.
    title : str
        Above the figure.
    numbers : mapping of str to float
        Printed below, in mm.
    """
    extents = scene.volume.box[1] - scene.volume.box[0]
    widths = np.array([extents[view.across] for view in VIEWS])
    panels = RIGHT - LEFT - 2 * _GAP
    scale = panels / widths.sum()
    middle = _ABOVE + scale * extents[[1, 2]].max()
    bottom = middle + _BETWEEN + panels / 3
    with_circles = bool(scene.circles)
    footer = footer_height(len(methods), len(numbers), circles=with_circles)
    page = Page(WIDTH, bottom + footer)
    page.add(text(LEFT, 14, title, font_size=10.5, font_weight='bold'))
    for column, view in enumerate(VIEWS):
        left = LEFT + column * _GAP
        _draw_whole(page, scene, view, (left + scale * widths[:column].sum(), middle), scale)
        _draw_crop(page, scene, view, (left + panels / 3 * column, bottom), panels / 3)
    draw_legend(page, methods, scene.found, scene.circles, bottom)
    draw_numbers(page, numbers, bottom)
    through = _through(scene.found)
    draw_caption(page, through, radiological=scene.radiological, circles=with_circles)
    return page


def found_points(points: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the points that are known, as arrays of shape (3,), in the order of the legend."""
    known = {name: np.asarray(points[name], dtype=np.float64) for name in method_order(points)}
    return {name: point for name, point in known.items() if np.isfinite(point).all()}


def shown_centre(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return where the slices cross, shape (3,), mm RAS+: the mean, or the first if far apart."""
    stack = np.stack(list(found.values()))
    return stack[0] if far_apart(found) else stack.mean(axis=0)


def far_apart(found: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a point lies more than `FAR_MM` from the mean of all."""
    stack = np.stack(list(found.values()))
    return bool(np.linalg.norm(stack - stack.mean(axis=0), axis=1).max() > FAR_MM)


def _through(found: Mapping[str, np.ndarray]) -> str:
    if len(found) > 1 and not far_apart(found):
        return 'the mean of the points'
    first = method_style(next(iter(found))).name
    return f'the point of {first}' + (', as the methods lie far apart' if len(found) > 1 else '')


def _draw_whole(
    page: Page, scene: Scene, view: View, corner: tuple[float, float], scale: float
) -> None:
    at = scene.centre[view.through]
    plane = plane_in_box(scene.volume, view, at, scene.volume.box)
    panel = _panel(scene, plane, view, corner, scale)
    half = np.array([-0.5, 0.5]) * scene.crop_mm
    (x0, x1), (y1, y0) = zip(
        *(panel.place(*(scene.centre[[view.across, view.up]] + end)) for end in half), strict=True
    )
    square: Attributes = {'x': min(x0, x1), 'y': y0, 'width': abs(x1 - x0), 'height': y1 - y0}
    dots: Attributes = {
        'fill': 'none',
        'stroke': 'white',
        'stroke_width': 0.7,
        'stroke_dasharray': '0.7 1.1',
    }
    panel.add(element('rect', **square, **dots))
    for name, point in scene.found.items():
        alpha = _opacity(point[view.through] - at)
        mark(panel, point[view.across], point[view.up], method_style(name), size=5, alpha=alpha)
    title = f'{view.name}, {"xyz"[view.through]} = {at:.1f} mm'
    middle = panel.x + panel.width / 2
    page.add(panel.drawn(f'whole-{view.name}'))
    page.add(text(middle, panel.y - 4, title, anchor='middle', font_size=9))


def _panel(
    scene: Scene, plane: Plane, view: View, corner: tuple[float, float], scale: float
) -> Panel:
    """Make a panel for a slice, with it; `corner` is the lower left one on the page, points."""
    across, up = edges(plane)
    mirrored = scene.radiological and view.across == 0
    top = corner[1] - scale * (up[1] - up[0])
    panel = Panel(corner[0], top, scale, across[::-1] if mirrored else across, up)
    show_plane(panel, plane, view, scene.volume.window)
    return panel


def _draw_crop(
    page: Page, scene: Scene, view: View, corner: tuple[float, float], width: float
) -> None:
    low, high = scene.centre - scene.crop_mm / 2, scene.centre + scene.crop_mm / 2
    across, up = ((low[axis], high[axis]) for axis in (view.across, view.up))
    at = scene.centre[view.through]
    plane = sample_plane(scene.volume, view, at, across, up, spacing=0.5, order=3)
    panel = _panel(scene, plane, view, corner, width / scene.crop_mm)
    scale_bar(panel)
    for name, point in scene.found.items():
        style, opacity = method_style(name), _opacity(point[view.through] - at)
        place = point[view.across], point[view.up]
        radius = scene.circles.get(name, 0.0)
        # Arms that begin at a large ball would be far from the point they stand for.
        free = radius * panel.scale if radius <= _NEAR_MM else 0.0
        # A circle inside the outline of the ball would cover what lies there for nothing.
        size = 0.0 if free and style.marker == 'o' else 9.0
        mark(panel, *place, style, size=size, alpha=opacity, free=free)
        if name in scene.circles:
            _draw_ball(panel, place, radius, style.colour, opacity)
    for row, (name, point) in enumerate(scene.found.items()):
        off, (x, y) = point[view.through] - at, point[[view.across, view.up]]
        if abs(off) >= 1 and across[0] < x < across[1] and up[0] < y < up[1]:
            right, down = panel.place(x, y)
            ink: Attributes = {'font_size': 6.5, 'fill': method_style(name).colour}
            panel.add(text(right + 10, down - 5 + 8 * row, f'{off:+.0f}', halo=True, **ink))
    page.add(panel.drawn(f'crop-{view.name}'), *axes_in_mm(panel))


def _draw_ball(
    panel: Panel, place: tuple[float, float], radius: float, colour: str, opacity: float
) -> None:
    """Draw a ball's outline, seen through the slice: its cut would look like a smaller error."""
    right, down = panel.place(*place)
    circle: Attributes = {'cx': right, 'cy': down, 'r': radius * panel.scale, 'fill': 'none'}
    for width, ink, dashes in ((1.6, 'black', None), (0.9, colour, '2.4 1.2')):
        line: Attributes = {'stroke': ink, 'stroke_width': width, 'stroke_dasharray': dashes}
        panel.add(element('circle', **circle, **line, opacity=opacity))


def _opacity(off_mm: float) -> float:
    return 1.0 - (1.0 - FADED) * min(1.0, abs(off_mm) / 10.0)


def footer_height(methods: int, numbers: int, *, circles: bool) -> float:
    """Return the points that a legend and a list of numbers take, with the caption below.

    The caption has a further line if there are circles to explain.
    """
    return 44.0 + _LINE * max(methods, numbers) + (SMALL_LINE if circles else 0.0)


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
        ink: Attributes = {'fill': style.colour, 'stroke': 'black', 'stroke_width': 0.7}
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
        "Radiological convention: the participant's left is on the right of the picture."
        if radiological
        else "Neurological convention: the participant's left is on the left of the picture."
    )
    lines = [
        f'{convention} Axes: mm, RAS+, frame of the image. Slices through {through}.',
        _READING,
    ]
    draw_note(page, [*lines, _CIRCLES] if circles else lines, LEFT)


def _baseline(top: float, row: int) -> float:
    return top + _ABOVE_TEXT + _LINE * row + CAP * FONT_SIZE


def _place(point: np.ndarray | None) -> str:
    if point is None:
        return 'no point'
    return 'x {:.1f}, y {:.1f}, z {:.1f} mm'.format(*point)
