"""The command: from arguments to an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep import __version__
from tmsprep.cli.parser import parse_args

if TYPE_CHECKING:
    from nipype import Workflow

    from tmsprep.bids import Survey, T1wImage
    from tmsprep.config import RunConfig

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

logger = logging.getLogger('tmsprep')


def main(argv: Sequence[str] | None = None) -> int:
    """Run tmsprep.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    int
        0 if everything was done, 1 if something failed, 2 for wrong arguments (which end the
        process from within the parser).
    """
    config = parse_args(argv)
    return run(config)


def run(config: RunConfig) -> int:
    """Do what the settings say; the last line logged agrees with the returned exit code."""
    from tmsprep.bids import BidsError, survey

    log_dir = config.out_dir / 'logs' / config.run_id
    _start_logging(config, log_dir)
    try:
        return _run(config, survey(config), log_dir)
    except BidsError as error:
        logger.error('%s', error)
        return EXIT_USAGE
    except Exception as error:
        logger.debug('', exc_info=True)
        logger.error('tmsprep stopped: %s: %s (-vv shows where)', type(error).__name__, error)
        return EXIT_FAILED


def _run(config: RunConfig, found: Survey, log_dir: Path) -> int:
    if config.dry_run:
        return _describe(found.images, found.problems)
    if config.reports_only:
        _write_reports(config, found.images)
        return _conclude(config, found.images)
    from tmsprep.failures import record_problems

    config.to_toml(log_dir / 'config.toml')
    for subject in found.images:
        problems = found.problems.get(subject, [])
        record_problems(config.out_dir, subject, problems)
        for problem in problems:
            logger.error('sub-%s: %s', subject, problem)
    try:
        _execute(config, found.images, log_dir)
    finally:
        _write_reports(config, found.images)
    return _conclude(config, found.images)


def _start_logging(config: RunConfig, log_dir: Path) -> None:
    """Log to the terminal and, unless nothing is to be written, into a file of this run."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if not config.dry_run:
        log_dir.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_dir / 'tmsprep.log', encoding='utf-8'))
    for handler in handlers:
        handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    logger.handlers[:] = handlers
    logger.setLevel(logging.DEBUG if config.verbose > 1 else logging.INFO)
    logger.propagate = False
    logger.info('tmsprep %s, run %s', __version__, config.run_id)


def _execute(config: RunConfig, images: Mapping[str, Sequence[T1wImage]], log_dir: Path) -> None:
    """Build and run the workflow; record what crashed."""
    from tmsprep.bids import write_dataset_description
    from tmsprep.cli.execution import prepare_nipype, run_workflow
    from tmsprep.failures import forget_failed_nodes, record_crashes

    write_dataset_description(config.out_dir, config.bids_dir)
    prepare_nipype(config, log_dir)
    from tmsprep.cli.progress import Progress
    from tmsprep.workflows.base import init_tmsprep_wf, workflow_name
    from tmsprep.workflows.resources import gather_resources

    everyone = [image for several in images.values() for image in several]
    for image in everyone:
        forget_failed_nodes(config.out_dir, config.work_dir, image)
    if not everyone:
        return
    workflow = init_tmsprep_wf(config=config, images=images, resources=gather_resources(config))
    if config.write_graph:
        _write_graph(workflow, log_dir / 'graph.dot')
    logger.info('%d T1w images of %d participants', len(everyone), len(images))
    progress = Progress(len(workflow._get_all_nodes()), len(everyone))
    names = {workflow_name(image): image for image in everyone}
    stopped = ''
    try:
        stopped = run_workflow(workflow, config, progress)
    finally:
        progress.close()
        crashes = record_crashes(log_dir, config.out_dir, names)
    if stopped and not crashes:
        # No node can be blamed, and tables of an earlier run must not pass for this one's.
        raise RuntimeError(stopped)


def _write_graph(workflow: Workflow, path: Path) -> None:
    try:
        workflow.write_graph(str(path), graph2use='colored', simple_form=True)
    except OSError:
        # Nipype has written the description by then; only the drawing needs Graphviz.
        logger.warning('%s: install Graphviz (dot) to have it drawn as well', path)


def _write_reports(config: RunConfig, images: Mapping[str, Sequence[T1wImage]]) -> None:
    from tmsprep.reports.participant import write_participant_report

    for subject in images:
        logger.info('report: %s', write_participant_report(config.out_dir, subject))


def _conclude(config: RunConfig, images: Mapping[str, Sequence[T1wImage]]) -> int:
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
    logger.info('tmsprep finished without errors: %d participants', len(images))
    return EXIT_OK


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
    images: Mapping[str, Sequence[T1wImage]], problems: Mapping[str, Sequence[str]]
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
    logger.info('dry run: nothing was written')
    return EXIT_OK
