"""The crossval level: train without some participants, and measure the error in them."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from tmsprep.atomic import remove_partials
from tmsprep.bids.names import Layout
from tmsprep.cli.annotated import AnnotatedRun, conclude, find_annotated
from tmsprep.config import CrossvalConfig
from tmsprep.learning.examples import participants_of
from tmsprep.protocols import load_protocol
from tmsprep.running.execution import execute, prepare_run
from tmsprep.running.locks import claim_level
from tmsprep.running.progress import Progress
from tmsprep.tables import read_json
from tmsprep.text import counted

if TYPE_CHECKING:
    from nipype import Node

logger = logging.getLogger('tmsprep')


def run_level(config: CrossvalConfig) -> int:
    """Cross-validate on all annotated images.

    Parameters
    ----------
    config : CrossvalConfig
        Settings of the run.

    Returns
    -------
    int
        0 if everything was done; 1 if an annotated image could not be used, or a file of
        annotations has an error, though the others were used.

    Raises
    ------
    BidsError
        If there are no annotations.
    ResourceError
        If no method of the protocol learns.
    RuntimeError
        If a training failed.
    ValueError
        If the participants cannot be divided as the settings want.
    InUseError
        If another run cross-validates for the protocol in the same folders.
    """
    if config.dry_run:
        return find_annotated(config).describe()
    layout = Layout(config.out_dir, load_protocol(config.protocol).name)
    with claim_level(layout, config.work_dir, 'crossval'):
        run = find_annotated(config)
        _execute(run, config)
        return _conclude(run)


def _conclude(run: AnnotatedRun) -> int:
    """Name the images that could not be prepared, as the nodes recorded it."""
    problems: dict[str, list[str]] = defaultdict(list, run.problems)
    for example in run.examples:
        image = run.images[example.name]
        message = read_json(run.layout.record(image, 'prepare')).get('message')
        if message:
            problems[image.subject].append(message)
            logger.error('sub-%s: %s', image.subject, message)
    done = f'tmsprep finished without errors: {counted(len(run.examples), "image")}'
    return conclude({k: v for k, v in problems.items() if v}, done)


def _execute(run: AnnotatedRun, config: CrossvalConfig) -> None:
    plan = run.learner.plan(participants_of(run.examples), run.examples)
    prepare_run(config.execution, run.layout, run.learner.protocol, config.bids_dir)
    config.to_toml(config.log_dir / 'config.toml')
    # Nipype reads its settings, which are prepared above, when it is first imported.
    from tmsprep.learning.kept import remove_unfinished
    from tmsprep.workflows.crossval import CrossvalRun, init_crossval_wf, kept_folder

    examples = run.complete()
    crossval = CrossvalRun(
        method=run.method,
        learner=run.learner,
        plan=plan,
        examples=examples,
        images=run.images,
        layout=run.layout,
        settings=_settings(run, config),
        mem_gb=run.learner.memory_gb([example.image for example in examples]),
        use_gpu=config.device == 'cuda',
    )
    workflow = init_crossval_wf(run=crossval, work_dir=config.work_dir)
    remove_partials(kept_folder(crossval, config.work_dir), below=True)
    remove_unfinished(kept_folder(crossval, config.work_dir) / 'prepared')
    logger.info(
        '%s, %s, %s',
        counted(len(examples), 'image'),
        counted(len(plan.trainings), 'training'),
        counted(len(plan.tests), 'test'),
    )
    steps = {t.name for t in plan.trainings} | {t.name for t in plan.tests}

    def milestone(node: Node) -> str:
        return node.name if node.name in steps else ''

    progress = Progress(len(workflow._get_all_nodes()), len(steps), milestone)
    execute(workflow, config.execution, run.layout, progress, {})


def _settings(run: AnnotatedRun, config: CrossvalConfig) -> dict[str, object]:
    """Say how it was done, for the sidecars of the tables."""
    return {
        'Data': run.data,
        'RandomSeed': config.random_seed,
        'Folds': 'leave one participant out' if config.folds is None else config.folds,
        'Repetitions': config.repetitions,
    }
