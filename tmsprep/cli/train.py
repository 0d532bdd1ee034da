"""The train level: a weights file from the user's own images and points."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.annotated import (
    AnnotatedRun,
    collect_people,
    conclude,
    data_set_name,
    describe_people,
    with_masks,
)

if TYPE_CHECKING:
    from tmsprep.bids import Survey
    from tmsprep.config import RunConfig
    from tmsprep.methods.baxter2021.cohort import Annotated
    from tmsprep.methods.baxter2021.material import Material
    from tmsprep.methods.baxter2021.recipes import Recipe
    from tmsprep.methods.baxter2021.weights import Localizer

MIN_PARTICIPANTS = 2
"""One head is no population (our choice)."""

logger = logging.getLogger('tmsprep')


def run_train(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Train on everybody who has points.

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
        points has an error, though the others were trained on.

    Raises
    ------
    BidsError
        If there is no file of points.
    ValueError
        If too few people are left, or they cannot be trained on.
    """
    run = collect_people(config, found, log_dir)
    if config.dry_run:
        return describe_people(run)
    import torch

    from tmsprep.bids import write_dataset_description
    from tmsprep.methods.baxter2021.material import load_material

    torch.set_num_threads(config.nprocs)
    write_dataset_description(config.out_dir, config.bids_dir)
    material = load_material(with_masks(config, run), config.work_dir / 'cohort')
    problems = defaultdict(list, run.problems)
    for name, message in material.problems.items():
        logger.error('%s', message)
        problems[run.images[name].subject].append(message)
    _check_number(run, material)
    weights = _fit(config, material)
    logger.info('weights: %s; model card: %s', weights, weights.with_suffix('.md'))
    return conclude(problems, f'tmsprep finished without errors: {len(material.people)} images')


def chosen_recipe(config: RunConfig) -> Recipe:
    """Return the recipe with what the command line changes."""
    from tmsprep.methods.baxter2021.recipes import recipe_named

    changes = {} if config.steps is None else {'steps': config.steps}
    return recipe_named(config.recipe, **changes)


def _check_number(run: AnnotatedRun[Annotated], material: Material) -> None:
    usable = {run.images[person.name].subject for person in material.people}
    if len(usable) < MIN_PARTICIPANTS:
        raise ValueError(
            f'{len(usable)} participants with usable images and points; training needs at least '
            f'{MIN_PARTICIPANTS}. Messages above say what was wrong with others'
        )


def _fit(config: RunConfig, material: Material) -> Path:
    from tmsprep.methods.baxter2021.fit import fit_ensemble
    from tmsprep.methods.baxter2021.material import keep_aside
    from tmsprep.methods.baxter2021.members import Plan, bfloat16_is_fast
    from tmsprep.methods.baxter2021.weights import load_localizer
    from tmsprep.protocols import load_protocol
    from tmsprep.running.progress import TrainingProgress

    training, validation = keep_aside(material.people)
    recipe = chosen_recipe(config)
    start = None if config.weights is None else load_localizer(config.weights)
    logger.info(
        'training on %d images, %d kept aside to measure errors; recipe %s, %d steps, %d members',
        *(len(training), len(validation), recipe.name, recipe.steps, config.members),
    )
    protocol = load_protocol(config.protocol)
    plan = Plan(
        training,
        validation,
        protocol,
        recipe,
        recipe.network_settings(len(protocol.labels), config.residual[0]),
        config.work_dir / 'train',
        material.fingerprints,
        bfloat16_is_fast(config.device),
        config.device,
    )
    progress = TrainingProgress(config.members, recipe.steps)
    try:
        return fit_ensemble(
            plan,
            config.out_dir,
            seeds=range(config.random_seed, config.random_seed + config.members),
            start=start,
            facts=_facts(config, start),
            report=progress,
        )
    finally:
        progress.close()


def _facts(config: RunConfig, start: Localizer | None) -> dict[str, str]:
    """Say for the model card where everything comes from."""
    points, threshold = config.annotations.name, f'{config.consensus_threshold:g}'
    facts = {
        'data': f'{data_set_name(config)}; points from {points}, raters within {threshold} mm'
    }
    if start is not None:
        theirs = start.card.get('licence', 'not stated')
        facts['started_from'] = f'{start.card.get("name", config.weights.name)}, licence: {theirs}'
    return facts
