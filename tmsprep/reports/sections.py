"""Plain data of a report, and the one template that shows it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from tmsprep import __version__
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.protocols import Protocol
from tmsprep.text import printable, shown, without_folders

if TYPE_CHECKING:
    from tmsprep.reports.viewer import Viewer

_DOI = re.compile(r'doi:(10\.[^\s<>]*[^\s<>.,;])')

#: Characters that end a data URI or would be escaped in HTML, and the parenthesis of references to
#: other parts, which are to be seen in a page's own text alone; the per cent sign first.
_ESCAPED = '%#"<>&(\'\n\r\t'


@dataclass(frozen=True)
class Number:
    """A number of a table: as written in the file, and rounded for reading."""

    exact: str
    shown: str

    @classmethod
    def parse(cls, cell: str | None, decimals: int = 1) -> Number | None:
        """Read a cell; None if it is missing or not finite."""
        try:
            value = float(cell or 'nan')
        except ValueError:
            return None
        if cell is None or not math.isfinite(value):
            return None
        # Adding 0.0 removes the sign of -0.0.
        return cls(cell.strip(), f'{round(value, decimals) + 0.0:.{decimals}f}')

    @classmethod
    def of(cls, value: float, decimals: int = 1) -> Number:
        """Write a number; a count has no decimals."""
        if isinstance(value, int):
            return cls(str(value), str(value))
        return cls(f'{value:.4f}', f'{value:.{decimals}f}')

    @property
    def value(self) -> float:
        """The number itself."""
        return float(self.exact)


@dataclass(frozen=True)
class Link:
    """Text that leads to another place of the page or to a file beside it."""

    text: str
    href: str


@dataclass(frozen=True)
class Table:
    """A table with text, numbers, links or small pictures as cells; None is shown as n/a.

    Parameters
    ----------
    caption : str
        Title above the table.
    head : sequence of str
        Column headings.
    rows : sequence
        One sequence of cells per row; the first cell is the row's heading.
    notes : str
        Explanation below the table.
    warns : collection of int
        Indices of rows that are marked as warnings.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Number | Link | Picture | None]]
    notes: str = ''
    warns: Collection[int] = ()


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with its caption and its text alternative."""

    what: str
    uri: str
    alt: str

    @classmethod
    def read(cls, path: Path, alt: str, what: str = '') -> Picture:
        """Embed an SVG file; shown as a picture it can neither run scripts nor load files."""
        # The slices inside are in base64 already, which would grow by a third once more.
        content = Path(path).read_text(encoding='utf-8', errors='replace')
        for character in _ESCAPED:
            content = content.replace(character, f'%{ord(character):02X}')
        return cls(what, f'data:image/svg+xml,{content}', alt)


@dataclass(frozen=True)
class Section:
    """Part of a report.

    Texts may mark **bold**, `code` and [places](#place) of the page, separate paragraphs by an
    empty line, and cite 'doi:10...', which becomes a link. Everything else is escaped.

    Parameters
    ----------
    title : str
        Heading; a section without one adds facts, methods and references only.
    text : str
        Shown below the heading.
    pictures, tables, parts : sequence
        Shown in this order after the text.
    lead : str
        Sentence that a reader must know before all else, above that summary.
    facts : sequence of str
        Sentences for the summary at the top of the page.
    warnings : sequence of str
        Sentences that a reader must not miss, for the same summary; those of a part stand below
        its heading.
    details : mapping
        Title to the content of a sidecar, folded at the end of the page.
    methods : str
        What the methods part of the report says.
    references : sequence of str
        Full citations.
    anchor : str
        Name of the place for links; made from the title if it is not given.
    side : str
        'Left', 'Right' or 'Midline', shown as a badge in front of the title.
    folded : bool
        Whether it opens on a click.
    """

    title: str = ''
    text: str = ''
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    parts: Sequence[Section] = ()
    lead: str = ''
    facts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    methods: str = ''
    references: Sequence[str] = ()
    anchor: str = ''
    side: str = ''
    folded: bool = False

    @property
    def place(self) -> str:
        """Name of the place for links."""
        return self.anchor or re.sub(r'[^a-z0-9]+', '-', self.title.lower()).strip('-')

    @property
    def only_pictures(self) -> bool:
        """Whether it shows figures and no table, so that it can wait for a click."""
        shown = bool(self.pictures) or any(part.only_pictures for part in self.parts)
        return shown and not self.tables and not any(part.tables for part in self.parts)

    @property
    def has_content(self) -> bool:
        """Whether it has more than text to show under its heading."""
        return bool(self.pictures or self.tables or self.parts)


@dataclass(frozen=True)
class Page:
    """The part of a report about one image, or the summary of a group.

    Parameters
    ----------
    anchor, title, name : str
        Place for links, heading, and file name below it.
    level : str
        'good', 'look', 'bad' or 'plain': colour of the summary.
    verdict, concerns : str
        First sentence of the summary, and the same in few words for the table of contents.
    leads : sequence of str
        Sentences above that one.
    facts, warnings : sequence of str
        Further sentences of the summary.
    sections : sequence of Section
        Shown below the summary and the table of targets.
    errors : sequence
        Steps that failed: 'node', 'image', 'message', 'cure' and 'traceback'.
    details : mapping
        Title to the content of a sidecar.
    cards : sequence of tmsprep.reports.first_screen.Card
        One recommended point per target.
    card_columns : mapping
        Attribute of the cards to heading and explanation of its column.
    common_reason : str
        Why most points are recommended, said once; '' if no two cards have the same reason.
    notes, steps : sequence of str
        Remarks below the cards, and what to do next.
    counts : sequence of str
        Sentences above the table of targets.
    rows, columns, reference, with_expert
        The table of targets: rows, its further columns with title and explanation, the image
        whose frame holds, and whether raters' points are in it.
    viewer : Viewer, optional
        The viewer of the image, above the table.
    """

    anchor: str
    title: str
    name: str = ''
    level: str = 'plain'
    verdict: str = ''
    concerns: str = ''
    leads: Sequence[str] = ()
    facts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = ()
    errors: Sequence[Any] = ()
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cards: Sequence[Any] = ()
    card_columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    common_reason: str = ''
    notes: Sequence[str] = ()
    steps: Sequence[str] = ()
    counts: Sequence[str] = ()
    rows: Sequence[Any] = ()
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    reference: str = ''
    with_expert: bool = False
    viewer: Viewer | None = None

    @property
    def same_reason(self) -> bool:
        """Whether every card has the same reason."""
        return all(card.reason == self.common_reason for card in self.cards)

    @property
    def placed(self) -> bool:
        """Whether it is known of any point in which gyrus it lies."""
        return any(estimate.gyrus for row in self.rows for estimate in row.estimates)

    @property
    def anchors(self) -> set[str]:
        """Places of the parts of its sections, such as the targets with a figure."""
        return {part.anchor for section in self.sections for part in section.parts}


def render(
    protocol: Protocol,
    *,
    kind: str,
    heading: str,
    pages: Sequence[Page],
    methods: Sequence[str],
    references: Sequence[str],
    sections: Sequence[Section] = (),
    errors: Sequence[Any] = (),
    problems: Sequence[str] = (),
    remarks: Sequence[Mapping[str, Any]] | None = None,
    most_remarks: int = 0,
    remarks_file: str = '',
) -> str:
    """Fill in the template of all reports; all is escaped but the style sheet and the script.

    Parameters
    ----------
    protocol : Protocol
        Words, title, source and disclaimer of the report.
    kind, heading : str
        Kind of report, and its heading.
    pages : sequence of Page
        Images of a participant, or the summary of a group.
    methods : sequence of str
        Paragraphs on how it was made.
    references : sequence of str
        Full citations.
    sections : sequence of Section
        Shown after the pages.
    errors, problems : sequence
        Steps that failed for no image in particular, as in `Page`, and files that could not be
        read.
    remarks : sequence of mapping, optional
        'severity', 'why' and 'who' (a list); None if the report has no such part.
    most_remarks : int
        Number of remarks of a kind that are listed.
    remarks_file : str
        Name of the table with all remarks.
    """
    data = files('tmsprep.data')
    environment = Environment(
        loader=FunctionLoader(lambda name: data.joinpath(name).read_text(encoding='utf-8')),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ['report.css', *(['viewer.css'] if any(page.viewer for page in pages) else [])]
    style = ''.join(data.joinpath(name).read_text(encoding='utf-8') for name in names)
    script, policy = _script() if len(names) > 1 else ('', '')
    environment.filters.update(prose=_prose, plain=_plain, local=_local)
    return environment.get_template('report.html.jinja').render(
        protocol=protocol,
        version=__version__,
        disclaimer=disclaimer(protocol),
        style=Markup(style),
        script=script,
        script_policy=policy,
        limit_mm=DISAGREEMENT_MM,
        kind=kind,
        heading=heading,
        pages=pages,
        methods=methods,
        references=references,
        sections=sections,
        errors=errors,
        problems=problems,
        remarks=remarks,
        most_remarks=most_remarks,
        remarks_file=remarks_file,
    )


def _script() -> tuple[Markup, str]:
    """Return the script of the viewer, and what the security policy of the page says of scripts.

    It lets this one run and no other, whatever a name or a comment in the data holds.
    """
    text = files('tmsprep.data').joinpath('viewer.js').read_text(encoding='utf-8')
    checksum = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')
    return Markup(text), f"; script-src 'sha256-{checksum}'"


def _visible(value: object) -> object:
    """Escape characters that would change the look of what is around them; HTML has no such."""
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return printable(value, keep='\n\t') if plain else value


def _local(text: object) -> str:
    """Cut a message, and shorten the paths in it to names in the data set; the log has it all."""
    return without_folders(shown(text))


def _prose(text: object) -> Markup:
    """Escape a text, then turn its few marks into HTML."""
    html = re.sub(r'`([^`]+)`', r'<code>\1</code>', str(escape(printable(text, keep='\n'))))
    html = re.sub(r'\*\*([^*]+)\*\*', r'<strong>\1</strong>', html)
    html = re.sub(r'\[([^\]]+)\]\((#[\w-]+)\)', r'<a href="\2">\1</a>', html)
    return Markup(_DOI.sub(r'<a href="https://doi.org/\1">doi:\1</a>', html))


def _plain(value: object) -> str:
    """Show a sidecar's value: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
