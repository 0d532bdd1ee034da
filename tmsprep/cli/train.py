"""The train level: a weights file from the user's own annotated images."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.annotated import AnnotatedRun, conclude, find_annotated
from tmsprep.text import counted

if TYPE_CHECKING:
    from tmsprep.config import TrainConfig
    from tmsprep.learning.examples import Record

logger = logging.getLogger('tmsprep')


def run_level(config: TrainConfig) -> int:
    """Train on all annotated images.

    Parameters
    ----------
    config : TrainConfig
        Settings of the run.

    Returns
    -------
    int
        0 if everything was done; 1 if an annotated image could not be used, or a file of
        annotations has an error, though the others were trained on.

    Raises
    ------
    BidsError
        If there are no annotations.
    ResourceError
        If no method of the protocol learns.
    ValueError
        If too few participants are left, or they cannot be trained on.
    FloatingPointError
        If a training diverged.
    """
    run = find_annotated(config)
    if config.dry_run:
        return run.describe()
    import torch

    from tmsprep.bids import write_dataset_description

    torch.set_num_threads(config.nprocs)
    write_dataset_description(config.out_dir, config.bids_dir, run.learner.protocol)
    config.to_toml(config.log_dir / 'config.toml')
    problems: dict[str, list[str]] = defaultdict(list, run.problems)
    records = _prepare(run, problems)
    _check_number(run, records)
    weights = _train(run, records)
    logger.info('weights: %s; model card: %s', weights, weights.with_suffix('.md'))
    return conclude(problems, f'tmsprep finished without errors: {counted(len(records), "image")}')


def _prepare(run: AnnotatedRun, problems: dict[str, list[str]]) -> list[Record]:
    """Prepare all examples; those that cannot be used are named and left out."""
    from tmsprep.learning.examples import Record, fingerprint
    from tmsprep.learning.train import prepare_record

    records = []
    for example in run.complete():
        try:
            content = fingerprint(example, run.learner.version)
        except OSError as error:
            record = Record(example, '', Path(), f'{example.image}: {error}')
        else:
            cache = run.config.work_dir / 'prepared' / f'{example.name}_{content[:12]}'
            record, _ = prepare_record(run.learner, example, content, cache)
        if record.error:
            logger.error('%s', record.error)
            problems[run.images[record.name].subject].append(record.error)
        else:
            records.append(record)
    return records


def _check_number(run: AnnotatedRun, records: list[Record]) -> None:
    participants, least = (
        {record.participant for record in records},
        run.learner.least_participants,
    )
    if len(participants) < least:
        raise ValueError(
            f'{len(participants)} participants with usable images and annotations; training needs '
            f'at least {least}. Messages above say what was wrong with others'
        )


def _train(run: AnnotatedRun, records: list[Record]) -> Path:
    from tmsprep.learning.examples import split
    from tmsprep.learning.train import WeightsRun, train_weights
    from tmsprep.running.progress import TrainingProgress

    training, validation = split(records, run.learner.least_validation)
    config = run.config
    trainings = run.learner.trainings(training, config.random_seed)
    logger.info(
        'training on %s, %d in the validation set; %s',
        counted(len(training), 'image'),
        len(validation),
        ', '.join(training.name for training in trainings),
    )
    progress = TrainingProgress(len(trainings))
    try:
        return train_weights(
            WeightsRun(run.learner, training, validation, config.random_seed, config.device),
            run.layout,
            config.work_dir / 'train',
            run.data,
            progress,
        )
    finally:
        progress.close()
