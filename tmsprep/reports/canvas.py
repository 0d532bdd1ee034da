"""Charts by matplotlib: their style, and the SVG file."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.atomic import write_text
from tmsprep.reports.svg import FONTS

if TYPE_CHECKING:
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

_PATH = re.compile(r' d="[^"]*"')
_LONG_NUMBER = re.compile(r'(\.\d\d)\d+')
# A hundredth of a point is enough for a line.


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the settings under which figures are drawn and saved, whatever the user's own."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def save_svg(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG, the same bytes each time.

    Call it within `figure_style`.
    """
    text = io.StringIO()
    figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None})
    svg = _PATH.sub(lambda path: _LONG_NUMBER.sub(r'\1', path.group()), text.getvalue())
    return write_text(path, svg.replace("'DejaVu Sans'", FONTS))
