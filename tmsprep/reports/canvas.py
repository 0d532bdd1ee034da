"""What all figures share: colours and marks of the methods, panels, and the SVG file."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.reports.planes import AXIS_ENDS, Plane, View
from tmsprep.reports.styles import MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = {
    'font.family': ['DejaVu Sans'],
    'font.size': 7.5,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'tmsprep',
    'svg.image_inline': True,
    'path.simplify': True,
    'path.simplify_threshold': 0.3,
}
_FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
# matplotlib brings DejaVu Sans and measures with it; Verdana has nearly the same widths.

_JPEG_QUALITY = 88
# Our choice: no visible loss in a grey slice, a fifth of the PNG's size.

_PNG = re.compile(r'data:image/png;base64,([A-Za-z0-9+/=\s]+)')
_PATH = re.compile(r' d="[^"]*"')
_LONG_NUMBER = re.compile(r'(\.\d\d)\d+')
# A hundredth of a point is enough for a line.

_PIXELATED = 'image-rendering:crisp-edges;image-rendering:pixelated'


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the settings under which figures are drawn and saved, whatever the user's own."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def save_svg(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG, the same bytes each time, its pictures as grey JPEG.

    Call it within `figure_style`.
    """
    text = io.StringIO()
    figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None})
    svg = _PNG.sub(_as_grey_jpeg, text.getvalue())
    svg = _PATH.sub(lambda path: _LONG_NUMBER.sub(r'\1', path.group()), svg)
    svg = svg.replace(_PIXELATED, '').replace("'DejaVu Sans'", _FONTS)
    return write_text(path, svg)


def _as_grey_jpeg(match: re.Match[str]) -> str:
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(match.group(1)))).convert('L')
    packed = io.BytesIO()
    picture.save(packed, 'JPEG', quality=_JPEG_QUALITY, optimize=True)
    return 'data:image/jpeg;base64,' + base64.b64encode(packed.getvalue()).decode('ascii')


def show_plane(
    axes: Axes, plane: Plane, view: View, window: tuple[float, float], *, radiological: bool
) -> None:
    """Draw a slice in mm with the names of its four sides.

    Sagittal slices look to the right in both conventions; `radiological` turns left and right.
    """
    half = (plane.across[1] - plane.across[0]) / 2
    left, right = plane.across[0] - half, plane.across[-1] + half
    bottom, top = plane.up[0] - half, plane.up[-1] + half
    mirrored = radiological and view.across == 0
    low, high = window
    grey = np.clip((plane.data - low) / (high - low), 0, 1)
    axes.imshow(
        grey[:, ::-1] if mirrored else grey,
        cmap='gray',
        vmin=0,
        vmax=1,
        origin='lower',
        interpolation='none',
        extent=(right, left, bottom, top) if mirrored else (left, right, bottom, top),
        aspect='equal',
    )
    axes.set_facecolor('black')
    axes.tick_params(length=2, width=0.5, pad=1.5, labelsize=6, colors='#444444')
    for spine in axes.spines.values():
        spine.set_visible(False)
    name_sides(axes, view, mirrored=mirrored)


def name_sides(axes: Axes, view: View, *, mirrored: bool = False, height: float = 0.5) -> None:
    """Write L/R, P/A, I/S at the sides of a panel.

    `mirrored` if the axis across runs to the left; `height` is where its names stand, 0 to 1.
    """
    first, last = AXIS_ENDS[view.across]
    if mirrored:
        first, last = last, first
    bottom, top = AXIS_ENDS[view.up]
    _side(axes, 0.03, height, first)
    _side(axes, 0.97, height, last)
    _side(axes, 0.5, 0.03, bottom)
    _side(axes, 0.5, 0.97, top)


def _side(axes: Axes, x: float, y: float, name: str) -> None:
    strong = name in 'LR'
    axes.text(
        x,
        y,
        name,
        transform=axes.transAxes,
        ha={0.03: 'left', 0.97: 'right'}.get(x, 'center'),
        va={0.03: 'bottom', 0.97: 'top'}.get(y, 'center'),
        color='#ffe066' if strong else '#dddddd',
        fontsize=10 if strong else 7,
        fontweight='bold' if strong else 'normal',
        gid=f'side-{name}',
        bbox={'facecolor': 'black', 'alpha': 0.55, 'pad': 1, 'linewidth': 0},
    )


def scale_bar(axes: Axes, length_mm: float = 10.0) -> None:
    """Draw a bar of a known length in the lower right corner of a panel drawn in mm."""
    start, end = axes.get_xlim()
    bottom, top = axes.get_ylim()
    direction = np.sign(end - start)
    x = end - direction * 0.05 * abs(end - start)
    y = bottom + 0.05 * (top - bottom)
    tail = x - direction * length_mm
    axes.plot([tail, x], [y, y], color='black', linewidth=3.2, solid_capstyle='butt')
    axes.plot([tail, x], [y, y], color='white', linewidth=1.8, solid_capstyle='butt')
    axes.annotate(
        f'{length_mm:g} mm',
        ((tail + x) / 2, y),
        xytext=(0, 3),
        textcoords='offset points',
        ha='center',
        va='bottom',
        color='white',
        fontsize=6.5,
        bbox={'facecolor': 'black', 'alpha': 0.55, 'pad': 0.8, 'linewidth': 0},
    )


def mark(
    axes: Axes, x: float, y: float, style: MethodStyle, *, size: float, alpha: float = 1.0
) -> None:
    """Draw a method's hollow mark, so that the cortex below it stays visible."""
    for width, colour in ((2.8, 'black'), (1.5, style.colour)):
        axes.plot(
            [x],
            [y],
            marker=style.marker,
            markersize=size * style.scale,
            markerfacecolor='none',
            markeredgecolor=colour,
            markeredgewidth=width,
            alpha=alpha,
            linestyle='none',
        )
    axes.plot([x], [y], marker='o', markersize=1.6, color=style.colour, alpha=alpha, mew=0)
