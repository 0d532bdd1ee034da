"""Pages of SVG, element by element: fast enough for a dozen figures per participant."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image

from tmsprep.atomic import write_text
from tmsprep.text import printable

#: Attributes of an element by name, with ``_`` for ``-``; text or numbers, None is left out.
Attributes = dict[str, Any]

#: Default size of text, points.
FONT_SIZE = 7.5

#: Widths are measured for DejaVu Sans; Verdana has nearly the same.
FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"

#: Width in points of the dark edge that keeps letters readable on a bright picture.
_HALO = 1.6

#: Little visible loss in a grey slice, a seventh of the size of a PNG; the viewer shows all of it.
_JPEG_QUALITY = 80


class Page:
    """A white page of a width and height in points; x runs right, y down from the upper edge."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.parts: list[str] = []

    def add(self, *parts: str) -> None:
        """Put elements on top of what is there."""
        self.parts.extend(parts)

    def save(self, path: Path) -> Path:
        """Write the page, whole or not at all; the same page gives the same bytes."""
        return write_text(path, self.as_text())

    def as_text(self) -> str:
        """Return the page as an SVG file's content."""
        width, height = number(self.width), number(self.height)
        start = (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{width}pt" height="{height}pt" viewBox="0 0 {width} {height}" '
            f'font-family="{FONTS}" font-size="{FONT_SIZE}">'
        )
        white = element('rect', width=self.width, height=self.height, fill='white')
        return '\n'.join([start, white, *self.parts, '</svg>']) + '\n'


def number(value: float) -> str:
    """Write a length; a hundredth of a point is enough for a line."""
    return f'{round(value, 2) + 0.0:.2f}'.rstrip('0').rstrip('.')


def element(tag: str, content: Sequence[str] = (), **attributes: Any) -> str:
    """Write one element.

    Parameters
    ----------
    tag : str
        Its name.
    content : sequence of str
        What it holds, ready to be written; text must have been escaped.
    **attributes : str, float or None
        By name, with ``_`` for ``-``; None is left out.
    """
    words = [tag]
    for name, value in attributes.items():
        if value is not None:
            written = value if isinstance(value, str) else number(value)
            words.append(f'{name.replace("_", "-")}={quoteattr(printable(written))}')
    start = ' '.join(words)
    return f'<{start}>{"".join(content)}</{tag}>' if content else f'<{start}/>'


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str | None = None,
    halo: bool = False,
    **attributes: Any,
) -> str:
    """Write words on a baseline that begins, or with `anchor` 'middle' or 'end' ends, at a place.

    With `halo` they have a dark edge, to be read on a picture.
    """
    if halo:
        edge: Attributes = {'stroke': 'black', 'stroke_opacity': 0.65, 'stroke_width': _HALO}
        attributes = {**edge, 'stroke_linejoin': 'round', 'paint_order': 'stroke', **attributes}
    return element('text', [escape(printable(words))], x=x, y=y, text_anchor=anchor, **attributes)


def line(
    points: np.ndarray | Sequence[Sequence[float]], colour: str, width: float, **more: Any
) -> str:
    """Draw straight lines through places, shape (n, 2)."""
    places = ' '.join(f'{number(x)},{number(y)}' for x, y in points)
    return element(
        'polyline', points=places, fill='none', stroke=colour, stroke_width=width, **more
    )


def outlines(lines: Sequence[np.ndarray], colour: str, width: float) -> str:
    """Draw many lines of one colour, each of shape (n, 2), to a tenth of a point.

    Steps in whole tenths take a third of the letters that places take.
    """
    steps = []
    for places in lines:
        tenths = np.round(np.asarray(places) * 10).astype(int)
        first, rest = tenths[0], np.diff(tenths, axis=0)
        # A minus sign separates numbers as well as a space does.
        moved = ' '.join(f'{x} {y}' for x, y in rest).replace(' -', '-')
        steps.append(f'M{first[0]} {first[1]}l{moved}')
    return element(
        'path', d=''.join(steps), transform='scale(.1)', fill='none', stroke=colour,
        stroke_width=10 * width,
    )  # fmt: skip


def marker(shape: str, x: float, y: float, size: float, **attributes: Any) -> str:
    """Draw a small shape around a place, as large as matplotlib draws the marker of that letter.

    Parameters
    ----------
    shape : str
        'o' a circle, 's' a square, '^' a triangle, 'D' a diamond.
    x, y : float
        Its centre, points.
    size : float
        Diameter of the circle, side of the square, in points.
    **attributes : str, float or None
        Further attributes of the element.
    """
    half = size / 2
    if shape == 'o':
        return element('circle', cx=x, cy=y, r=half, **attributes)
    corners = {
        's': ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        '^': ((0, -1), (1, 1), (-1, 1)),
        'D': ((0, -(2**0.5)), (2**0.5, 0), (0, 2**0.5), (-(2**0.5), 0)),
    }[shape]
    places = ' '.join(f'{number(x + half * a)},{number(y + half * b)}' for a, b in corners)
    return element('polygon', points=places, **attributes)


def picture(grey: np.ndarray, x: float, y: float, width: float, height: float) -> str:
    """Place a grey picture, shape (rows, columns), 0 to 1, its first row on top, as JPEG."""
    packed = io.BytesIO()
    Image.fromarray(_bytes(grey)).save(packed, 'JPEG', quality=_JPEG_QUALITY, optimize=True)
    return _image('jpeg', packed, x, y, width, height)


def overlay(rgba: np.ndarray, x: float, y: float, width: float, height: float) -> str:
    """Place a picture that one can see through, shape (rows, columns, 4), 0 to 1, as PNG."""
    packed = io.BytesIO()
    Image.fromarray(_bytes(rgba)).save(packed, 'PNG', optimize=True)
    return _image('png', packed, x, y, width, height)


def _bytes(levels: np.ndarray) -> np.ndarray:
    return (np.clip(levels, 0, 1) * 255 + 0.5).astype(np.uint8)


def _image(kind: str, packed: io.BytesIO, x: float, y: float, width: float, height: float) -> str:
    content = base64.b64encode(packed.getvalue()).decode('ascii')
    place: Attributes = {
        'x': x,
        'y': y,
        'width': width,
        'height': height,
        'preserveAspectRatio': 'none',
    }
    return element('image', **place, **{'xlink:href': f'data:image/{kind};base64,{content}'})
