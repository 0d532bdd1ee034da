"""The group level of protocol locus-coeruleus."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.cli.annotated import conclude
from tmsprep.cli.group import log_issues

if TYPE_CHECKING:
    from tmsprep.bids import ImageRef
    from tmsprep.config import RunConfig
    from tmsprep.group.issues import Issue
    from tmsprep.methods.duennwald2021.group import CoeruleusGroup

logger = logging.getLogger('tmsprep')


def run_coeruleus_group(config: RunConfig, log_dir: Path) -> int:
    """Measure localisation and segmentation over everybody, and write tables and a report.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    log_dir : Path
        Of this run.

    Returns
    -------
    int
        0 if everything was done; 1 if somebody failed, though the others were measured.

    Raises
    ------
    BidsError
        If there is nothing to measure.
    """
    from tmsprep.group.issues import errors_by_subject, in_common
    from tmsprep.methods.duennwald2021.group import collect_coeruleus_group, participant_results

    results, issues = participant_results(config)
    masks = {}
    if config.annotations is not None:
        masks, more = _masks(config.annotations, list(results))
        issues += more
    try:
        group = collect_coeruleus_group(config, results, masks, issues)
    except ValueError:
        log_issues(issues)
        raise
    log_issues(group.issues)
    problems = errors_by_subject(group.issues)
    if config.dry_run or config.check_annotations:
        return conclude(problems, 'nothing was written, as asked', 'check')
    config.to_toml(log_dir / 'config.toml')
    _write(config, group, in_common(group.issues))
    done = f'tmsprep finished without errors: {group.n_measured} participants with points'
    return conclude(problems, done)


def _masks(
    folder: Path, images: Sequence[ImageRef]
) -> tuple[dict[str, tuple[Path, ...]], list[Issue]]:
    """Find the rater's masks of the images that have outputs."""
    from tmsprep.group.issues import Issue
    from tmsprep.methods.duennwald2021.group_participants import images_of
    from tmsprep.methods.duennwald2021.masks import find_masks

    if not images:
        message = 'no outputs of the participant level, so --annotations are compared with nothing'
        return {}, [Issue('', message, 'note')]
    found = find_masks(images_of(images), folder)
    issues = [Issue(who, text) for who, several in found.problems.items() for text in several]
    issues += [Issue('', note, 'note') for note in found.notes]
    return {files.image.stem: files.paths for files in found.masks}, issues


def _write(
    config: RunConfig, group: CoeruleusGroup, remarks: Sequence[tuple[str, str, str]]
) -> None:
    from tmsprep.bids import write_dataset_description
    from tmsprep.methods.duennwald2021.group import people_table
    from tmsprep.methods.duennwald2021.group_outputs import write_coeruleus_group
    from tmsprep.methods.duennwald2021.group_report import (
        CoeruleusContent,
        write_coeruleus_group_report,
    )
    from tmsprep.methods.duennwald2021.group_statistics import coeruleus_tables

    write_dataset_description(config.out_dir, config.bids_dir)
    tables = coeruleus_tables(group.measured, group.protocol.voxel_mm, config.random_seed)
    tables['people'] = people_table(group)
    settings = _settings(config, group)
    for path in write_coeruleus_group(config.out_dir, tables, settings):
        logger.info('%s', path)
    content = CoeruleusContent(
        protocol=group.protocol,
        tables=tables,
        remarks=tuple(remarks),
        settings={name: given.settings for name, given in group.measured.items()},
        seed=config.random_seed,
    )
    logger.info('report: %s', write_coeruleus_group_report(config.out_dir, content))


def _settings(config: RunConfig, group: CoeruleusGroup) -> dict[str, Any]:
    """Say in the sidecars how the tables were made."""
    settings: dict[str, Any] = {
        'Protocol': group.protocol.name,
        'People': group.n_measured,
        'VoxelSize': group.protocol.voxel_mm,
        'RandomSeed': config.random_seed,
    }
    if config.annotations is not None:
        settings['Annotations'] = config.annotations.name
    if 'crossval' in group.measured:
        settings['CrossValidation'] = _plain(group.measured['crossval'].settings)
    return settings


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Leave out what every sidecar says itself."""
    own = ('Description', 'SoftwareVersion', 'Disclaimer')
    return {name: value for name, value in settings.items() if name not in own}
