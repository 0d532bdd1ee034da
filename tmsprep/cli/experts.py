"""The experts' consensus on each image, written into the outputs for figures and reports."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep import __version__
from tmsprep.bids import BidsError, T1wImage, derivative_path
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.files import file_sha256

if TYPE_CHECKING:
    from tmsprep.config import RunConfig
    from tmsprep.group.experts import Experts

logger = logging.getLogger('tmsprep')

METHOD = 'expert'


def read_experts(config: RunConfig, images: Mapping[str, Sequence[T1wImage]]) -> Experts | None:
    """Read the raters' points, and say what is wrong with them.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
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
    from tmsprep.group.experts import collect_experts
    from tmsprep.group.issues import in_common
    from tmsprep.protocols import load_protocol

    experts = collect_experts(
        images,
        config.annotations,
        config.bids_dir,
        load_protocol(config.protocol),
        config.consensus_threshold,
        config.participant_label,
    )
    levels = {'error': logging.ERROR, 'warning': logging.WARNING, 'note': logging.INFO}
    for severity, who, message in in_common(experts.issues):
        logger.log(levels[severity], '%s: %s', who, message)
    for image in (image for several in images.values() for image in several):
        if image.stem in experts.tables:
            _check_owner(table_path(config.out_dir, image))
            _log_disagreements(image, experts)
    logger.info('points of raters for %d images', len(experts.tables))
    return experts


def _log_disagreements(image: T1wImage, experts: Experts) -> None:
    table = experts.tables[image.stem]
    labels = table.loc[table['status'] == 'no_consensus', 'label']
    if len(labels):
        logger.warning(
            '%s: the raters do not agree on %s; no expert point is shown there',
            image.path.name,
            ', '.join(labels),
        )


def write_experts(config: RunConfig, images: Sequence[T1wImage], experts: Experts | None) -> None:
    """Write each image's table and sidecar, and delete those of an earlier run that do not hold.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    images : sequence of T1wImage
        Those of the run.
    experts : Experts or None
        None if this run was given no points: tables of an earlier run stay if they are of the
        same image and targets.
    """
    from tmsprep.derivatives import write_json
    from tmsprep.formats.targets_tsv import write_table

    for image in images:
        path = table_path(config.out_dir, image)
        if experts is not None and image.stem in experts.tables:
            # The sidecar first: a table never stands without its frame.
            write_json(path.with_suffix('.json'), _sidecar(config, image, experts))
            write_table(path, experts.tables[image.stem])
        elif _is_own(path) and (experts is not None or not _still_holds(config, image, path)):
            logger.warning('%s: deleted, as it is not of this image, targets and points', path)
            path.unlink()
            path.with_suffix('.json').unlink()


def table_path(out_dir: Path, image: T1wImage) -> Path:
    """Where the experts' table of an image lies."""
    return derivative_path(out_dir, image, desc=METHOD, suffix='targets', extension='.tsv')


def _still_holds(config: RunConfig, image: T1wImage, path: Path) -> bool:
    from tmsprep.formats.targets_tsv import read_targets
    from tmsprep.protocols import load_protocol

    reference = _read_sidecar(path).get('ReferenceImage', {})
    if not image.path.is_file() or reference.get('SHA256') != file_sha256(image.path):
        return False
    return read_targets(path).labels == load_protocol(config.protocol).labels


def _check_owner(path: Path) -> None:
    if path.exists() and not _is_own(path):
        raise BidsError(
            f'{path}: tmsprep has not written this file, and its own table would go here. Move '
            'it to another folder, to be given as --annotations.'
        )


def _is_own(path: Path) -> bool:
    sidecar = _read_sidecar(path)
    return path.is_file() and sidecar.get('Method') == METHOD and 'SoftwareVersion' in sidecar


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _sidecar(config: RunConfig, image: T1wImage, experts: Experts) -> dict[str, Any]:
    from tmsprep.group.experts import COLUMNS

    shape, affine = experts.geometry[image.stem]
    return {
        'Method': METHOD,
        'Description': 'Consensus of the raters of this image (Baxter et al. 2021, section 2.1)',
        'Raters': experts.raters[image.stem],
        'ConsensusThreshold': config.consensus_threshold,
        'CoordinateSystem': 'scanner, RAS+',
        'CoordinateSystemDescription': 'The world frame of the NIfTI image named below, as given '
        'by its affine: x to the right, y to the front, z to the top',
        'CoordinateUnits': 'mm',
        'Sources': [image.uri],
        'ReferenceImage': {
            'Path': str(image.relative_path),
            'Shape': list(shape),
            'Affine': affine.tolist(),
            'SHA256': file_sha256(image.path),
        },
        'SoftwareVersion': __version__,
        'Disclaimer': DISCLAIMER,
        **COLUMNS,
    }
