"""The crossval level of protocol locus-coeruleus."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.coeruleus_train import (
    chosen_coeruleus_recipe,
    collect_labelled,
    data_name,
    describe_labelled,
)
from tmsprep.cli.crossval import conclude_crossval

if TYPE_CHECKING:
    from nipype import Node

    from tmsprep.bids import Survey
    from tmsprep.cli.annotated import AnnotatedRun
    from tmsprep.config import RunConfig
    from tmsprep.methods.duennwald2021.volumes import LabelledVolume

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
    return conclude_crossval(config, run)


def _execute(config: RunConfig, run: AnnotatedRun[LabelledVolume], log_dir: Path) -> None:
    from tmsprep.running.execution import execute, prepare_run

    prepare_run(config, log_dir, [run.images[person.name] for person in run.people])
    from tmsprep.running.progress import Progress
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


def _memory(config: RunConfig, run: AnnotatedRun[LabelledVolume]) -> float:
    """Estimate the memory of one training, GB."""
    from tmsprep.methods.duennwald2021.memory import training_gb
    from tmsprep.protocols import load_protocol

    return training_gb(
        [person.image for person in run.people],
        load_protocol(config.protocol).voxel_mm,
        chosen_coeruleus_recipe(config),
    )
