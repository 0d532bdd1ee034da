"""The workflow of a cross-validation of the locus coeruleus."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nipype import Merge, Node, Workflow

from tmsprep import __version__
from tmsprep.config import RunConfig
from tmsprep.interfaces.coeruleus_crossval import (
    EvaluateFold,
    GatherCoeruleus,
    PrepareVolume,
    TrainCoeruleus,
    coeruleus_recipe_as_json,
    prepare_inputs,
)
from tmsprep.learning.folds import participant_of
from tmsprep.methods.duennwald2021.folds import FoldPlan, plan_folds, training_seed
from tmsprep.protocols import load_protocol
from tmsprep.workflows.image import fingerprint

if TYPE_CHECKING:
    from tmsprep.methods.duennwald2021.volumes import LabelledVolume


def init_coeruleus_crossval_wf(
    *,
    config: RunConfig,
    people: Sequence[LabelledVolume],
    data: str = '',
    mem_gb: float = 2.0,
    name: str = 'coeruleus_crossval_wf',
) -> Workflow:
    """Cross-validate localizers and segmenters in folds, with people held out of all of them.

    Workflow graph: one ``prepare`` node per image; ``part01``, ... and ``held_out`` join the
    people of one part; each fold has a node per training (``localizer_with_fold01``,
    ``localizer_without_fold01``, ``segmenter_fold01``), which gets the people that it trains on
    and validates with and no others, and ``evaluate_fold01``; all end in ``gather``. Trainings do
    not depend on each other.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    people : sequence of LabelledVolume
        Images with masks or points; several images of one participant go together.
    data : str
        What the data set is, for the sidecars.
    mem_gb : float
        Of one training or evaluation.
    name : str
        Of the workflow and of its folder inside the working folder.

    Raises
    ------
    ValueError
        If people cannot be parted as the settings want; see `plan_folds`.
    """
    workflow = Workflow(name=name, base_dir=str(config.work_dir))
    plan = plan_folds(
        list(dict.fromkeys(participant_of(person.name) for person in people)),
        folds=config.folds,
        held_out=config.held_out,
        random_seed=config.random_seed,
    )
    parts = _join_parts(workflow, config, people, plan)
    summaries, rows = [], []
    for fold in plan.folds:
        others = [parts[str(k)] for k in plan.folds if k != fold]
        training = _joined(workflow, f'training_fold{fold:02d}', others)
        trained = _fold_trainings(config, fold, any(p.mask is not None for p in people), mem_gb)
        for node in trained:
            workflow.connect(training, 'out', node, 'training')
            workflow.connect(parts[str(fold)], 'out', node, 'validation')
        evaluate = _evaluate_node(workflow, config, fold, trained, mem_gb)
        tested = 'held out' if plan.held_out else str(fold)
        workflow.connect(parts[tested], 'out', evaluate, 'people')
        summaries += trained
        rows.append(evaluate)
    gather = Node(
        GatherCoeruleus(
            out_dir=str(config.out_dir),
            roles=json.dumps(plan.roles()),
            optimistic=plan.optimistic,
            settings=json.dumps(_settings(config, data)),
        ),
        name='gather',
        mem_gb=0.5,
    )
    for field, nodes, output in (('summaries', summaries, 'summary'), ('rows', rows, 'rows')):
        workflow.connect(_joined(workflow, field, nodes, output), 'out', gather, field)
    everyone = _joined(workflow, 'records', list(parts.values()))
    workflow.connect(everyone, 'out', gather, 'records')
    return workflow


def _join_parts(
    workflow: Workflow, config: RunConfig, people: Sequence[LabelledVolume], plan: FoldPlan
) -> dict[str, Node]:
    """Prepare everyone, and join who has the same role; the nodes by role."""
    roles = plan.roles()
    nodes: dict[str, list[Node]] = {role: [] for role in roles.values()}
    for person in people:
        nodes[roles[participant_of(person.name)]].append(_prepare_node(config, person))
    return {
        role: _joined(
            workflow,
            'held_out' if role == 'held out' else f'part{int(role):02d}',
            members,
            'record',
        )
        for role, members in nodes.items()
    }


def _joined(workflow: Workflow, name: str, nodes: Sequence[Node], output: str = 'out') -> Node:
    """Join lists or single values; not worth a job in a queue."""
    merge = Node(Merge(len(nodes)), name=name, run_without_submitting=True)
    for i, node in enumerate(nodes, start=1):
        workflow.connect(node, output, merge, f'in{i}')
    return merge


def _prepare_node(config: RunConfig, person: LabelledVolume) -> Node:
    files = [path for path in (person.image, person.mask) if path is not None]
    return Node(
        PrepareVolume(
            bids_dir=str(config.bids_dir),
            out_dir=str(config.out_dir),
            voxel_mm=load_protocol(config.protocol).voxel_mm,
            fingerprint=' '.join(fingerprint(path) for path in files),
            version=__version__,
            **prepare_inputs(person),
        ),
        name=f'prepare_{re.sub(r"[^0-9a-zA-Z]", "_", person.name)}',
        mem_gb=1.0,
    )


def augmentations(config: RunConfig) -> list[str]:
    """Kinds of localizers, those with augmentation first: they guide 'lpp', as in the paper."""
    return sorted(config.augmentation)


def _fold_trainings(config: RunConfig, fold: int, masks: bool, mem_gb: float) -> list[Node]:
    """Localizers in the order of `augmentations`, then the segmenter if there are masks."""
    kinds = [('localizer', kind) for kind in augmentations(config)]
    kinds += [('segmenter', 'with')] if masks else []
    return [
        Node(
            TrainCoeruleus(
                network=network,
                augmentation=kind,
                fold=fold,
                seed=training_seed(config.random_seed, network, fold),
                recipe=coeruleus_recipe_as_json(config.recipe, config.epochs),
                version=__version__,
                use_gpu=config.device == 'cuda',
            ),
            name=f'{network}{f"_{kind}" if network == "localizer" else ""}_fold{fold:02d}',
            n_procs=1,
            mem_gb=mem_gb,
        )
        for network, kind in kinds
    ]


def _evaluate_node(
    workflow: Workflow, config: RunConfig, fold: int, trained: Sequence[Node], mem_gb: float
) -> Node:
    """Test the networks of a fold."""
    kinds = augmentations(config)
    localizers, segmenters = trained[: len(kinds)], trained[len(kinds) :]
    evaluate = Node(
        EvaluateFold(
            fold=fold,
            augmentation=kinds,
            methods=list(config.segmentation),
            version=__version__,
            use_gpu=config.device == 'cuda',
        ),
        name=f'evaluate_fold{fold:02d}',
        n_procs=1,
        mem_gb=mem_gb,
    )
    weights = _joined(workflow, f'localizers_fold{fold:02d}', localizers, 'weights')
    workflow.connect(weights, 'out', evaluate, 'localizers')
    for segmenter in segmenters:
        workflow.connect(segmenter, 'weights', evaluate, 'segmenter')
    return evaluate


def _settings(config: RunConfig, data: str) -> dict[str, object]:
    """For the sidecars of the tables."""
    return {
        'Data': data,
        'Recipe': json.loads(coeruleus_recipe_as_json(config.recipe, config.epochs)),
        'Protocol': config.protocol,
        'VoxelSize': load_protocol(config.protocol).voxel_mm,
        'RandomSeed': config.random_seed,
        'Folds': 'one participant each' if config.folds is None else config.folds,
        'HeldOut': config.held_out,
        'Augmentations': augmentations(config),
        'Methods': list(config.segmentation),
        'LocalizerOfLpp': f'the one {augmentations(config)[0]} augmentation',
        'Grid': "isotropic voxels of VoxelSize; the rater's mask is brought there, a voxel having "
        'the label that at least half of it has',
        'ReferenceRegion': 'ball in the pons, placed by the '
        "localizer's points for the segmentation and by the rater's points for the mask",
    }
