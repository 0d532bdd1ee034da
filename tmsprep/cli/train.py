"""The train level: a weights file from the user's own annotated images."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import torch

from tmsprep.atomic import remove_partials
from tmsprep.bids import write_dataset_description
from tmsprep.bids.names import Layout
from tmsprep.cli.annotated import AnnotatedRun, conclude, find_annotated, log_issues
from tmsprep.config import TrainConfig
from tmsprep.group.analysis import GroupRequest
from tmsprep.group.issues import errors_by_subject
from tmsprep.learning.examples import Record, split
from tmsprep.learning.kept import prepare_record, remove_unfinished
from tmsprep.learning.train import WeightsRun, Written, train_weights
from tmsprep.methods import method_options, methods_of, names_of
from tmsprep.methods.base import Method
from tmsprep.methods.resources import gather_resources
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.running import EXIT_OK, EXIT_WARNED
from tmsprep.running.locks import claim_level, short_lock
from tmsprep.running.progress import EachMinute, TrainingProgress
from tmsprep.text import counted

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
        annotations has an error, though the others were trained on; else 3 if the networks have
        learned too little to be used.

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
    InUseError
        If another run trains for the protocol in the same folders.
    """
    protocol = load_protocol(config.protocol)
    methods = methods_of(protocol, config.localizers)
    learning = (method for method in methods if method.learner(protocol, config.options))
    without = (method for method in methods if method.trains_on_outputs)
    trained = next(chain(learning, without), None)
    if trained is not None:
        _warn_of_unused(config, protocol, trained.name)
        if trained.learner(protocol, config.options) is None:
            return _train_on_outputs(config, trained)
    if config.dry_run:
        return find_annotated(config).describe()
    layout = Layout(config.out_dir, protocol.name)
    with claim_level(layout, config.work_dir, 'train'):
        return _run(config)


def _warn_of_unused(config: TrainConfig, protocol: Protocol, trained: str) -> None:
    """Name the given options of methods that are not trained."""
    used = {option.name for option in method_options(trained)}
    for name in names_of(protocol):
        for option in method_options(name):
            default = option.default() if callable(option.default) else option.default
            given = config.options.get(option.name, default)
            if option.name not in used and given not in (default, None):
                logger.warning('%s: not used, as %s is trained', option.flag, trained)


def _train_on_outputs(config: TrainConfig, method: Method) -> int:
    """Train a method that needs the outputs of the participant level, and no image."""
    if config.session_label:
        raise ValueError(
            f'--session-label: training {method.name} takes all images with outputs in '
            f'{config.out_dir}; choose by --participant-label'
        )
    protocol = load_protocol(config.protocol)
    resources = gather_resources([method], protocol, config.options)[method.name]
    request = GroupRequest(
        layout=Layout(config.out_dir, protocol.name),
        protocol=protocol,
        methods=(method,),
        bids_dir=config.bids_dir,
        annotations=config.annotations,
        participants=config.participant_label,
        threshold_mm=config.consensus_threshold,
        random_seed=config.random_seed,
    )
    logger.info('training %s on the outputs and the points of raters', method.name)
    with (
        nullcontext() if config.dry_run else claim_level(request.layout, config.work_dir, 'train')
    ):
        group = method.collect_group(request)
        log_issues(group.issues)
        trained = method.train_on_outputs(group, resources, write=not config.dry_run)
        log_issues(trained.issues[len(group.issues) :])
        if not config.dry_run:
            config.to_toml(config.log_dir / 'config.toml')
            with short_lock(config.out_dir / 'logs', 'descriptions'):
                write_dataset_description(config.out_dir, config.bids_dir, protocol)
    done = 'dry run: nothing was written' if config.dry_run else 'tmsprep finished without errors'
    return conclude(errors_by_subject(group.issues), done)


def _run(config: TrainConfig) -> int:
    run = find_annotated(config)
    torch.set_num_threads(config.nprocs)
    remove_partials(config.out_dir, run.layout.weights().stem)
    remove_partials(_folder(run))
    remove_unfinished(_folder(run) / 'prepared')
    with short_lock(config.out_dir / 'logs', 'descriptions'):
        write_dataset_description(config.out_dir, config.bids_dir, run.learner.protocol)
    config.to_toml(config.log_dir / 'config.toml')
    problems: dict[str, list[str]] = defaultdict(list, run.problems)
    records = _prepare(run, problems)
    _check_number(run, records)
    weights, warning = _train(run, records)
    logger.info('weights: %s; model card: %s', weights, weights.with_suffix('.md'))
    done = f'tmsprep finished without errors: {counted(len(records), "image")}'
    if warning:
        logger.warning('%s', warning)
        done += '; do not use the networks, as said above'
    code = conclude(problems, done)
    return EXIT_WARNED if warning and code == EXIT_OK else code


def _prepare(run: AnnotatedRun, problems: dict[str, list[str]]) -> list[Record]:
    """Prepare all examples; those that cannot be used are named and left out."""
    records = []
    examples, tell = run.complete(), EachMinute()
    for number, example in enumerate(examples):
        tell(f'prepared {number} of {counted(len(examples), "image")}')
        record, _ = prepare_record(run.learner, example, _folder(run) / 'prepared')
        if record.error:
            logger.error('%s', record.error)
            problems[run.images[record.name].subject].append(record.error)
        else:
            records.append(record)
    return records


def _folder(run: AnnotatedRun) -> Path:
    """Name the directory of checkpoints and prepared images, of this protocol alone."""
    return run.config.work_dir / 'train' / run.layout.label


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


def _train(run: AnnotatedRun, records: list[Record]) -> Written:
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
            _folder(run),
            run.data,
            progress,
        )
    finally:
        progress.close()
