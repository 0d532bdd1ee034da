"""Train without a network: the mean offset of raters' points from those of the atlas."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.bids.names import shorten
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.offsets import LEAST, by_participant, mean_offsets
from tmsprep.formats import read_points
from tmsprep.group.analysis import Group, common_settings
from tmsprep.group.issues import Issue
from tmsprep.methods.syn.files import describe_atlas
from tmsprep.methods.syn.group import Move, RegisteredImage, registered_images, to_atlas
from tmsprep.methods.syn.offsets import ATLAS_CHECKSUMS, MOST_MM
from tmsprep.tables import Column, column, write_table
from tmsprep.text import counted

logger = logging.getLogger(__name__)

DESCRIPTION = (
    'Mean offset of the points of raters from the points of the atlas, in the atlas (mm, RAS+), '
    'for participant --atlas-offsets. Sides are not mirrored onto each other'
)

COLUMNS: dict[str, Column] = {
    **{
        f'offset_{axis}': column(f'Mean offset from the point of the atlas, {where}', 'mm')
        for axis, where in (('x', 'to the right'), ('y', 'to the front'), ('z', 'to the top'))
    },
    'people': column('Number of participants with a point of raters and a registration'),
    'spread_mm': column('RMS distance of the offsets of single participants from the mean', 'mm'),
    'before_mm': column(
        "Mean distance of the participants' points, moved into the atlas, from that of the atlas",
        'mm',
    ),
    'after_mm': column(
        'The same, from the point of the atlas with the mean offset of the other participants: '
        'what to expect in new ones. It helps where this is smaller',
        'mm',
    ),
}


def train_offsets(
    name: str, group: Group, resources: Mapping[str, Any], move: Move, *, write: bool = True
) -> Group:
    """Make the table of offsets from all images with points by the atlas and of raters.

    Parameters
    ----------
    name : str
        Name of the method.
    group : Group
        Its outputs hold the registrations, and it has a consensus of raters.
    resources : mapping
        Result of `tmsprep.methods.syn.files.find_atlas`.
    move : callable
        Moves points, shape (n, 3), mm, RAS+, by a file, as `TransformReader.move`.
    write : bool
        Whether to write the table.

    Returns
    -------
    Group
        With the images that were left out, and what the offsets are worth, as further issues.

    Raises
    ------
    ValueError
        If no target has points in more than `LEAST` participants.
    """
    protocol = group.request.protocol
    images = list(registered_images(name, group))
    own = [image for image in images if image.key == str(describe_atlas(resources))]
    issues = [_of_another(name, image) for image in images if image not in own]
    issues += to_atlas(name, own, group, move, 'the image has no part in the offsets')
    atlas = read_points(Path(resources['atlas_targets'])).reindex(protocol.labels)
    moved = [(image.participant, image.in_atlas) for image in own if image.in_atlas is not None]
    values = np.reshape([points for _, points in moved], (-1, len(protocol.labels), 3))
    people, means = by_participant(values, [participant for participant, _ in moved])
    table = mean_offsets(means, atlas)
    known = table['offset_x'].notna()
    if not known.any():
        raise ValueError(
            f'{counted(len(people), "participant")} with points of raters and a registration by '
            f'{name} in {group.request.layout.out_dir}; offsets need more than {LEAST} for a '
            f'target. Run participant --localizers {name} for them first, into this directory'
        )
    issues += _doubts(table)
    before, after = (float(table.loc[known, f'{when}_mm'].mean()) for when in ('before', 'after'))
    _tell(table[known], before, after)
    if write:
        path = group.request.layout.level('train', 'offsets')
        entries = {
            'Disclaimer': disclaimer(protocol),
            **common_settings(group),
            'Participants': len(people),
            'ConsensusThreshold': group.request.threshold_mm,
            'Atlas': describe_atlas(resources),
            ATLAS_CHECKSUMS: list(resources['checksums']),
            'MeanBefore': round(before, 3),
            'MeanAfterLeaveOneOut': round(after, 3),
            'TargetsNotHelped': _not_helped(table),
        }
        logger.info('%s', write_table(path, table, DESCRIPTION, COLUMNS, **entries))
    return group.with_issues(issues)


def _of_another(name: str, image: RegisteredImage) -> Issue:
    message = (
        f'{name}: registered to another atlas ({image.key}), so it has no part in the offsets'
    )
    return Issue(image.subject, message, 'warning')


def _not_helped(table: pd.DataFrame) -> list[str]:
    return table.loc[table['after_mm'] >= table['before_mm'], 'label'].tolist()


def _doubts(table: pd.DataFrame) -> Iterator[Issue]:
    """Say which targets have no offset, which no use of it, and which an impossible one."""
    length = np.linalg.norm(table[['offset_x', 'offset_y', 'offset_z']], axis=1)
    found: Sequence[tuple[list[str], str]] = (
        (
            table.loc[table['offset_x'].isna(), 'label'].tolist(),
            f'no offset, as not more than {LEAST} participants have a point',
        ),
        (
            _not_helped(table),
            'the offset does not help: the points of left-out participants are not nearer with it',
        ),
        (
            table.loc[length > MOST_MM, 'label'].tolist(),
            f'an offset above {MOST_MM:g} mm, which participant refuses; look at the points',
        ),
    )
    for labels, what in found:
        if labels:
            yield Issue('', f'{shorten(labels)}: {what}', 'warning')


def _tell(table: pd.DataFrame, before: float, after: float) -> None:
    for row in table.itertuples():
        logger.info(
            '%s: %.1f mm without offset, %.1f mm with it (leave one out, %s participants)',
            *(row.label, row.before_mm, row.after_mm, row.people),
        )
    level = logging.INFO if after < before else logging.WARNING
    how = 'help' if after < before else 'do NOT help'
    logger.log(level, 'the offsets %s: mean %.2f mm before, %.2f mm after', how, before, after)
