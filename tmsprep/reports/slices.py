"""One target in three orthogonal slices of the person's own T1w."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.spatialimages import SpatialImage

from tmsprep.reports.canvas import (
    figure_style,
    mark,
    save_svg,
    scale_bar,
    show_plane,
)
from tmsprep.reports.captions import (
    LEFT,
    RIGHT,
    WIDTH_IN,
    distances,
    draw_caption,
    draw_legend,
    draw_numbers,
    footer_height,
)
from tmsprep.reports.planes import VIEWS, View, Volume, plane_in_box, sample_plane
from tmsprep.reports.styles import method_order, method_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROP_MM = 80.0
# Side of the enlarged part: a gyrus and its neighbours. Our choice.

FAR_MM = 30.0
# Points further than this from their mean are not shown in one crop. Our choice.

FADED = 0.4
# Opacity of a mark that lies 10 mm or more out of the slice. Our choice.

_GAP = 0.12
# Between panels, in mean widths of a panel.

_TITLE_IN, _ROW_GAP_IN = 0.5, 0.2
# Heights in inches: above the panels, and between the two rows.


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
        The T1w; any axis order, oblique or not.
    points : mapping of str to numpy.ndarray
        Method ('cnn', 'syn', 'expert', or any other) to (x, y, z), mm RAS+ in the image's world.
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
        Show the person's left on the right. The default is the neurological convention.

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
    with figure_style():
        figure = target_figure(
            scene, tuple(points), f'{label}: {region}' if region else label, numbers
        )
        return save_svg(figure, path)


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


def target_figure(
    scene: Scene, methods: Sequence[str], title: str, numbers: Mapping[str, float]
) -> Figure:
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
    from matplotlib.figure import Figure

    extents = scene.volume.box[1] - scene.volume.box[0]
    widths = [extents[view.across] for view in VIEWS]
    panels_in = (RIGHT - LEFT) * WIDTH_IN / (1 + _GAP * 2 / 3)
    whole_in = panels_in * extents[[1, 2]].max() / sum(widths)
    with_circles = bool(scene.circles)
    footer_in = footer_height(len(methods), len(numbers), circles=with_circles)
    height = _TITLE_IN + whole_in + _ROW_GAP_IN + panels_in / 3 + footer_in
    figure = Figure(figsize=(WIDTH_IN, height))
    top = 1 - _TITLE_IN / height
    middle = top - whole_in / height
    bottom = footer_in / height
    wholes = _row(figure, top, middle, widths)
    crops = _row(figure, middle - _ROW_GAP_IN / height, bottom, [1, 1, 1])
    for view, whole, crop in zip(VIEWS, wholes, crops, strict=True):
        _draw_whole(whole, scene, view)
        _draw_crop(crop, scene, view)
    figure.text(LEFT, 1 - 0.08 / height, title, va='top', fontsize=10.5, fontweight='bold')
    draw_legend(figure, methods, scene.found, scene.circles, bottom)
    draw_numbers(figure, numbers, bottom)
    through = _through(scene.found)
    draw_caption(figure, through, radiological=scene.radiological, circles=with_circles)
    return figure


def _row(figure: Figure, top: float, bottom: float, widths: Sequence[float]) -> list[Axes]:
    grid = figure.add_gridspec(
        1, 3, width_ratios=widths, left=LEFT, right=RIGHT, top=top, bottom=bottom, wspace=_GAP
    )
    return [figure.add_subplot(cell) for cell in grid]


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


def _draw_whole(axes: Axes, scene: Scene, view: View) -> None:
    from matplotlib.patches import Rectangle

    at, crop_mm = scene.centre[view.through], scene.crop_mm
    plane = plane_in_box(scene.volume, view, at, scene.volume.box)
    show_plane(axes, plane, view, scene.volume.window, radiological=scene.radiological)
    axes.set_anchor('S')
    # The crops below have the axes in mm; ticks are half of the time a figure takes.
    axes.set(xticks=[], yticks=[])
    axes.set_title(f'{view.name}, {"xyz"[view.through]} = {at:.1f} mm', pad=3)
    corner = scene.centre[[view.across, view.up]] - crop_mm / 2
    axes.add_patch(
        Rectangle(corner, crop_mm, crop_mm, fill=False, edgecolor='white', linewidth=0.7, ls=':')
    )
    axes.autoscale(False)
    for name, point in scene.found.items():
        alpha = _opacity(point[view.through] - at)
        mark(axes, point[view.across], point[view.up], method_style(name), size=5, alpha=alpha)


def _draw_crop(axes: Axes, scene: Scene, view: View) -> None:
    from matplotlib.ticker import MultipleLocator

    low, high = scene.centre - scene.crop_mm / 2, scene.centre + scene.crop_mm / 2
    across, up = ((low[axis], high[axis]) for axis in (view.across, view.up))
    at = scene.centre[view.through]
    plane = sample_plane(scene.volume, view, at, across, up, spacing=0.5, order=3)
    show_plane(axes, plane, view, scene.volume.window, radiological=scene.radiological)
    axes.autoscale(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(20))
    scale_bar(axes)
    for row, (name, point) in enumerate(scene.found.items()):
        style, off = method_style(name), point[view.through] - at
        x, y = point[view.across], point[view.up]
        # A large mark would be taken for the ball, whose radius is often the same.
        mark(axes, x, y, style, size=5 if scene.circles else 11, alpha=_opacity(off))
        if name in scene.circles:
            _draw_ball(axes, x, y, scene.circles[name], style.colour, _opacity(off))
        if abs(off) >= 1 and across[0] < x < across[1] and up[0] < y < up[1]:
            axes.annotate(
                f'{off:+.0f}',
                (x, y),
                xytext=(10, 5 - 8 * row),
                textcoords='offset points',
                color=style.colour,
                alpha=0.85,
                fontsize=6.5,
                clip_on=True,
            )


def _draw_ball(axes: Axes, x: float, y: float, radius: float, colour: str, opacity: float) -> None:
    """Draw a ball's outline, seen through the slice: its cut would look like a smaller error."""
    from matplotlib.patches import Circle

    for width, ink, dashes in ((1.8, 'black', '-'), (0.9, colour, (0, (4, 2)))):
        line = {'edgecolor': ink, 'linewidth': width, 'linestyle': dashes, 'alpha': opacity}
        axes.add_patch(Circle((x, y), radius, fill=False, zorder=3, **line))


def _opacity(off_mm: float) -> float:
    return 1.0 - (1.0 - FADED) * min(1.0, abs(off_mm) / 10.0)
