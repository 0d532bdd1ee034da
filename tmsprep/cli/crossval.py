"""The crossval level: leave people out, train on the others, and see how far off it is."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.cli.annotated import (
    AnnotatedRun,
    collect_people,
    conclude,
    describe_people,
    with_masks,
)

if TYPE_CHECKING:
    from nipype import Node

    from tmsprep.bids import Survey
    from tmsprep.config import RunConfig
    from tmsprep.methods.baxter2021.cohort import Annotated

logger = logging.getLogger('tmsprep')

_TRAINING = re.compile(r'_rep\d+_fold\d+$')


def run_crossval(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Cross-validate on everybody who has points.

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
        0 if everything was done; 1 if somebody who has points could not be used, or a file of
        points has an error, though the others were.

    Raises
    ------
    BidsError
        If there is no file of points.
    RuntimeError
        If a training failed.
    ValueError
        If people cannot be parted as the settings want.
    """
    run = collect_people(config, found, log_dir)
    if config.dry_run:
        return describe_people(run)
    _execute(config, run, log_dir)
    return conclude_crossval(config, run)


def conclude_crossval(config: RunConfig, run: AnnotatedRun[Any]) -> int:
    """Name who could not be prepared, as the nodes recorded it, and give the exit code."""
    from tmsprep.failures import record_path

    problems = defaultdict(list, run.problems)
    for person in run.people:
        image = run.images[person.name]
        path = record_path(config.out_dir, image, 'prepare')
        if path.is_file():
            message = json.loads(path.read_text(encoding='utf-8'))['message']
            problems[image.subject].append(message)
            logger.error('sub-%s: %s', image.subject, message)
    done = f'tmsprep finished without errors: {len(run.people)} images'
    return conclude({k: v for k, v in problems.items() if v}, done)


def _execute(config: RunConfig, run: AnnotatedRun[Annotated], log_dir: Path) -> None:
    from tmsprep.running.execution import execute, prepare_run

    prepare_run(config, log_dir, [run.images[person.name] for person in run.people])
    from tmsprep.running.progress import Progress
    from tmsprep.workflows.crossval import init_crossval_wf

    workflow = init_crossval_wf(config=config, people=with_masks(config, run))
    nodes = workflow._get_all_nodes()
    trainings = sum(bool(_TRAINING.search(node.name)) for node in nodes)
    logger.info('%d images, %d trainings', len(run.people), trainings)
    execute(workflow, config, log_dir, Progress(len(nodes), trainings, _finished_training), {})


def _finished_training(node: Node) -> str:
    return node.name if _TRAINING.search(node.name) else ''
