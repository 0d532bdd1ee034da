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
from tmsprep.derivatives.earlier import EXPERT, REVIEWED, located_points, sidecar_path
from tmsprep.derivatives.outdated import set_aside
from tmsprep.evaluation.recommendation import DECISIONS
from tmsprep.evaluation.status import REVIEW_CHECKS, doubtful, outside_field_of_view
from tmsprep.formats.markers import Marker
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

#: What a decision says.
_DECIDED = {
    'accepted': 'accepted by a reviewer',
    'moved': 'set anew by a reviewer',
    'rejected': 'rejected by a reviewer: no point may be used',
}

#: The status of a point is what was decided, or else what the check of it found.
STATUSES = {**_DECIDED, **REVIEW_CHECKS}

#: Columns of the table beyond those that every table of targets has.
COLUMNS = {
    'status': column('The decision, or what is doubtful about its point', **STATUSES),
    'decision': column('What the reviewer decided', **_DECIDED),
    'method': column('Method whose point was accepted'),
    'reviewer': column('Who decided, as entered in the viewer'),
    'date': column('When, as entered in the viewer: year-month-day'),
    'comment': column('What the reviewer wrote'),
    'image_sha256': column('Checksum (SHA-256) of the image that was looked at'),
    'software_version': column('Version of tmsprep that wrote the report which was looked at'),
}

#: Most characters of a comment and of a name, as in the viewer.
MOST_COMMENT, MOST_NAME = 500, 80

#: An accepted point is that of its method within this, mm: a registration that is computed again
#: with another seed or number of threads gives points up to a millimetre away. The point that was
#: looked at stays.
SAME_MM = 1.0

_CORRECT = 'Decide again in the viewer of the present report, or correct the table'
# Browsers number a file that they have saved before.
_AGAIN = re.compile(r' ?\(\d+\)$')


class Reference(NamedTuple):
    """What sidecars say of an image: entries to copy, shape, affine, checksum; and its points."""

    entries: Mapping[str, Any]
    shape: tuple[int, ...]
    affine: np.ndarray
    sha256: str
    points: Mapping[str, PointSet]


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
        # Where a given table cannot be used, the decisions that hold already still do.
        for path in dict.fromkeys([(given or {}).get(image.stem, place), place]):
            if not path.is_file():
                if path == place and place.with_suffix('.json').is_file():
                    _withdraw(place)
                continue
            try:
                _take(path, place, image, layout, protocol)
                break
            except (OSError, ValueError) as error:
                problems.append(f'review: {error}')
                if path == place:
                    _withdraw(place)
    return problems


def _take(path: Path, place: Path, image: ImageRef, layout: Layout, protocol: Protocol) -> None:
    """Check a table, and write it to its place."""
    reference = _reference(layout, image, protocol)
    table = read_review(path, protocol, reference)
    _log_doubts(place, table)
    table = _with_entries(table, place, image, layout, protocol, reference)
    if path != place and place.is_file() and read_text(place) != read_text(path):
        logger.warning('review: the earlier decisions are kept as %s', set_aside(place, 'earlier'))
    _write(place, table, reference)
    counts = Counter(table['decision'])
    words = ', '.join(f'{counts[name]} {name}' for name in DECISIONS if counts[name])
    logger.info('review: %s: %s', place, words)


def why_refused(layout: Layout, image: ImageRef, protocol: Protocol) -> str:
    """Say why a table of decisions that lies among the outputs is not used, in words.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The image.
    protocol : Protocol
        The targets.

    Returns
    -------
    str
        Begins with the name of the file; '' if there is none.
    """
    path = layout.table(image, REVIEWED)
    if not path.is_file():
        return ''
    try:
        read_review(path, protocol, _reference(layout, image, protocol))
    except (OSError, ValueError) as error:
        # Reports are shared; where the outputs lie is nobody's business.
        return str(error).replace(str(path), path.name)
    return f'{path.name}: not taken up yet. Run the command export'


def doubtful_statuses(layout: Layout, image: ImageRef) -> dict[str, str]:
    """Read which decided points of an image need a second look: label to `REVIEW_CHECKS`."""
    path = layout.table(image, REVIEWED)
    if not sidecar_path(path).is_file():
        return {}
    try:
        rows = [row for _, row in read_rows(path, ('label', 'status'))]
    except ValueError:
        return {}
    return {row['label']: row['status'] for row in rows if row['status'] in REVIEW_CHECKS}


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
        is unknown or has no name or date, a point is missing or outside the image, or an accepted
        point is not that of its method.
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
        if rows[-1]['decision'] == 'accepted':
            _check_accepted(rows[-1], point, reference.points, where)
    if not rows:
        raise ValueError(f'{path}: it has no decisions. {_CORRECT}, or delete it')
    outside = outside_field_of_view(points, reference.shape, reference.affine)
    if outside.any():
        label = points.labels[int(outside.argmax())]
        raise ValueError(f'{path}: the point of {label} lies outside the image. {_CORRECT}')
    table = pd.DataFrame(rows)
    doubts = doubtful(points, reference.points, protocol)
    return table.assign(status=[doubts.get(row['label'], row['decision']) for row in rows])


def _check_accepted(
    row: Mapping[str, str], point: np.ndarray, located: Mapping[str, PointSet], where: str
) -> None:
    """Refuse an accepted point that is not the present one of the method it names."""
    label, method = row['label'], row['method']
    own = located.get(method)
    if own is None or label not in own.labels or not np.isfinite(own[label]).all():
        raise ValueError(
            f'{where}: {label} was accepted from {method!r}, of which there is no such point '
            f'(there are those of {", ".join(located) or "no method"}). {_CORRECT}'
        )
    distance = float(np.linalg.norm(own[label] - point))
    if not distance <= SAME_MM:
        raise ValueError(
            f'{where}: the point of {label} that was accepted is not the present one of {method} '
            f'({distance:.2f} mm away), so it is not clear which is meant. Accept the present one '
            'in the viewer of the present report, or write moved to keep the point of the table'
        )


def _decided(cells: Mapping[str, str], point: np.ndarray, where: str) -> dict[str, str]:
    """Return the cells of a decision beyond its point."""
    decision, date = cells['decision'], _known(cells['date'])
    reviewer = _known(cells['reviewer'])[:MOST_NAME]
    if decision not in DECISIONS:
        choices = ', '.join(DECISIONS)
        raise ValueError(f'{where}: {decision!r} is no decision ({choices}). {_CORRECT}')
    if not reviewer:
        raise ValueError(f'{where}: nobody is named who decided. {_CORRECT}')
    if not _is_date(date):
        raise ValueError(f'{where}: {date!r} is no date such as 2030-01-31. {_CORRECT}')
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


def _is_date(text: str) -> bool:
    try:
        # Other forms of ISO 8601 are read too, but the column has one form.
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


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
    methods = [method.name for method in methods_of(protocol)]
    for method in methods:
        sidecar = read_json(sidecar_path(layout.table(image, method)))
        entry = sidecar.get('ReferenceImage')
        try:
            shape = tuple(int(n) for n in entry['Shape'])  # type: ignore[index]
            affine = np.array(entry['Affine'], dtype=np.float64)  # type: ignore[index]
            sha256 = str(entry['SHA256'])  # type: ignore[index]
            if len(shape) == 3 and abs(np.linalg.det(affine)) > 0:
                names = ('Protocol', 'Sources', 'ReferenceImage', 'Disclaimer')
                entries = {name: sidecar[name] for name in names if name in sidecar}
                located = located_points(layout, image, [*methods, EXPERT])
                return Reference(entries, shape, affine, sha256, located)
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
    kept = table[table['decision'] != 'rejected']
    titles = [
        Marker(label, warning=status if status in REVIEW_CHECKS else '').title
        for label, status in zip(kept['label'], kept['status'], strict=True)
    ]
    write_markups(path.with_suffix('.mrk.json'), _points(kept.assign(label=titles)))


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
    """Delete what was made of a table that does not hold; the table itself is a person's work."""
    for extension in ('.json', '.mrk.json'):
        path.with_suffix(extension).unlink(missing_ok=True)


def _log_doubts(path: Path, table: pd.DataFrame) -> None:
    """Log the points that are taken as decided, but need a second look."""
    for _, row in table[table['status'] != table['decision']].iterrows():
        logger.warning(
            'review: %s: %s was %s, but look again: %s. It is kept, and marked in all outputs',
            path.name,
            row['label'],
            row['decision'],
            REVIEW_CHECKS[row['status']],
        )
