"""The participant level: localise in every image, and report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tmsprep.running import EXIT_FAILED
from tmsprep.running.locks import TAKEN, claim_participants

if TYPE_CHECKING:
    from nipype import Node, Workflow

    from tmsprep.bids import ImageRef, Survey
    from tmsprep.config import RunConfig
    from tmsprep.group.experts import Experts

logger = logging.getLogger('tmsprep')

Images = Mapping[str, 'Sequence[ImageRef]']


class Steps(NamedTuple):
    """What one protocol does for itself at the participant level.

    Parameters
    ----------
    workflow : callable
        Settings and images to the workflow of all images.
    last_node : str
        Name of an image's last node.
    report : callable
        Output folder and participant's label to the report, written.
    outputs : callable
        Settings and an image to the files that must be there in the end.
    is_ours : callable
        Whether a failed node's name is one of this protocol.
    """

    workflow: Callable[[RunConfig, Images], Workflow]
    last_node: str
    report: Callable[[Path, str], Path]
    outputs: Callable[[RunConfig, ImageRef], Iterable[Path]]
    is_ours: Callable[[str], bool]


def run_participant(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Localise the targets in everybody that was found; see `run_steps`."""
    from tmsprep.reports.participant import write_participant_report

    def is_ours(node: str) -> bool:
        return not node.startswith('coeruleus_')

    steps = Steps(_workflow, 'figures', write_participant_report, _tables, is_ours)
    return run_steps(config, found, log_dir, steps)


def run_steps(config: RunConfig, found: Survey, log_dir: Path, steps: Steps) -> int:
    """Do the steps of a protocol for everybody that was found.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    found : Survey
        Images, and what stands in the way of others.
    log_dir : Path
        Of this run.
    steps : Steps
        Of the protocol.

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
        _write_reports(config, found.images, steps)
        return _conclude(config, found.images, steps)
    from tmsprep.cli.experts import read_experts

    experts = read_experts(config, found.images)
    if config.dry_run:
        return _describe(found.images, found.problems, experts)
    with claim_participants(config, found.images) as mine:
        _record_problems(config, found, mine)
        try:
            _execute(config, mine, log_dir, steps, experts)
        finally:
            _write_reports(config, mine, steps)
        others = set(found.images) - set(mine)
        return _conclude(config, found.images, steps, experts, others)


def _record_problems(config: RunConfig, found: Survey, subjects: Iterable[str]) -> None:
    from tmsprep.failures import record_problems

    for subject in subjects:
        problems = found.problems.get(subject, [])
        record_problems(config.out_dir, subject, problems)
        for problem in problems:
            logger.error('sub-%s: %s', subject, problem)


def _execute(
    config: RunConfig,
    images: Images,
    log_dir: Path,
    steps: Steps,
    experts: Experts | None,
) -> None:
    """Build and run the workflow."""
    from tmsprep.cli.experts import write_experts
    from tmsprep.running.execution import execute, prepare_run

    everyone = [image for several in images.values() for image in several]
    prepare_run(config, log_dir, everyone)
    # Before the workflow is built, which takes up the tables that are there.
    write_experts(config, everyone, experts)
    if not everyone:
        return
    from tmsprep.running.progress import Progress
    from tmsprep.workflows.base import workflow_name

    def finished(node: Node) -> str:
        last = node.name == steps.last_node
        return node.fullname.split('.')[1].removesuffix('_wf') if last else ''

    workflow = steps.workflow(config, images)
    logger.info('%d T1w images of %d participants', len(everyone), len(images))
    progress = Progress(len(workflow._get_all_nodes()), len(everyone), finished)
    names = {workflow_name(image): image for image in everyone}
    execute(workflow, config, log_dir, progress, names)


def _workflow(config: RunConfig, images: Images) -> Workflow:
    from tmsprep.workflows.base import init_tmsprep_wf
    from tmsprep.workflows.resources import gather_resources

    return init_tmsprep_wf(config=config, images=images, resources=gather_resources(config))


def _write_reports(config: RunConfig, images: Iterable[str], steps: Steps) -> None:
    for subject in images:
        logger.info('report: %s', steps.report(config.out_dir, subject))


def _conclude(
    config: RunConfig,
    images: Images,
    steps: Steps,
    experts: Experts | None = None,
    others: Collection[str] = (),
) -> int:
    """Say who failed and why, or was left to another run, and give the exit code."""
    failed = dict.fromkeys(sorted(others), TAKEN)
    for subject, several in images.items():
        problems = [] if subject in others else list(_problems(config, subject, several, steps))
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


def _problems(
    config: RunConfig, subject: str, images: Sequence[ImageRef], steps: Steps
) -> Iterator[str]:
    """Whatever was recorded, and every table that should be there but is not."""
    from tmsprep.failures import read_records

    records = [r for r in read_records(config.out_dir, subject) if steps.is_ours(r['node'])]
    yield from (f'{record["node"]}: {record["message"]}' for record in records)
    if records:
        return
    for path in (path for image in images for path in steps.outputs(config, image)):
        if not path.is_file():
            yield f'{path} was not written'


def _tables(config: RunConfig, image: ImageRef) -> Iterator[Path]:
    from tmsprep.bids import derivative_path

    for method in config.localizers:
        yield derivative_path(
            config.out_dir, image, desc=method, suffix='targets', extension='.tsv'
        )


def _describe(
    images: Images,
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
