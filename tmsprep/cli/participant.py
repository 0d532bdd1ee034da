"""The participant level: localise in every image, and report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.exit_codes import EXIT_FAILED

if TYPE_CHECKING:
    from nipype import Node

    from tmsprep.bids import Survey, T1wImage
    from tmsprep.config import RunConfig
    from tmsprep.group.experts import Experts

logger = logging.getLogger('tmsprep')


def run_participant(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Localise in everybody that was found.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    found : Survey
        Images, and what stands in the way of others.
    log_dir : Path
        Of this run.

    Returns
    -------
    int
        0 if everything was done, 1 if something failed.

    Raises
    ------
    RuntimeError
        If Nipype stopped for a reason that no image can be blamed for.
    """
    if config.reports_only and not config.dry_run:
        _write_reports(config, found.images)
        return _conclude(config, found.images)
    from tmsprep.cli.experts import read_experts

    experts = read_experts(config, found.images)
    if config.dry_run:
        return _describe(found.images, found.problems, experts)
    from tmsprep.failures import record_problems

    for subject in found.images:
        problems = found.problems.get(subject, [])
        record_problems(config.out_dir, subject, problems)
        for problem in problems:
            logger.error('sub-%s: %s', subject, problem)
    try:
        _execute(config, found.images, log_dir, experts)
    finally:
        _write_reports(config, found.images)
    return _conclude(config, found.images, experts)


def _execute(
    config: RunConfig,
    images: Mapping[str, Sequence[T1wImage]],
    log_dir: Path,
    experts: Experts | None,
) -> None:
    """Build and run the workflow."""
    from tmsprep.cli.execution import execute, prepare_run
    from tmsprep.cli.experts import write_experts

    everyone = [image for several in images.values() for image in several]
    prepare_run(config, log_dir, everyone)
    # Before the workflow is built, which takes up the tables that are there.
    write_experts(config, everyone, experts)
    if not everyone:
        return
    from tmsprep.cli.progress import Progress
    from tmsprep.workflows.base import init_tmsprep_wf, workflow_name
    from tmsprep.workflows.resources import gather_resources

    workflow = init_tmsprep_wf(config=config, images=images, resources=gather_resources(config))
    logger.info('%d T1w images of %d participants', len(everyone), len(images))
    progress = Progress(len(workflow._get_all_nodes()), len(everyone), _finished_image)
    names = {workflow_name(image): image for image in everyone}
    execute(workflow, config, log_dir, progress, names)


def _finished_image(node: Node) -> str:
    """Name the image whose last node this is."""
    return node.fullname.split('.')[1].removesuffix('_wf') if node.name == 'figures' else ''


def _write_reports(config: RunConfig, images: Mapping[str, Sequence[T1wImage]]) -> None:
    from tmsprep.reports.participant import write_participant_report

    for subject in images:
        logger.info('report: %s', write_participant_report(config.out_dir, subject))


def _conclude(
    config: RunConfig,
    images: Mapping[str, Sequence[T1wImage]],
    experts: Experts | None = None,
) -> int:
    """Say who failed and why, and give the exit code."""
    failed = {}
    for subject, several in images.items():
        problems = list(_problems(config, subject, several))
        if problems:
            failed[subject] = '; '.join(problems)
    for subject, messages in failed.items():
        logger.error('sub-%s failed: %s', subject, messages)
    if failed:
        logger.error(
            'tmsprep finished with errors: %d of %d participants failed', len(failed), len(images)
        )
        return EXIT_FAILED
    done = f'tmsprep finished without errors: {len(images)} participants'
    return _conclude_experts(experts, done, 'tmsprep finished')


def _conclude_experts(experts: Experts | None, done: str, what: str) -> int:
    """Give the exit code for the files of points, which were read before all else."""
    from tmsprep.cli.annotated import conclude
    from tmsprep.group.issues import errors_by_subject

    return conclude(errors_by_subject(experts.issues if experts else ()), done, what)


def _problems(config: RunConfig, subject: str, images: Sequence[T1wImage]) -> Iterator[str]:
    """Whatever was recorded, and every table that should be there but is not."""
    from tmsprep.bids import derivative_path
    from tmsprep.failures import read_records

    records = read_records(config.out_dir, subject)
    yield from (f'{record["node"]}: {record["message"]}' for record in records)
    if records:
        return
    for image in images:
        for method in config.localizers:
            path = derivative_path(
                config.out_dir, image, desc=method, suffix='targets', extension='.tsv'
            )
            if not path.is_file():
                yield f'{path} was not written'


def _describe(
    images: Mapping[str, Sequence[T1wImage]],
    problems: Mapping[str, Sequence[str]],
    experts: Experts | None,
) -> int:
    """Say what would be done."""
    for subject, several in images.items():
        for image in several:
            logger.info('sub-%s: would run on %s', subject, image.relative_path)
        for problem in problems.get(subject, ()):
            logger.error('sub-%s: %s', subject, problem)
    if problems:
        logger.error('dry run: %d of %d participants cannot run', len(problems), len(images))
        return EXIT_FAILED
    return _conclude_experts(experts, 'dry run: nothing was written', 'dry run')
