"""A page of targets to read and type in, for navigators that open no file; it prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.formats.markers import Marker
from tmsprep.formats.parsing import (
    DECIMALS,
    PointsFileError,
    check_writable,
    read_text,
    rounded,
    three_numbers,
)
from tmsprep.text import printable

#: Decimals that are shown: a tenth of a millimetre is less than a navigator resolves.
SHOWN_DECIMALS = 1

_LPS = np.array([-1.0, -1.0, 1.0])


def write_sheet(
    path: Path,
    markers: Sequence[Marker],
    *,
    heading: str,
    frame: str,
    uri: str,
    sha256: str,
    disclaimer: str,
) -> Path:
    """Write the page, whole or not at all; a missing point has words instead of numbers.

    Parameters
    ----------
    path : Path
        Ends in ``.html``.
    markers : sequence of Marker
        mm, RAS+.
    heading : str
        The participant and the image.
    frame : str
        Which form of the header the points are in, in words.
    uri, sha256 : str
        The image, and the checksum of its file.
    disclaimer : str
        What the points must not be used for.

    Raises
    ------
    PointsFileError
        If a name cannot be written.
    """
    check_writable([marker.title for marker in markers], path)
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = files('tmsprep.data').joinpath('sheet.html.jinja').read_text(encoding='utf-8')
    page = environment.from_string(template).render(
        markers=markers,
        heading=heading,
        frame=frame,
        uri=uri,
        sha256=sha256,
        disclaimer=disclaimer,
        version=__version__,
        numbers=_numbers,
        lps=lambda point: point * _LPS,
        known=math.isfinite,
    )
    return write_text(path, page + '\n')


def _numbers(point: np.ndarray, kind: str) -> Markup:
    """Show a point with few decimals; the page keeps the exact numbers as values."""
    cells = (
        f'<data class="{kind}" value="{value:.{DECIMALS}f}">{_shown(value)}</data>'
        for value in rounded(point)
    )
    return Markup(' '.join(cells))


def _shown(value: float) -> str:
    return f'{round(value, SHOWN_DECIMALS) + 0.0:.{SHOWN_DECIMALS}f}'


class _Rows(HTMLParser):
    """Collects the numbers of each row of the table, by kind, as values and as shown."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, dict[str, list[tuple[str, str]]]]] = []
        self._number: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or '' for name, value in attrs}
        if tag == 'tr' and 'data-title' in given:
            self.rows.append((given['data-title'], {}))
        elif tag == 'data' and self.rows:
            self._number = given.get('class', ''), given.get('value', '')

    def handle_data(self, data: str) -> None:
        if self._number is not None:
            kind, value = self._number
            self.rows[-1][1].setdefault(kind, []).append((value, data))
            self._number = None


def read_sheet(path: Path) -> list[Marker]:
    """Read the targets of a page, mm, RAS+, with their entries.

    Raises
    ------
    PointsFileError
        If a number is not shown as it is, LPS is not the same point, or the page is not of that
        form.
    """
    parser = _Rows()
    parser.feed(read_text(path))
    found = []
    for title, kinds in parser.rows:
        points = {kind: _point(numbers, f'{path}: {title}') for kind, numbers in kinds.items()}
        missing = np.full(3, np.nan)
        target, entry = points.get('target', missing), points.get('entry', missing)
        both = ((target, 'lps'), (entry, 'entry-lps'))
        if any(
            not np.array_equal(ras, points.get(lps, missing) * _LPS, equal_nan=True)
            for ras, lps in both
        ):
            raise PointsFileError(f'{path}: {title}: RAS and LPS are not the same point')
        found.append(Marker(title, target, entry=entry))
    return found


def _point(numbers: Sequence[tuple[str, str]], where: str) -> np.ndarray:
    try:
        values = three_numbers(value for value, _ in numbers)
        shown = three_numbers(text for _, text in numbers)
    except ValueError as error:
        raise PointsFileError(f'{where}: {error}') from error
    if np.abs(values - shown).max() > 0.51 * 10**-SHOWN_DECIMALS:
        raise PointsFileError(f'{where}: a number is not shown as it is')
    return values
