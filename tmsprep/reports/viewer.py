"""The viewer of the report of one image: what the script of the page needs, as data."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tmsprep import __version__
from tmsprep.bids.names import Layout
from tmsprep.derivatives.earlier import EXPERT, POINTS, REVIEWED
from tmsprep.evaluation.recommendation import Recommendation
from tmsprep.evaluation.status import RADIUS
from tmsprep.point_table import POINT_STATUSES
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import ImageResults
from tmsprep.reports.first_screen import recommended
from tmsprep.reports.gyri import gyrus_words
from tmsprep.reports.head_volume import read_head
from tmsprep.reports.sections import Number, Page
from tmsprep.reports.styles import MethodStyle, method_order, method_style
from tmsprep.reports.summary import status_words, statuses_of
from tmsprep.text import plain, printable

#: Most bytes of all heads of one page, before base64: some six heads. Mail takes no larger files.
MOST_ON_PAGE = 9_000_000


@dataclass(frozen=True)
class Viewer:
    """What the page holds for the viewer of one image.

    Parameters
    ----------
    data : Markup
        JSON: the targets, their points and the decisions of a reviewer.
    head : str
        The head in base64, see `tmsprep.reports.head_volume.write_head`.
    spacing, levels : float, int
        Size of its voxels in mm, and number of its grey levels.
    defaced : bool
        Whether the face was removed.
    methods : sequence of MethodStyle
        For the legend.
    with_entries : bool
        Whether a table has scalp entries.
    """

    data: Markup
    head: str
    spacing: float
    levels: int
    defaced: bool
    methods: Sequence[MethodStyle]
    with_entries: bool


def make_viewer(
    image: ImageResults, layout: Layout, protocol: Protocol
) -> tuple[Viewer | None, str]:
    """Build the viewer of one image from its derivatives.

    Parameters
    ----------
    image : ImageResults
        Tables of the image.
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.

    Returns
    -------
    viewer : Viewer or None
        None if there are no points, or no head of this very image.
    problem : str
        What is wrong with the file of the head; '' if nothing is.
    """
    path = layout.head(image.image)
    if not image.tables or image.figures_are_older or not path.is_file():
        return None, ''
    try:
        header, content = read_head(path)
    except (OSError, ValueError) as error:
        return None, f'{path.name} could not be read: {error}. Run the participant again'
    if header.get('sha256') != image.reference.get('SHA256'):
        return None, f'{path.name} is of another image of the same name. Run the participant again'
    data = viewer_data(image, layout, protocol)
    return Viewer(
        _json(data),
        base64.b64encode(content).decode('ascii'),
        header['spacing'],
        header['greys'],
        header.get('defaced') is True,
        list(_styles(image).values()),
        any(point['entry'] for target in data['targets'] for point in target['points']),
    ), ''


def with_viewers(
    pages: Sequence[Page], images: Sequence[ImageResults], layout: Layout, protocol: Protocol
) -> tuple[list[Page], list[str]]:
    """Add viewers to the pages of a report, the first ones if one file cannot hold all.

    Parameters
    ----------
    pages : sequence of Page
        One per image.
    images : sequence of ImageResults
        The same images.
    layout, protocol
        As in `make_viewer`.

    Returns
    -------
    pages : list of Page
        With viewers.
    problems : list of str
        Viewers that are missing, and why.
    """
    problems, size, done = [], 0, []
    for page, image in zip(pages, images, strict=True):
        viewer, problem = make_viewer(image, layout, protocol)
        size += 0 if viewer is None else len(viewer.head) * 3 // 4
        if viewer is not None and size > MOST_ON_PAGE:
            viewer = None
            problem = (
                f'{image.name}: no viewer, as the page would be too large for so many images. '
                'Run each session alone with --session-label into an output directory of its own'
            )
        problems += [problem] if problem else []
        done.append(replace(page, viewer=viewer))
    return done, problems


def viewer_data(image: ImageResults, layout: Layout, protocol: Protocol) -> dict[str, Any]:
    """Describe targets, points and decisions of an image for the script; numbers stay as written.

    Parameters
    ----------
    image, layout, protocol
        As in `make_viewer`.
    """
    # The viewer shows decisions itself, so that they can be taken back to what methods say.
    tables = {name: table for name, table in image.tables.items() if name != REVIEWED}
    names = method_order(tables)
    rows = {name: {row['label']: row for row in image.tables[name].rows} for name in image.tables}
    return {
        'image': image.name,
        'file': layout.table(image.image, REVIEWED).stem,
        'sha256': str(image.reference.get('SHA256', '')),
        'version': __version__,
        'methods': {
            name: {'name': style.name, 'shape': style.marker, 'colour': style.colour}
            for name, style in _styles(image).items()
        },
        'targets': [
            *(
                _target(
                    one, {n: rows[n][one.label] for n in names if one.label in rows[n]}, protocol
                )
                for one in recommended(tables, protocol)
            ),
            *(_own_point(row) for row in (image.points.rows if image.points else ())),
        ],
        'review': {
            label: _decision(row)
            for label, row in rows.get(REVIEWED, {}).items()
            if row.get('decision')
        },
    }


def _styles(image: ImageResults) -> dict[str, MethodStyle]:
    """Return the marks of all that has points, for the legend."""
    names = [name for name in method_order(image.tables) if name != REVIEWED]
    return {name: method_style(name) for name in (*names, *([POINTS] if image.points else []))}


def _own_point(row: Mapping[str, str]) -> dict[str, Any]:
    """Describe a point that the user gave in a template; no decision is made on it."""
    label = printable(row['label'])
    status = printable(status_words(row['status'], POINT_STATUSES))
    return {
        'label': label,
        'name': label,
        'hemisphere': printable(row['hemisphere']),
        'region': label,
        'method': POINTS,
        'reason': 'A point of your own',
        'decidable': False,
        'points': [{**_point(POINTS, row), 'status': status}],
    }


def _target(
    chosen: Recommendation, rows: Mapping[str, Mapping[str, str] | None], protocol: Protocol
) -> dict[str, Any]:
    regions = {target.label: target.region for target in protocol.targets}
    return {
        'label': printable(chosen.label),
        'name': printable(chosen.name),
        'hemisphere': printable(chosen.hemisphere),
        'region': regions.get(chosen.label, printable(chosen.name)),
        'method': chosen.method,
        'reason': printable(chosen.reason),
        'decidable': chosen.label in regions,
        'points': [_point(name, row) for name, row in rows.items() if row is not None],
    }


def _point(method: str, row: Mapping[str, str]) -> dict[str, Any]:
    radius = None if method == EXPERT else Number.parse(row.get(RADIUS))
    return {
        'method': method,
        'point': _triple(row, '{}'),
        'status': printable(status_words(row.get('status', ''), statuses_of(method))),
        'radius': None if radius is None else radius.value,
        'gyrus': printable(gyrus_words(row)),
        'mni': _numbers(_triple(row, 'mni_{}')),
        'entry': _numbers(_triple(row, 'entry_{}')),
        'normal': _numbers(_triple(row, 'normal_{}')),
        'handle': _numbers(_triple(row, 'handle_{}')),
    }


def _decision(row: Mapping[str, str]) -> dict[str, Any]:
    keys = ('decision', 'method', 'reviewer', 'date', 'comment', 'software_version')
    texts = {key: printable(plain(row.get(key) or '')) for key in keys}
    known = {key: '' if text == 'n/a' else text for key, text in texts.items()}
    return {**known, 'point': _triple(row, '{}')}


def _triple(row: Mapping[str, str], names: str) -> list[str] | None:
    """Read x, y and z as written; None unless all are finite numbers."""
    numbers = [Number.parse(row.get(names.format(axis))) for axis in 'xyz']
    return None if None in numbers else [n.exact for n in numbers if n is not None]


def _numbers(texts: list[str] | None) -> list[float] | None:
    return None if texts is None else [float(text) for text in texts]


def _json(data: Mapping[str, Any]) -> Markup:
    """Write JSON that cannot end the element of the page around it."""
    return htmlsafe_json_dumps(data)
