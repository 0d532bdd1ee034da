"""The train level of protocol locus-coeruleus: weights from the user's own images and masks."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.cli.annotated import (
    AnnotatedRun,
    conclude,
    data_set_name,
    whom_to_learn_from,
)

if TYPE_CHECKING:
    from tmsprep.bids import Survey
    from tmsprep.config import RunConfig
    from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
    from tmsprep.methods.duennwald2021.records import VolumeRecord
    from tmsprep.methods.duennwald2021.volumes import LabelledVolume

logger = logging.getLogger('tmsprep')


def run_coeruleus_train(config: RunConfig, found: Survey, log_dir: Path) -> int:
    """Train on everybody who has a mask or points.

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
    ValueError
        If too few people are left, or weights are given to start from.
    """
    if config.weights is not None:
        raise ValueError(
            f'--weights: protocol {config.protocol} is trained from nothing only; leave the '
            'option out'
        )
    run = collect_labelled(config, found)
    if config.dry_run:
        return describe_labelled(run)
    import torch

    from tmsprep.bids import write_dataset_description

    torch.set_num_threads(config.nprocs)
    write_dataset_description(config.out_dir, config.bids_dir)
    problems = defaultdict(list, run.problems)
    records = _prepare(config, run, problems)
    weights = _fit(config, records)
    logger.info('weights: %s; model card: %s', weights, weights.with_suffix('.md'))
    return conclude(problems, f'tmsprep finished without errors: {len(records)} images')


def collect_labelled(config: RunConfig, found: Survey) -> AnnotatedRun[LabelledVolume]:
    """Find everybody's mask or points, and say what is wrong with them.

    Raises
    ------
    BidsError
        If there is no mask and no file of points.
    """
    from tmsprep.methods.duennwald2021.annotations import collect_coeruleus
    from tmsprep.protocols import load_protocol

    given = collect_coeruleus(
        found.images,
        config.annotations,
        load_protocol(config.protocol),
        None if config.dry_run else config.work_dir / 'masks',
        config.consensus_threshold,
    )
    run = whom_to_learn_from(given, found)
    masks = sum(person.mask is not None for person in run.people)
    logger.info('masks for %d images, points for %d', masks, len(run.people) - masks)
    return run


def describe_labelled(run: AnnotatedRun[LabelledVolume]) -> int:
    """Say what would be done, for --dry-run."""
    for person in run.people:
        logger.info('%s: %s', person.image, person.mask or 'points')
    return conclude(run.problems, 'dry run: nothing was written', 'dry run')


def chosen_coeruleus_recipe(config: RunConfig) -> CoeruleusRecipe:
    """Return the recipe with what the command line changes."""
    from tmsprep.methods.duennwald2021.recipes import coeruleus_recipe

    return coeruleus_recipe(config.recipe, config.epochs)


def data_name(config: RunConfig) -> str:
    """Say what is learnt from: the data set's name, and the folder of masks or points."""
    return f'{data_set_name(config)}; masks or points from {config.annotations.name}'


def _prepare(
    config: RunConfig, run: AnnotatedRun[LabelledVolume], problems: dict[str, list[str]]
) -> list[VolumeRecord]:
    """Conform everybody; whoever cannot be is named and left out."""
    from tmsprep.methods.duennwald2021.records import content_of, record_of
    from tmsprep.methods.duennwald2021.volumes import load_volumes
    from tmsprep.protocols import load_protocol

    voxel_mm, cache = load_protocol(config.protocol).voxel_mm, config.work_dir / 'volumes'
    records = []
    for person in run.people:
        try:
            load_volumes([person], cache, voxel_mm)
            fingerprint = content_of(person)
        except Exception as error:
            # One person's damaged file must not cost the others their training.
            text = str(error) or type(error).__name__
            message = text if str(person.image) in text else f'{person.image}: {text}'
            logger.error('%s', message)
            problems[run.images[person.name].subject].append(message)
            continue
        records.append(record_of(person, fingerprint, cache, voxel_mm))
    return records


def _fit(config: RunConfig, records: list[VolumeRecord]) -> Path:
    from tmsprep.methods.duennwald2021.fit import CoeruleusPlan, fit_coeruleus, part_people
    from tmsprep.protocols import load_protocol

    training, validation = part_people(records)
    recipe, augment = chosen_coeruleus_recipe(config), config.augmentation == ('with',)
    plan = CoeruleusPlan(training, validation, recipe, augment, config.random_seed, config.device)
    logger.info(
        'training on %d images, %d choose the epoch; recipe %s, %d epochs, %s augmentation',
        *(len(training), len(validation), recipe.name, recipe.schedule.epochs),
        config.augmentation[0],
    )
    epochs = {'localizer': recipe.schedule.epochs, 'segmenter': recipe.patch_schedule.epochs}
    progress = EpochProgress({name: epochs[name] for name in plan.networks})
    try:
        return fit_coeruleus(
            plan,
            load_protocol(config.protocol).name,
            config.out_dir,
            checkpoints=config.work_dir / 'train',
            facts={'data': data_name(config)},
            report=progress,
        )
    finally:
        progress.close()


class EpochProgress:
    """Of trainings one after the other; in a log, a line per twentieth of a training.

    Parameters
    ----------
    epochs : dict
        Network to its number of epochs.
    """

    def __init__(self, epochs: dict[str, int]):
        from tqdm import tqdm

        self._epochs = epochs
        hidden = not sys.stderr.isatty()
        self._bar = tqdm(total=sum(epochs.values()), unit='epoch', disable=hidden, leave=False)

    def __call__(self, network: str, row: dict[str, Any]) -> None:
        """Take note of an epoch: its line of the log."""
        total, before = self._epochs[network], 0
        for name in self._epochs:
            if name == network:
                break
            before += self._epochs[name]
        self._bar.update(before + row['epoch'] - self._bar.n)
        shown = f'{network}: loss {row["loss"]:.3f}, validation {row["validation"]:.3f}'
        self._bar.set_postfix_str(shown, refresh=False)
        if self._bar.disable and row['epoch'] % max(1, total // 20) == 0:
            logger.info('%s: epoch %d of %d', shown, row['epoch'], total)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()
