"""Train networks, and make a weights file of them with its card and log."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tmsprep.bids.names import Layout
from tmsprep.learning.card import WARNING, common_entries, write_card
from tmsprep.learning.examples import Record, points_as_dict, usable
from tmsprep.learning.log import Row, plot_log, write_log
from tmsprep.learning.loop import Trained, fit, rounded
from tmsprep.learning.plan import Training, check_disjoint
from tmsprep.methods.learner import Learner
from tmsprep.protocols import Protocol

logger = logging.getLogger(__name__)

#: Called after each round with the name of the training, the last count of its log and the line.
Progress = Callable[[str, int, Row], None]


def train_network(
    learner: Learner,
    training: Training,
    records: Sequence[Record],
    validation: Sequence[Record],
    *,
    checkpoint: Path | None = None,
    report: Callable[[int, Row], None] | None = None,
    device: str = 'cpu',
    reduced: bool = False,
) -> Trained:
    """Train one network, from its checkpoint if there is one.

    Parameters
    ----------
    learner : Learner
        Of the method.
    training : Training
        Network, variant and seed.
    records, validation : sequence of Record
        Training set and validation set; records with an error are passed over.
    checkpoint : Path, optional
        Written after each round; it must be of this very training.
    report : callable, optional
        Called after each round with the last count of the log and the line.
    device : str
        'cpu' or 'cuda'.
    reduced : bool
        Whether it may compute in reduced precision where the machine is fast in it.

    Raises
    ------
    ValueError
        If a participant is in both sets, nothing is left to train on, or the checkpoint is of
        another training.
    FloatingPointError
        If the training diverged.
    """
    records, validation = usable(records), usable(validation)
    check_disjoint([r.participant for r in records], [r.participant for r in validation])
    if not records:
        raise ValueError(
            f'{training.name}: no image is left to train on; give the annotations of more '
            'participants'
        )
    task = learner.task(training, records, validation, device=device, reduced=reduced)
    identity = identity_of(learner, training, records, validation)
    told = None if report is None else partial(report, task.schedule.total)
    return fit(task, identity, checkpoint, told)


def identity_of(
    learner: Learner, training: Training, records: Sequence[Record], validation: Sequence[Record]
) -> str:
    """Return a text with all that decides how a training goes.

    Device and precision do not count: a training may move to another machine.
    """
    content = {
        'version': learner.version,
        'learner': learner.identity(),
        'targets': [asdict(target) for target in learner.protocol.targets],
        'voxel_mm': learner.protocol.voxel_mm,
        'training': [training.network, training.variant, training.seed],
        'sets': [[_content(record) for record in group] for group in (records, validation)],
    }
    return json.dumps(content, sort_keys=True, default=dict)


def _content(record: Record) -> list[Any]:
    points = record.example.points
    return [record.name, record.fingerprint, None if points is None else points_as_dict(points)]


@dataclass(frozen=True)
class WeightsRun:
    """How weights for use are trained.

    Parameters
    ----------
    learner : Learner
        Of the method.
    training, validation : sequence of Record
        Training set and validation set.
    seed : int
        Seed of the run.
    device : str
        'cpu' or 'cuda'.
    """

    learner: Learner
    training: Sequence[Record]
    validation: Sequence[Record]
    seed: int = 1
    device: str = 'cpu'

    @property
    def protocol(self) -> Protocol:
        """The targets."""
        return self.learner.protocol


class Written(NamedTuple):
    """A weights file, and why it must not be used, in words; '' if nothing is known against it."""

    path: Path
    warning: str


def train_weights(
    run: WeightsRun,
    layout: Layout,
    checkpoints: Path,
    data: str = 'not stated',
    progress: Progress | None = None,
) -> Written:
    """Train all networks, and write weights, model card, log and figure.

    When it is repeated after a kill, it resumes from the checkpoints and gives the same weights as
    an uninterrupted run.

    Parameters
    ----------
    run : WeightsRun
        What to train.
    layout : Layout
        Names of the outputs.
    checkpoints : Path
        Directory of the checkpoints.
    data : str
        Origin of images and annotations, for the card.
    progress : callable, optional
        Called after each round.

    Returns
    -------
    Written
        The weights file, which is written last, and whether it is of use.

    Raises
    ------
    ValueError
        If a target has no point in the training set; see also `train_network`.
    FloatingPointError
        If a training diverged.
    """
    learner, training, validation = run.learner, run.training, run.validation
    check_targets(learner, training)
    trainings = learner.trainings(training, run.seed)
    trained = {t.name: _train(run, t, checkpoints, progress) for t in trainings}
    networks = {name: rounded(result.network) for name, result in trained.items()}
    model = learner.assemble(networks, training)
    model, card = learner.finish(model, trained, training, validation, run.device)
    for network in networks.values():
        network.cpu()
    path = layout.weights()
    common = common_entries(path.stem, data, training, validation)
    card = replace(card, entries={**common, **card.entries})
    logs = {name: result.log for name, result in trained.items()}
    unit = next(iter(trained.values())).unit
    meaning = {t.name: learner.meaning(t.network) for t in trainings}
    write_log(layout.level('train', 'log'), logs, unit, meaning)
    figure = layout.level('train', 'curve', '.svg')
    plot_log(figure.parent / 'figures' / figure.name, logs, unit, meaning)
    write_card(path.with_suffix('.md'), run.protocol, card)
    return Written(learner.save(path, model, card.entries), card.entries.get(WARNING, ''))


def _train(
    run: WeightsRun, training: Training, checkpoints: Path, progress: Progress | None
) -> Trained:
    identity = identity_of(run.learner, training, run.training, run.validation)
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]

    def report(total: int, row: Row) -> None:
        if progress is not None:
            progress(training.name, total, row)

    return train_network(
        run.learner,
        training,
        run.training,
        run.validation,
        checkpoint=checkpoints / f'{training.name}_{key}.pt',
        report=report,
        device=run.device,
        reduced=True,
    )


def check_targets(learner: Learner, records: Sequence[Record]) -> None:
    """Refuse a training set in which a target has no point.

    Raises
    ------
    ValueError
        With the targets and the remedy.
    """
    known = learner.known_targets(records)
    lacking = [label for label in learner.protocol.labels if label not in known]
    if lacking:
        raise ValueError(
            f'no participant of the training set has a point for {", ".join(lacking)}: annotate '
            'it in at least one of them, or give --protocol FILE.toml without it'
        )


def summary(training: Training, trained: Trained, seconds: float) -> Mapping[str, Any]:
    """Return a training and what its log says of the weights that are kept, JSON-ready."""
    kept = trained.kept
    return {
        **asdict(training),
        'unit': trained.unit,
        'count': trained.log[-1][trained.unit],
        'kept': kept[trained.unit],
        'loss': kept['loss'],
        'validation': kept['validation'],
        'seconds': seconds,
        'error': '',
    }
