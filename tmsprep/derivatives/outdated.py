"""Delete, or set aside, what is of another image or of other targets."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import EXPERT, REVIEWED, is_own_table, read_outcome, source_sha256
from tmsprep.evaluation.table_checks import check_table
from tmsprep.files import remove_inside
from tmsprep.formats.targets_tsv import read_rows
from tmsprep.methods import methods_of
from tmsprep.protocols import Protocol
from tmsprep.tables import chosen_labels, read_json

logger = logging.getLogger(__name__)


def delete_outdated(
    layout: Layout, image: ImageRef, protocol: Protocol, sha256: str
) -> list[Path]:
    """Delete what an earlier run wrote for another image or other targets.

    The image may have been replaced under the same name; then all derivatives of it go, except
    tables that hold already. Or the list of targets has changed under the name of the protocol;
    then its tables and figures go. Files for navigators go in both cases. Tables of other origin
    are left alone. Decisions of a reviewer about another image are renamed.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    protocol : Protocol
        The targets as they are now.
    sha256 : str
        Checksum of the image as it is now.

    Returns
    -------
    list of Path
        The deleted tables.
    """
    set_aside_review(layout, image, sha256)
    names = [*(method.name for method in methods_of(protocol)), EXPERT]
    every = {name: layout.table(image, name) for name in names}
    tables = {name: path for name, path in every.items() if is_own_table(path)}
    outdated = [
        path for name, path in tables.items() if not _holds(layout, image, name, protocol, sha256)
    ]
    if not outdated:
        return []
    for path in outdated:
        logger.warning(
            '%s: deleted, because it was damaged, of other targets, or of another image of the '
            'same name',
            path,
        )
    # Files for navigators are made of all tables, whichever of them holds.
    remove_inside(layout.navigation(image), layout.out_dir)
    doomed = layout.files(image, 'figures')
    if any(source_sha256(path) != sha256 for path in outdated):
        kept = {file for path in tables.values() for file in (path, path.with_suffix('.json'))}
        review = layout.table(image, REVIEWED).stem
        doomed += [
            path
            for path in layout.files(image)
            if path not in kept and not path.name.startswith(review)
        ]
    # The tables last: if this is interrupted, the next run finds them.
    for path in (*doomed, *outdated, *(path.with_suffix('.json') for path in outdated)):
        path.unlink(missing_ok=True)
    return outdated


def set_aside_review(layout: Layout, image: ImageRef, sha256: str) -> list[Path]:
    """Rename a reviewer's decisions about another image of the same name, and say so.

    They are a person's work, so they are not deleted; under their name they would be wrong points.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    sha256 : str
        Checksum of the image as it is now; '' if it is not known, then nothing is done.

    Returns
    -------
    list of Path
        The new names, which end in the beginning of the checksum of the image that was looked at.
    """
    table = layout.table(image, REVIEWED)
    of = _reviewed_sha256(table)
    if not (of and sha256) or of == sha256:
        return []
    paths = [table.with_suffix(extension) for extension in ('.tsv', '.json', '.mrk.json')]
    renamed = [set_aside(path, f'of-{of[:8]}') for path in paths if path.is_file()]
    logger.warning(
        '%s: decisions about another image of the same name; kept as %s. Decide again in the '
        'viewer of the new report',
        table,
        renamed[0].name,
    )
    return renamed


def set_aside(path: Path, why: str) -> Path:
    """Add an ending to the name of a file, with a number if there is such a file already."""
    target, number = path.with_name(f'{path.name}.{why}'), 1
    while target.exists():
        number += 1
        target = path.with_name(f'{path.name}.{why}-{number}')
    return path.rename(target)


def _reviewed_sha256(path: Path) -> str:
    """Checksum of the image that decisions are about, by their first row; '' if not known."""
    try:
        row = next((row for _, row in read_rows(path, ('label', 'image_sha256'))), {})
    except ValueError:
        return ''
    value = row.get('image_sha256', '')
    return value if re.fullmatch('[0-9a-f]{64}', value) else ''


def _holds(layout: Layout, image: ImageRef, name: str, protocol: Protocol, sha256: str) -> bool:
    """Tell whether the table of a method or the raters is whole, and of this image and list."""
    path = layout.table(image, name)
    try:
        if name != EXPERT:
            read_outcome(layout, image, name, protocol)
        labels = check_table(path, protocol).labels
    except ValueError:
        return False
    chosen = chosen_labels(read_json(path.with_suffix('.json'))) or protocol.labels
    listed = [label for label in protocol.labels if label in chosen]
    return source_sha256(path) == sha256 and [*labels] == listed
