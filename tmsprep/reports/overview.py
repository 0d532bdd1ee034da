"""All targets in one figure: on the person's own brain seen from the left, above and the right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.spatialimages import SpatialImage

from tmsprep.points import PointSet
from tmsprep.reports.canvas import (
    figure_style,
    mark,
    name_sides,
    save_svg,
    scale_bar,
)
from tmsprep.reports.planes import VIEWS, View, Volume, bounding_box, plane_in_box
from tmsprep.reports.styles import method_order, method_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPACING_MM = 1.25
# Of the rendering. Our choice.

CORTEX_MM = (3.0, 9.0)
# Depths below the mask's surface that are averaged: bright gyri, dark sulci. Our choice.

LINE_MM = 8.0
# Distance of two names in a column. Our choice.

_WIDTH_IN = 8.0
# Width of the figure in inches.


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
        The T1w; any axis order, oblique or not.
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
    from matplotlib.figure import Figure

    volume = Volume.from_image(image)
    box, brain = _brain(volume, mask)
    with figure_style():
        extents = box[1] - box[0]
        widths = [extents[look.view.across] + 2 * look.margin for look in LOOKS]
        height_in = 0.92 * _WIDTH_IN * extents[[2, 1]].max() / sum(widths)
        figure = Figure(figsize=(_WIDTH_IN, height_in + 0.75))
        total = height_in + 0.75
        grid = figure.add_gridspec(
            1,
            3,
            width_ratios=widths,
            left=0.02,
            right=0.98,
            top=1 - 0.25 / total,
            bottom=0.5 / total,
            wspace=0.06,
        )
        for column, look in enumerate(LOOKS):
            axes = figure.add_subplot(grid[column])
            grey, spacing = _background(look, volume, box, brain, points)
            _draw_background(axes, look, box, grey, spacing)
            _draw_points(axes, look, points, box[:, 0].mean())
        _draw_legend(figure, points, total, rendered=brain is not None)
        return save_svg(figure, path)


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


def _draw_background(
    axes: Axes, look: Look, box: np.ndarray, grey: np.ndarray, spacing: float
) -> None:
    left, bottom = box[0, [look.view.across, look.view.up]]
    top, right = np.array([bottom, left]) + np.array(grey.shape) * spacing
    axes.imshow(
        grey[:, ::-1] if look.mirrored else grey,
        cmap='gray',
        vmin=0,
        vmax=1,
        origin='lower',
        interpolation='none',
        extent=(right, left, bottom, top) if look.mirrored else (left, right, bottom, top),
        aspect='equal',
    )
    axes.set(xticks=[], yticks=[], facecolor='black')
    axes.set_title(look.title, pad=3)
    axes.autoscale(False)
    if look.margin:
        axes.set_xlim(left - look.margin, right + look.margin)
    name_sides(axes, look.view, mirrored=look.mirrored, height=0.93 if look.margin else 0.5)
    scale_bar(axes)


def _middle(points: Mapping[str, PointSet], look: Look, box: np.ndarray) -> float:
    places = np.concatenate(
        [p.coordinates[p.found] for p in points.values()] or [np.empty((0, 3))]
    )
    centre = box.mean(axis=0)
    if look.hemispheres in ('L', 'R'):
        places = places[(places[:, 0] < centre[0]) == (look.hemispheres == 'L')]
    along = places[:, look.view.through]
    return float(np.median(along)) if len(along) else float(centre[look.view.through])


def _draw_points(
    axes: Axes,
    look: Look,
    points: Mapping[str, PointSet],
    middle: float,
) -> None:
    named: dict[str, tuple[np.ndarray, str]] = {}
    for method in method_order(points):
        places = points[method]
        for label in np.array(places.labels)[places.found]:
            place = places[label]
            side = 'LR'[int(place[0] > middle)]
            if side not in look.hemispheres:
                continue
            x, y = place[look.view.across], place[look.view.up]
            mark(axes, x, y, method_style(method), size=5.5)
            named.setdefault(label, (np.array([x, y]), side))
    for side in look.hemispheres:
        _name(axes, look, {label: place for label, (place, s) in named.items() if s == side}, side)


def _name(axes: Axes, look: Look, places: Mapping[str, np.ndarray], side: str) -> None:
    labels = sorted(places, key=lambda label: (-places[label][1], label))
    heights = spread_out(np.array([places[label][1] for label in labels]), LINE_MM)
    start, end = axes.get_xlim()
    for label, height in zip(labels, heights, strict=True):
        x, y = places[label]
        if look.margin:
            at = start + 3 if side == 'L' else end - 3
            axes.plot([at, x], [height, y], color='white', linewidth=0.5, alpha=0.8, zorder=1.5)
        else:
            at = x + 6 * np.sign(end - start)
        axes.text(
            at,
            height,
            label,
            ha='left' if side == 'L' or not look.margin else 'right',
            va='center',
            fontsize=6,
            color='white',
            bbox={'facecolor': 'black', 'alpha': 0.6, 'pad': 0.6, 'linewidth': 0},
        )


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


def _draw_legend(
    figure: Figure, points: Mapping[str, PointSet], total: float, *, rendered: bool
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for method in method_order(points):
        style, found = method_style(method), points[method].found
        name = f'{style.name}: {found.sum()} of {len(found)}'
        handles.append(
            Line2D([], [], ls='', marker=style.marker, mfc=style.colour, mec='black', label=name)
        )
    figure.legend(
        handles=handles,
        loc='lower left',
        bbox_to_anchor=(0.015, 0.2 / total),
        ncols=len(handles) or 1,
        frameon=False,
        borderpad=0,
    )
    text = (
        "The person's own cortex, 3 to 9 mm below the brain's surface; deep targets are projected."
        if rendered
        else 'Slices through the middle of the targets; the targets are projected onto them.'
    )
    figure.text(0.02, 0.06 / total, text, fontsize=6.5, color='#333333')
