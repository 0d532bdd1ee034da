"""The workflow of a cross-validation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from nipype import Merge, Node, Workflow

from tmsprep import __version__
from tmsprep.config import RunConfig
from tmsprep.interfaces.crossval import (
    GatherFolds,
    JoinCohort,
    PreparePerson,
    TrainFold,
    points_as_json,
    recipe_as_json,
)
from tmsprep.learning.folds import Job, participant_of, plan_jobs
from tmsprep.protocols import load_protocol
from tmsprep.workflows.image import fingerprint

if TYPE_CHECKING:
    from tmsprep.methods.baxter2021.cohort import Annotated


def init_crossval_wf(
    *, config: RunConfig, people: Sequence[Annotated], name: str = 'crossval_wf'
) -> Workflow:
    """Leave every participant out once per repetition and variant.

    Workflow graph: one ``prepare`` node per image feeds ``cohort``, which feeds one node per
    training, named like ``shared_rep1_fold07``; all of them end in ``gather``, which writes the
    tables. Trainings do not depend on each other.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    people : sequence of Annotated
        Images and their points; several images of one participant are left out together.
    name : str
        Of the workflow and of its folder inside the working folder.

    Raises
    ------
    ValueError
        If people cannot be parted as the settings want; see `plan_jobs`.
    """
    workflow = Workflow(name=name, base_dir=str(config.work_dir))
    jobs = plan_jobs(
        list(dict.fromkeys(participant_of(person.name) for person in people)),
        folds=config.folds,
        repetitions=config.repetitions,
        variants=config.residual,
        random_seed=config.random_seed,
    )
    recipe = recipe_as_json(config.recipe, config.steps)
    # Lists of names are not worth a job in a queue.
    records = Node(Merge(len(people)), name='records', run_without_submitting=True)
    cohort = Node(JoinCohort(), name='cohort')
    predictions = Node(Merge(len(jobs)), name='predictions', run_without_submitting=True)
    gather = Node(
        GatherFolds(
            out_dir=str(config.out_dir),
            protocol=config.protocol,
            settings=json.dumps(_settings(config, recipe)),
        ),
        name='gather',
        mem_gb=0.5,
    )
    workflow.connect(
        [
            (records, cohort, [('out', 'records')]),
            (cohort, gather, [('cohort', 'cohort')]),
            (predictions, gather, [('out', 'predictions')]),
        ]
    )
    for i, person in enumerate(people, start=1):
        workflow.connect(_prepare_node(config, person), 'record', records, f'in{i}')
    for i, job in enumerate(jobs, start=1):
        train = _train_node(config, job, recipe)
        workflow.connect(
            [
                (cohort, train, [('cohort', 'cohort'), ('sha256', 'cohort_sha256')]),
                (train, predictions, [('predictions', f'in{i}')]),
            ]
        )
    return workflow


def _prepare_node(config: RunConfig, person: Annotated) -> Node:
    masked = [person.image] if person.mask is None else [person.image, person.mask]
    node = Node(
        PreparePerson(
            stem=person.name,
            bids_dir=str(config.bids_dir),
            out_dir=str(config.out_dir),
            in_file=str(person.image),
            points=points_as_json(person.points),
            fingerprint=' '.join(fingerprint(path) for path in masked),
            version=__version__,
        ),
        name=f'prepare_{re.sub(r"[^0-9a-zA-Z]", "_", person.name)}',
        mem_gb=1.0,
    )
    if person.mask is not None:
        node.inputs.mask = str(person.mask)
    return node


def _train_node(config: RunConfig, job: Job, recipe: str) -> Node:
    return Node(
        TrainFold(
            variant=job.variant,
            repetition=job.repetition,
            fold=job.fold,
            left_out=list(job.left_out),
            seed=job.seed,
            recipe=recipe,
            protocol=config.protocol,
            targets=json.dumps([asdict(t) for t in load_protocol(config.protocol).targets]),
            version=__version__,
            use_gpu=config.device == 'cuda',
        ),
        name=job.name,
        n_procs=1,
        mem_gb=2.0,
    )


def _settings(config: RunConfig, recipe: str) -> dict[str, object]:
    """For the sidecars of the tables."""
    return {
        'Recipe': json.loads(recipe),
        'Protocol': config.protocol,
        'RandomSeed': config.random_seed,
        'Folds': 'leave one participant out' if config.folds is None else config.folds,
        'Repetitions': config.repetitions,
        'Variants': list(config.residual),
    }
