"""Slices of the locus coeruleus with the heatmaps or the segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contourpy import contour_generator
from nibabel.affines import apply_affine
from nibabel.spatialimages import SpatialImage

from tmsprep.methods.duennwald2021.measures import RADIUS_MM, reference_centre, reference_region
from tmsprep.reports.panels import (
    LEFT,
    RIGHT,
    WIDTH,
    Panel,
    draw_note,
    edges,
    mark,
    name_sides,
    scale_bar,
    show_grey,
)
from tmsprep.reports.planes import VIEWS, Plane, View, Volume, sample_plane
from tmsprep.reports.styles import MethodStyle
from tmsprep.reports.svg import Page, element, line, overlay, text

#: Marks and colours of both sides, in the order of the points.
SIDES = {'L': MethodStyle('Left', 'o', '#4dabff'), 'R': MethodStyle('Right', 's', '#ffb454', 0.9)}

#: Edge of the part of a slice that is shown: the brainstem, and the brainstem with surroundings.
CROP_MM, WIDE_MM = 44.0, 60.0

#: Heatmaps are shown as their maximum over slices within this distance.
SLAB_MM = 4.0

#: Labels farther from a point do not affect the choice of the slice, mm.
NEAR_MM = 10.0

_LEFT_IS_LEFT = "The participant's left is on the left of axial and coronal slices."
_HEATMAP_NOTES = (
    f'Blue, circle: left. Orange, square: right. Colour: heatmap within {SLAB_MM:g} mm.',
    'Marks: the points, the mean of each heatmap. Slices through the mean of both, or one point.',
    _LEFT_IS_LEFT,
)
_LABEL_NOTES = (
    'Lines: segmentation, left blue, right orange. Dashed green: cut through the reference ball.',
    'Slices through the middle of what is labelled near the points, or through the points.',
    _LEFT_IS_LEFT,
)
_SPACING, _HEAT_SPACING = 0.375, 0.75

#: Opacity of a heatmap is its value to this power, so that weak parts are visible.
_GAMMA = 0.3

_REFERENCE = '#7ee787'

#: Points between panels, above them for a title, between rows, and below them for the note.
_GAP, _ABOVE, _BETWEEN, _BELOW = 8.0, 20.0, 22.0, 40.0


@dataclass(frozen=True, eq=False)
class Scene:
    """The image, and both points: shape (2, 3), mm RAS+, left and right, NaN where missing."""

    volume: Volume
    points: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """Where the slices cross: the mean of the known points."""
        return np.nanmean(self.points, axis=0)

    @property
    def known(self) -> dict[str, np.ndarray]:
        """Side to its point, if it has one."""
        named = dict(zip(SIDES, self.points, strict=True))
        return {side: point for side, point in named.items() if np.isfinite(point).all()}


@dataclass(frozen=True)
class Slot:
    """Position of a slice on the page, its plane, its point and its width."""

    title: str
    view: View
    through: np.ndarray
    x: float
    y: float
    width: float
    crop_mm: float


def plot_heatmaps(scene: Scene, heatmaps: Mapping[str, SpatialImage], path: Path) -> Path:
    """Draw the heatmaps of both sides over the slices, next to the plain slice.

    As Figure 3 of Duennwald et al. 2021, which adds the heatmaps of left and right; here each
    side has its colour, and coronal and sagittal slices are shown too.

    Parameters
    ----------
    scene : Scene
        With one point at least.
    heatmaps : mapping
        'L' and 'R' to a heatmap whose largest value is 1, on any grid, mm, RAS+.
    path : Path
        The SVG file to write.
    """
    heat = {side: _volume(np.asarray(h.dataobj), h.affine, scene) for side, h in heatmaps.items()}
    half, third = _widths(2), _widths(3)
    lower = _ABOVE + half + _BETWEEN
    page = Page(WIDTH, lower + third + _BELOW)
    axial, coronal, sagittal = VIEWS
    columns = [LEFT + i * (half + _GAP) for i in range(2)]
    slots = [
        Slot(title, axial, scene.middle, x, _ABOVE, half, WIDE_MM)
        for title, x in zip(('slice', 'heatmaps'), columns, strict=True)
    ]
    parts = [('coronal', coronal, scene.middle)]
    parts += [
        (f'sagittal, {SIDES[side].name.lower()}', sagittal, point)
        for side, point in scene.known.items()
    ]
    slots += [
        Slot(title, view, through, LEFT + i * (third + _GAP), lower, third, CROP_MM)
        for i, (title, view, through) in enumerate(parts)
    ]
    for slot in slots:
        panel = _slice(page, scene, slot)
        if slot.title != 'slice':
            _add_heat(panel, slot, heat)
        if slot.view is not axial:
            _add_points(panel, scene, slot)
        _finish(page, panel, slot)
    draw_note(page, _HEATMAP_NOTES, LEFT)
    return page.save(path)


def plot_labels(scene: Scene, labels: SpatialImage, path: Path) -> Path:
    """Draw the outlines of a segmentation and of the reference region over the slices.

    Parameters
    ----------
    scene : Scene
        With one point at least.
    labels : nibabel image
        1 left, 2 right.
    path : Path
        The SVG file to write.
    """
    data = np.asarray(labels.dataobj)
    masks = {
        side: _volume(data == number, labels.affine, scene)
        for number, side in enumerate(SIDES, start=1)
    }
    centres = {side: _label_centre(masks[side], point) for side, point in scene.known.items()}
    middle = np.mean(list(centres.values()), axis=0)
    quarter = _widths(4)
    page = Page(WIDTH, _ABOVE + quarter + _BELOW)
    axial, coronal, sagittal = VIEWS
    parts = [('axial', axial, middle), ('coronal', coronal, middle)]
    parts += [
        (f'sagittal, {SIDES[side].name.lower()}', sagittal, centre)
        for side, centre in centres.items()
    ]
    reference = _reference(scene)
    for i, (title, view, through) in enumerate(parts):
        slot = Slot(title, view, through, LEFT + i * (quarter + _GAP), _ABOVE, quarter, CROP_MM)
        panel = _slice(page, scene, slot)
        for side, mask in masks.items():
            _add_outline(panel, slot, mask, SIDES[side].colour)
        _add_ball(panel, slot, reference)
        _finish(page, panel, slot)
    draw_note(page, _LABEL_NOTES, LEFT)
    return page.save(path)


def _widths(columns: int) -> float:
    return (RIGHT - LEFT - _GAP * (columns - 1)) / columns


def _volume(data: np.ndarray, affine: np.ndarray, scene: Scene) -> Volume:
    return Volume(data.astype(np.float32), affine, (0.0, 1.0), scene.volume.box)


def _plane(volume: Volume, slot: Slot, spacing: float, off_mm: float = 0.0) -> Plane:
    half = slot.crop_mm / 2
    across, up = (
        (slot.through[axis] - half, slot.through[axis] + half)
        for axis in (slot.view.across, slot.view.up)
    )
    at = slot.through[slot.view.through] + off_mm
    return sample_plane(volume, slot.view, at, across, up, spacing=spacing)


def _slice(page: Page, scene: Scene, slot: Slot) -> Panel:
    """Show a slice with its own intensity window: the contrast is weaker than that of a head."""
    plane = _plane(scene.volume, slot, _SPACING)
    across, up = edges(plane)
    panel = Panel(slot.x, slot.y, slot.width / (across[1] - across[0]), across, up)
    inside = plane.data[plane.data != 0]
    low, high = np.percentile(inside, (10.0, 99.7)) if len(inside) else (0.0, 1.0)
    show_grey(panel, (plane.data - low) / max(high - low, 1e-6), across, up)
    page.add(text(slot.x, slot.y - 6, slot.title, font_weight='bold'))
    return panel


def _add_heat(panel: Panel, slot: Slot, heat: Mapping[str, Volume]) -> None:
    for side, volume in heat.items():
        offsets = np.arange(-SLAB_MM, SLAB_MM + 1e-6, _HEAT_SPACING)
        planes = [_plane(volume, slot, _HEAT_SPACING, float(off)) for off in offsets]
        largest = np.max([plane.data for plane in planes], axis=0)
        colour = [int(SIDES[side].colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        rgba = np.empty((*largest.shape, 4))
        rgba[..., :3], rgba[..., 3] = colour, 0.9 * np.clip(largest, 0, 1) ** _GAMMA
        panel.add(overlay(rgba[::-1], 0, 0, panel.width, panel.height))


def _add_points(panel: Panel, scene: Scene, slot: Slot) -> None:
    for side, point in scene.known.items():
        if slot.view.name == 'sagittal' and SIDES[side].name.lower() not in slot.title:
            continue
        across, up = point[[slot.view.across, slot.view.up]]
        mark(panel, across, up, SIDES[side], size=7)


def _add_outline(panel: Panel, slot: Slot, mask: Volume, colour: str) -> None:
    plane = _plane(mask, slot, _SPACING)
    for places in contour_generator(plane.across, plane.up, plane.data).lines(0.5):
        ends = np.array([panel.place(*place) for place in np.asarray(places)])
        panel.add(line(ends, 'black', 2.0), line(ends, colour, 1.1))


def _reference(scene: Scene) -> np.ndarray | None:
    """Middle of the reference region; None if there is none."""
    volume = scene.volume
    if reference_region(volume.data.shape, volume.affine, scene.points).any():
        return reference_centre(scene.points)
    return None


def _add_ball(panel: Panel, slot: Slot, centre: np.ndarray | None) -> None:
    if centre is None:
        return
    off = centre[slot.view.through] - slot.through[slot.view.through]
    if abs(off) >= RADIUS_MM:
        return
    x, y = panel.place(*centre[[slot.view.across, slot.view.up]])
    radius = panel.scale * (RADIUS_MM**2 - off**2) ** 0.5
    circle = {'cx': x, 'cy': y, 'r': radius, 'fill': 'none', 'stroke_dasharray': '3.6 1.8'}
    panel.add(element('circle', **circle, stroke=_REFERENCE, stroke_width=1.1))


def _label_centre(mask: Volume, point: np.ndarray) -> np.ndarray:
    """Mean of the labelled voxels near a point; the point itself if there are none."""
    voxels = apply_affine(mask.affine, np.argwhere(mask.data > 0.5))
    near = voxels[np.linalg.norm(voxels - point, axis=1) <= NEAR_MM]
    return near.mean(axis=0) if len(near) else point


def _finish(page: Page, panel: Panel, slot: Slot) -> None:
    name_sides(panel, slot.view)
    scale_bar(panel)
    axis = slot.view.through
    words = f'{"xyz"[axis]} = {slot.through[axis]:.1f}'
    panel.add(text(4, 10, words, halo=True, font_size=6.5, fill='white'))
    page.add(panel.drawn(slot.title.replace(', ', '-')))
