"""Figures that show whether brain mask and atlas lie on the participant's brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contourpy import contour_generator
from nibabel.spatialimages import SpatialImage
from scipy import ndimage

from tmsprep.reports.panels import WIDTH, Panel, draw_note, edges, show_plane
from tmsprep.reports.planes import VIEWS, View, Volume, bounding_box, plane_in_box
from tmsprep.reports.svg import Attributes, Page, outlines, text

#: Slices per view.
COLUMNS = 4

#: Spacing of the slices shown.
SPACING_MM = 1.25

#: Percentile of the intensities of the atlas brain, about where grey matter ends and white begins.
TISSUE_PERCENTILE = 60.0

#: Vertices of the shortest contour that is drawn; the rest is clutter.
SHORTEST = 12

_OUTLINE, _TISSUE = '#ffd43b', '#22d3ee'

#: Points left of the slices, between columns, between rows, and below them.
_LEFT, _GAP, _BETWEEN, _BELOW = 20.0, 2.0, 7.0, 26.0


@dataclass(frozen=True)
class Contour:
    """Lines of equal value of an image, drawn over the participant's slices."""

    volume: Volume
    level: float
    colour: str


def plot_mask(image: SpatialImage | Volume, mask: SpatialImage | Volume, path: Path) -> Path:
    """Draw the outline of the brain mask over the participant's slices.

    Parameters
    ----------
    image : nibabel image or Volume
        The T1w.
    mask : nibabel image or Volume
        The brain mask, on any grid in the same world.
    path : Path
        The SVG file to write.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        If the mask is empty or an image cannot be shown.
    """
    volume, inside = Volume.from_image(image), Volume.from_image(mask)
    box = _padded(bounding_box(inside.data > 0.5, inside.affine), 'the brain mask is empty')
    rows = [('brain mask', [Contour(inside, 0.5, _OUTLINE)])]
    return _mosaic(volume, box, rows, path, 'Line: outline of the brain mask.')


def plot_registration(
    image: SpatialImage | Volume,
    before: SpatialImage | Volume,
    after: SpatialImage | Volume,
    path: Path,
    *,
    titles: tuple[str, str] = ('before', 'after'),
) -> Path:
    """Draw the atlas's edges over the participant's slices, before and after the registration.

    Parameters
    ----------
    image : nibabel image or Volume
        The T1w, the fixed image.
    before : nibabel image or Volume
        The atlas where the registration began (or after its linear part), on any grid in the
        world of `image`.
    after : nibabel image or Volume
        The atlas moved by the whole registration, likewise.
    path : Path
        The SVG file to write.
    titles : tuple of str
        What the two are, such as 'after rigid and affine' and 'at the end'.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        If an atlas image is empty or an image cannot be shown.
    """
    volume = Volume.from_image(image)
    atlases = [Volume.from_image(atlas) for atlas in (before, after)]
    outline, tissue = atlas_levels(atlases[1].data)
    box = _padded(
        bounding_box(atlases[1].data > outline, atlases[1].affine), 'the moved atlas is empty'
    )
    rows = [
        (title, [Contour(atlas, outline, _OUTLINE), Contour(atlas, tissue, _TISSUE)])
        for title, atlas in zip(titles, atlases, strict=True)
    ]
    note = (
        'Lines: edges of the atlas (yellow: its outline, cyan: its white matter) on the slices of '
        'the participant. In the lower rows of each pair they must follow the brain below.'
    )
    return _mosaic(volume, box, rows, path, note)


def atlas_levels(data: np.ndarray) -> tuple[float, float]:
    """Return the intensities of an atlas's outline and of its white matter's edge.

    Raises
    ------
    ValueError
        If the atlas has no positive voxel.
    """
    positive = data[data > 0]
    if not len(positive):
        raise ValueError('the moved atlas is empty')
    bright = float(np.percentile(positive, 99))
    brain = positive[positive > 0.2 * bright]
    return 0.2 * bright, float(np.percentile(brain, TISSUE_PERCENTILE))


def _padded(box: np.ndarray | None, if_empty: str) -> np.ndarray:
    if box is None:
        raise ValueError(if_empty)
    return box + np.array([[-12.0], [12.0]])


def _mosaic(
    volume: Volume,
    box: np.ndarray,
    rows: Sequence[tuple[str, Sequence[Contour]]],
    path: Path,
    note: str,
) -> Path:
    extents = box[1] - box[0]
    width = (WIDTH - _LEFT - _GAP * COLUMNS) / COLUMNS
    heights = [width * extents[v.up] / extents[v.across] for v in VIEWS for _ in rows]
    page = Page(WIDTH, 4 + sum(heights) + _BETWEEN * len(heights) + _BELOW)
    top = 4.0
    for view in VIEWS:
        low, high = box[:, view.through]
        places = low + (high - low) * np.linspace(0.27, 0.75, COLUMNS)
        planes = [plane_in_box(volume, view, at, box, spacing=SPACING_MM) for at in places]
        scale = width / extents[view.across]
        for title, contours in rows:
            for column, (at, plane) in enumerate(zip(places, planes, strict=True)):
                panel = Panel(_LEFT + column * (width + _GAP), top, scale, *edges(plane))
                show_plane(panel, plane, view, volume.window)
                _draw_contours(panel, view, float(at), box, contours)
                page.add(panel.drawn(f'{view.name}-{title.replace(" ", "-")}-{column}'))
            middle = top + panel.height / 2
            turn = f'rotate(-90 {_LEFT - 7} {middle:.2f})'
            turned: Attributes = {'transform': turn, 'font_size': 7}
            words = f'{view.name}, {title}'
            page.add(text(_LEFT - 7, middle, words, anchor='middle', **turned))
            top += scale * extents[view.up] + _BETWEEN
    convention = "The participant's left is on the left of axial and coronal slices."
    draw_note(page, [note, convention], _LEFT)
    return page.save(path)


def _draw_contours(
    panel: Panel, view: View, at: float, box: np.ndarray, contours: Sequence[Contour]
) -> None:
    words = f'{"xyz"[view.through]} = {at:.0f}'
    panel.add(text(4, 9, words, halo=True, font_size=6, fill='white'))
    for contour in contours:
        found = contour_lines(contour, view, at, box)
        lines = [np.array([panel.place(*place) for place in places]) for places in found]
        if lines:
            panel.add(outlines(lines, contour.colour, 0.7))


def contour_lines(contour: Contour, view: View, at: float, box: np.ndarray) -> list[np.ndarray]:
    """Return a contour in a world plane as lines of shape (n, 2), mm RAS+ across and up."""
    plane = plane_in_box(contour.volume, view, at, box, spacing=SPACING_MM)
    smooth = ndimage.gaussian_filter(plane.data, 0.6)
    lines = contour_generator(plane.across, plane.up, smooth).lines(contour.level)
    return [line for line in map(np.asarray, lines) if len(line) >= SHORTEST]
