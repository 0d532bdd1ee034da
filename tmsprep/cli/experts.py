"""The experts' consensus on each image, written into the outputs for figures and reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tmsprep.bids import BidsError
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.annotated import log_issues
from tmsprep.config import ParticipantConfig
from tmsprep.derivatives.earlier import EXPERT, is_own_table, located_points
from tmsprep.derivatives.outdated import delete_outdated
from tmsprep.derivatives.tables import write_experts
from tmsprep.evaluation.errors import AXES
from tmsprep.evaluation.head_checks import far_from_methods
from tmsprep.files import file_sha256
from tmsprep.group.experts import COLUMNS, Experts, collect_experts
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.text import counted

logger = logging.getLogger('tmsprep')


def read_experts(
    config: ParticipantConfig,
    protocol: Protocol,
    layout: Layout,
    images: Mapping[str, Sequence[ImageRef]],
) -> Experts | None:
    """Read the raters' points, and log what is wrong with them.

    Parameters
    ----------
    config : ParticipantConfig
        Settings of the run.
    protocol : Protocol
        The targets.
    layout : Layout
        Names of the outputs.
    images : mapping
        For each participant's label the images of this run.

    Returns
    -------
    Experts or None
        None if there is no --annotations.

    Raises
    ------
    BidsError
        If there is no file of points, or a table of the outputs would be overwritten that
        tmsprep has not written.
    """
    if config.annotations is None:
        return None
    experts = collect_experts(
        images,
        config.annotations,
        config.bids_dir,
        protocol,
        config.consensus_threshold,
        config.participant_label,
    )
    log_issues(experts.issues)
    for image in (image for several in images.values() for image in several):
        if image.stem in experts.tables:
            _check_owner(layout.table(image, EXPERT))
            _log_disagreements(image, experts)
    logger.info('points of raters for %s', counted(len(experts.tables), 'image'))
    return experts


def _log_disagreements(image: ImageRef, experts: Experts) -> None:
    table = experts.tables[image.stem]
    labels = table.loc[table['status'] == 'no_consensus', 'label']
    if len(labels):
        logger.warning(
            '%s: the raters do not agree on %s; no expert point is shown there',
            image.path.name,
            ', '.join(labels),
        )


def warn_of_far_experts(
    layout: Layout, images: Sequence[ImageRef], methods: Sequence[str], experts: Experts | None
) -> None:
    """Warn of images in which the raters' points are far from those of every method.

    Parameters
    ----------
    layout : Layout
        Names of the outputs, in which the methods have left their tables.
    images : sequence of ImageRef
        Images of the run.
    methods : sequence of str
        Their names.
    experts : Experts or None
        None if the run was given no points of raters.
    """
    if experts is None:
        return
    for image in images:
        if image.stem in experts.tables:
            table = experts.tables[image.stem]
            points = PointSet(tuple(table['label']), table[AXES].to_numpy())
            for finding in far_from_methods(points, located_points(layout, image, methods)):
                logger.warning('%s, points of raters: %s', image.path.name, finding.message)


def write_expert_tables(
    protocol: Protocol,
    layout: Layout,
    images: Sequence[ImageRef],
    experts: Experts | None,
    threshold_mm: float,
    chosen: Sequence[str] = (),
) -> None:
    """Write the raters' table of each image, and delete those of an earlier run that do not hold.

    Parameters
    ----------
    protocol : Protocol
        The targets.
    layout : Layout
        Names of the outputs.
    images : sequence of ImageRef
        Images of the run.
    experts : Experts or None
        None if this run was given no points: tables of an earlier run stay if they are of the
        same image and targets.
    threshold_mm : float
        Largest distance between raters who agree.
    chosen : sequence of str
        Labels of the targets that the tables list; empty for all.
    """
    for image in images:
        path = layout.table(image, EXPERT)
        if experts is not None and image.stem in experts.tables:
            shape, affine = experts.geometry[image.stem]
            write_experts(
                layout,
                image,
                experts.tables[image.stem],
                protocol,
                {
                    'shape': shape,
                    'affine': np.asarray(affine).tolist(),
                    'sha256': _sha256(image.path),
                },
                COLUMNS,
                chosen,
                Raters=experts.raters[image.stem],
                ConsensusThreshold=threshold_mm,
            )
        elif is_own_table(path) and experts is not None:
            logger.warning('%s: deleted, because no rater of this run has points there', path)
            path.unlink()
            path.with_suffix('.json').unlink()
        elif is_own_table(path):
            delete_outdated(layout, image, protocol, _sha256(image.path))


def _check_owner(path: Path) -> None:
    if path.exists() and not is_own_table(path):
        raise BidsError(
            f'{path}: tmsprep has not written this file, and its own table would go here. Move '
            'it to another folder, to be given as --annotations.'
        )


def _sha256(path: Path) -> str:
    """Checksum of an image; '' if it cannot be read, which its own steps will report."""
    try:
        return file_sha256(path)
    except OSError:
        return ''
