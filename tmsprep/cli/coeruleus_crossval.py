"""The crossval level of protocol locus-coeruleus."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.annotated import conclude
from tmsprep.cli.coeruleus_train import (
    CoeruleusRun,
    chosen_coeruleus_recipe,
    collect_labelled,
    data_name,
    describe_labelled,
)

if TYPE_CHECKING:
    from nipype import Node

    from tmsprep.bids import Survey
    from tmsprep.config import RunConfig

logger = logging.getLogger('tmsprep')

_MILESTONE = re.compile(r'(localizer_.+|segmenter|evaluate)_fold\d+$')


def run_coeruleus_crossval(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Cross-validate on everybody who has a mask or points.

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
        0 if everything was done; 1 if somebody could not be used, though the others were.

    Raises
    ------
    BidsError
        If there is no mask and no file of points.
    RuntimeError
        If a training failed.
    ValueError
        If people cannot be parted as the settings want.
    """
    run = collect_labelled(config, found)
    if config.dry_run:
        return describe_labelled(run)
    _execute(config, run, log_dir)
    problems = defaultdict(list, run.problems)
    for subject, messages in _recorded(config, run).items():
        problems[subject] += messages
        for message in messages:
            logger.error('sub-%s: %s', subject, message)
    done = f'tmsprep finished without errors: {len(run.people)} images'
    return conclude({k: v for k, v in problems.items() if v}, done)


def _execute(config: RunConfig, run: CoeruleusRun, log_dir: Path) -> None:
    from tmsprep.cli.execution import execute, prepare_run

    prepare_run(config, log_dir, [run.images[person.name] for person in run.people])
    from tmsprep.cli.progress import Progress
    from tmsprep.workflows.coeruleus_crossval import init_coeruleus_crossval_wf

    workflow = init_coeruleus_crossval_wf(
        config=config, people=run.people, data=data_name(config), mem_gb=_memory(config, run)
    )
    nodes = workflow._get_all_nodes()
    milestones = sum(bool(_MILESTONE.search(node.name)) for node in nodes)
    logger.info('%d images, %d trainings and evaluations', len(run.people), milestones)
    if not config.held_out:
        logger.warning(
            'nobody is held out: each fold is tested on the people who chose its best epoch, and '
            'the results are somewhat too good; --held-out N avoids that'
        )
    progress = Progress(len(nodes), milestones, _finished)
    execute(workflow, config, log_dir, progress, {})


def _finished(node: Node) -> str:
    return node.name if _MILESTONE.search(node.name) else ''


def _memory(config: RunConfig, run: CoeruleusRun) -> float:
    """Estimate the memory of one training, GB."""
    from tmsprep.learning.coeruleus_memory import training_gb
    from tmsprep.protocols import load_protocol

    return training_gb(
        [person.image for person in run.people],
        load_protocol(config.protocol).voxel_mm,
        chosen_coeruleus_recipe(config),
    )


def _recorded(config: RunConfig, run: CoeruleusRun) -> dict[str, list[str]]:
    """Who could not be prepared, as the nodes recorded it."""
    from tmsprep.failures import record_path

    failed: dict[str, list[str]] = defaultdict(list)
    for person in run.people:
        image = run.images[person.name]
        path = record_path(config.out_dir, image, 'prepare')
        if path.is_file():
            record = json.loads(path.read_text(encoding='utf-8'))
            failed[image.subject].append(record['message'])
    return failed
