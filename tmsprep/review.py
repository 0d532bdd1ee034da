"""Decisions of a reviewer about the targets of an image, made in the viewer of the report.

The viewer saves a table; a person, or ``--review``, puts it beside the tables of the methods. It
is checked by every run before anything uses it, and a table that fails the check loses the sidecar
without which nothing reads it.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tmsprep.bids.names import BidsError, ImageRef, Layout
from tmsprep.derivatives import REVIEWED, located_points, set_aside, sidecar_path
from tmsprep.evaluation.recommendation import DECISIONS
from tmsprep.evaluation.status import outside_field_of_view
from tmsprep.formats.slicer import write_markups
from tmsprep.formats.targets_tsv import MISSING, read_rows, read_targets
from tmsprep.methods import methods_of
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.scalp.image import entries_in_image, entries_kept
from tmsprep.scalp.measure import METHOD, SIDECAR_KEY, needs_scalp
from tmsprep.tables import COIL_COLUMNS, FRAME, column, read_json, write_table
from tmsprep.text import plain, printable, read_text

logger = logging.getLogger(__name__)

#: What a decision, which is also the status of its point, says.
STATUSES = {
    'accepted': 'accepted by a reviewer',
    'moved': 'set anew by a reviewer',
    'rejected': 'rejected by a reviewer: no point may be used',
}

#: Columns of the table beyond those that every table of targets has.
COLUMNS = {
    'status': column('The decision, as in its own column', **STATUSES),
    'decision': column('What the reviewer decided', **STATUSES),
    'method': column('Method whose point was accepted'),
    'reviewer': column('Who decided, as entered in the viewer'),
    'date': column('When, as entered in the viewer: year-month-day'),
    'comment': column('What the reviewer wrote'),
    'image_sha256': column('Checksum (SHA-256) of the image that was looked at'),
    'software_version': column('Version of tmsprep that wrote the report which was looked at'),
}

#: Most characters of a comment and of a name, as in the viewer.
MOST_COMMENT, MOST_NAME = 500, 80

#: An accepted point further from where its method has it now is reported, mm.
_MOVED_MM = 0.05

_CORRECT = 'Decide again in the viewer of the present report, or correct the table'
# Browsers number a file that they have saved before.
_AGAIN = re.compile(r' ?\(\d+\)$')


class Reference(NamedTuple):
    """What the sidecars say of an image: entries to copy, shape, affine and checksum."""

    entries: Mapping[str, Any]
    shape: tuple[int, ...]
    affine: np.ndarray
    sha256: str


def match_reviews(
    files: Iterable[Path], layout: Layout, images: Mapping[str, Sequence[ImageRef]]
) -> dict[str, Path]:
    """Find the image that each given table is of, by its name.

    Parameters
    ----------
    files : iterable of Path
        Tables as the viewer names them.
    layout : Layout
        Names of the outputs.
    images : mapping
        For each participant's label the images of the run.

    Returns
    -------
    dict
        Name of an image without its suffix to the table.

    Raises
    ------
    BidsError
        If a name belongs to no image of the run, or two files belong to one.
    """
    every = {
        layout.table(image, REVIEWED).stem: image.stem
        for several in images.values()
        for image in several
    }
    found: dict[str, Path] = {}
    for path in files:
        name = _AGAIN.sub('', path.stem)
        if name not in every or path.suffix != '.tsv':
            expected = ', '.join(f'{stem}.tsv' for stem in list(every)[:3]) or 'none'
            raise BidsError(
                f'--review {path}: its name belongs to no image of this run (expected such as '
                f'{expected}). Give the file under the name by which the viewer saved it'
            )
        if every[name] in found:
            raise BidsError(
                f'--review {path}: {found[every[name]].name} is of the same image. Give one'
            )
        found[every[name]] = path
    return found


def take_reviews(
    layout: Layout,
    protocol: Protocol,
    images: Sequence[ImageRef],
    given: Mapping[str, Path] | None = None,
) -> list[str]:
    """Check the tables of decisions of some images, and write them with sidecars and point lists.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    images : sequence of ImageRef
        The images.
    given : mapping, optional
        Name of an image to a table that takes the place of the one among the outputs.

    Returns
    -------
    list of str
        What is wrong with tables, each of which is not used then, in words.
    """
    problems = []
    for image in images:
        place = layout.table(image, REVIEWED)
        path = (given or {}).get(image.stem, place)
        if not path.is_file():
            continue
        try:
            reference = _reference(layout, image, protocol)
            table = read_review(path, protocol, reference)
        except (OSError, ValueError) as error:
            problems.append(f'review: {error}')
            if path == place:
                _withdraw(place)
            continue
        _warn_of_moved(layout, image, table)
        table = _with_entries(table, place, image, layout, protocol, reference)
        if path != place and place.is_file() and read_text(place) != read_text(path):
            logger.warning(
                'review: the earlier decisions are kept as %s', set_aside(place, 'earlier')
            )
        _write(place, table, reference)
        counts = Counter(table['decision'])
        words = ', '.join(f'{counts[name]} {name}' for name in DECISIONS if counts[name])
        logger.info('review: %s: %s', place, words)
    return problems


def read_review(path: Path, protocol: Protocol, reference: Reference) -> pd.DataFrame:
    """Read decisions, which anybody may have written, and check every cell.

    Parameters
    ----------
    path : Path
        Table with the columns label, x, y, z (mm, RAS+) and those of `COLUMNS`.
    protocol : Protocol
        The targets.
    reference : Reference
        The image that the decisions must be of.

    Returns
    -------
    pandas.DataFrame
        Side and region are those of the protocol; text is plain, and cut where it is too long.

    Raises
    ------
    ValueError
        If a row is of another image or an unknown target, a target is decided twice, a decision
        is unknown or has no name or date, or a point is missing, or outside the image.
    """
    points = read_targets(path)
    targets = {target.label: target for target in protocol.targets}
    rows = []
    for number, cells in read_rows(path, ('label', 'x', 'y', 'z', *COLUMNS)):
        where = f'{path}, line {number}'
        label = cells['label']
        if label not in targets:
            raise ValueError(f'{where}: {label!r} is no target of {protocol.name}. {_CORRECT}')
        if cells['image_sha256'] != reference.sha256:
            raise ValueError(
                f'{where}: decided in another image than the one whose points lie here (its '
                f'checksum is {cells["image_sha256"][:8]!r} ..., not {reference.sha256[:8]} ...). '
                'Decide again in the viewer of the present report'
            )
        target, point = targets[label], points[label]
        rows.append(
            {
                'label': label,
                'hemisphere': target.hemisphere,
                'region': target.region,
                **dict(zip('xyz', point, strict=True)),
                **_decided(cells, point, where),
            }
        )
    if not rows:
        raise ValueError(f'{path}: it has no decisions. {_CORRECT}, or delete it')
    outside = outside_field_of_view(points, reference.shape, reference.affine)
    if outside.any():
        label = points.labels[int(outside.argmax())]
        raise ValueError(f'{path}: the point of {label} lies outside the image. {_CORRECT}')
    return pd.DataFrame(rows)


def _decided(cells: Mapping[str, str], point: np.ndarray, where: str) -> dict[str, str]:
    """Return the cells of a decision beyond its point."""
    decision, date = cells['decision'], _known(cells['date'])
    reviewer = _known(cells['reviewer'])[:MOST_NAME]
    if decision not in DECISIONS:
        choices = ', '.join(DECISIONS)
        raise ValueError(f'{where}: {decision!r} is no decision ({choices}). {_CORRECT}')
    if not reviewer:
        raise ValueError(f'{where}: nobody is named who decided. {_CORRECT}')
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        raise ValueError(f'{where}: {date!r} is no date such as 2030-01-31. {_CORRECT}') from None
    if np.isfinite(point).all() == (decision == 'rejected'):
        what = 'has a point' if decision == 'rejected' else 'has no point'
        raise ValueError(f'{where}: {decision}, but it {what}. {_CORRECT}')
    return {
        'status': decision,
        'decision': decision,
        'method': _known(cells['method'])[:MOST_NAME] if decision == 'accepted' else '',
        'reviewer': reviewer,
        'date': date,
        'comment': _known(cells['comment'])[:MOST_COMMENT],
        'image_sha256': cells['image_sha256'],
        'software_version': _known(cells['software_version'])[:MOST_NAME],
    }


def _known(text: str) -> str:
    """Text of a cell, safe to show; '' if it is missing."""
    return '' if text in MISSING else printable(plain(text)).strip()


def _reference(layout: Layout, image: ImageRef, protocol: Protocol) -> Reference:
    """Read what the sidecar of a method says of the image.

    Raises
    ------
    ValueError
        If no method has left one.
    """
    for method in methods_of(protocol):
        sidecar = read_json(sidecar_path(layout.table(image, method.name)))
        entry = sidecar.get('ReferenceImage')
        try:
            shape = tuple(int(n) for n in entry['Shape'])  # type: ignore[index]
            affine = np.array(entry['Affine'], dtype=np.float64)  # type: ignore[index]
            sha256 = str(entry['SHA256'])  # type: ignore[index]
            if len(shape) == 3 and abs(np.linalg.det(affine)) > 0:
                names = ('Protocol', 'Sources', 'ReferenceImage', 'Disclaimer')
                entries = {name: sidecar[name] for name in names if name in sidecar}
                return Reference(entries, shape, affine, sha256)
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
            continue
    raise ValueError(
        f'{layout.table(image, REVIEWED)}: no method has left points of {image.stem}, so it '
        'cannot be checked. Run the participant again'
    )


def _write(path: Path, table: pd.DataFrame, reference: Reference) -> None:
    write_table(
        path,
        table,
        'Decisions of reviewers about the points of this image, made in the viewer of the report',
        COLUMNS,
        Method=REVIEWED,
        **reference.entries,
        **({SIDECAR_KEY: {'Description': METHOD, **FRAME}} if COIL_COLUMNS[0] in table else {}),
    )
    points = _points(table[table['decision'] != 'rejected'])
    write_markups(path.with_suffix('.mrk.json'), points)


def _with_entries(
    table: pd.DataFrame,
    earlier: Path,
    image: ImageRef,
    layout: Layout,
    protocol: Protocol,
    reference: Reference,
) -> pd.DataFrame:
    """Add the scalp entries of moved points, if the protocol is for a coil.

    Those that an earlier run found are kept; others are found in the image, if it is there.
    """
    moved = _points(table[table['decision'] == 'moved'])
    if not len(moved) or not needs_scalp(protocol):
        return table
    found = entries_kept(earlier, moved)
    left = [label for label in moved.labels if label not in found]
    if left and image.path.is_file():
        located = located_points(layout, image, [method.name for method in methods_of(protocol)])
        others = next(iter(located.values()), PointSet.from_mapping({}))
        points = moved.reindex(left)
        found |= entries_in_image(image.path, reference.sha256, points, others, protocol)
    rows = [found.get(label, {}) for label in table['label']]
    columns = {name: [row.get(name, np.nan) for row in rows] for name in COIL_COLUMNS}
    return table.assign(**columns)


def _points(table: pd.DataFrame) -> PointSet:
    return PointSet(tuple(table['label']), table[['x', 'y', 'z']].to_numpy(float))


def _withdraw(path: Path) -> None:
    """Delete the sidecar of a table that does not hold; the table itself is a person's work."""
    path.with_suffix('.json').unlink(missing_ok=True)


def _warn_of_moved(layout: Layout, image: ImageRef, table: pd.DataFrame) -> None:
    """Log the accepted points that lie elsewhere than their method's point does now."""
    for name, rows in table[table['method'] != ''].groupby('method'):
        try:
            points = read_targets(layout.table(image, str(name)))
        except (OSError, ValueError):
            continue
        accepted = _points(rows)
        apart = points.reindex(accepted.labels).distance(accepted)
        for label, distance in zip(accepted.labels, apart, strict=True):
            if not distance <= _MOVED_MM:
                logger.warning(
                    'review: %s: the point of %s that was accepted is not the present one of %s '
                    '(%.1f mm away), computed anew since. The accepted one is kept; look again',
                    image.stem,
                    label,
                    name,
                    distance,
                )
