"""The training loop of all networks."""

from __future__ import annotations

import copy
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tmsprep.learning.kept import DamagedError, load_checked, save_checked
from tmsprep.learning.log import Row

logger = logging.getLogger('tmsprep')

#: Called after each round with its line of the log.
Report = Callable[[Row], None]

#: What of a training is kept: the last weights, their running mean, or those of the round with the
#: lowest validation loss.
KEEP = ('last', 'average', 'best')


@dataclass(frozen=True)
class Schedule:
    """Length and speed of a training.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    steps_per_round : int
        Steps after which there is a line of the log and a checkpoint.
    optimiser : callable
        Makes an optimiser from parameters.
    rate : callable
        Learning rate of a step, counted from 0.
    clip : float
        Largest norm of the gradient; infinite for no limit.
    keep : str
        One of `KEEP`. Without a validation set 'best' keeps the last weights.
    averaging : float
        Decay of the running mean of the weights, for 'average'.
    validate_every : int
        Rounds from one validation to the next; the last round always validates.
    unit : str
        Name of the column of the log that counts: 'step', or 'epoch' to count rounds.
    trial_rounds : int
        Rounds after which the rival with the lowest loss is chosen, see `Task.networks`.
    """

    steps: int
    steps_per_round: int
    optimiser: Callable[[Any], torch.optim.Optimizer]
    rate: Callable[[int], float]
    clip: float = math.inf
    keep: str = 'last'
    averaging: float = 0.0
    validate_every: int = 1
    unit: str = 'step'
    trial_rounds: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.steps_per_round) < 1:
            raise ValueError('steps and steps_per_round must be at least 1')
        if self.keep not in KEEP:
            raise ValueError(f'keep must be one of {", ".join(KEEP)}, not {self.keep!r}')

    @property
    def rounds(self) -> int:
        """Number of rounds; the last one may be shorter."""
        return -(-self.steps // self.steps_per_round)

    @property
    def total(self) -> int:
        """Last number of the column of the log that counts."""
        return self.rounds if self.unit == 'epoch' else self.steps


class Task(ABC):
    """What one training learns.

    Random draws must depend on the seed and the step alone, so that a resumed training draws what
    an uninterrupted one would.

    Attributes
    ----------
    networks : sequence of torch.nn.Module
        The network to train, on its device; if there are several, rivals with other initial
        weights, of which one is chosen after `Schedule.trial_rounds`.
    schedule : Schedule
        Length and speed.
    """

    networks: Sequence[nn.Module]
    schedule: Schedule

    @abstractmethod
    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """Return the loss of a step, counted from 0."""

    def backward(self, network: nn.Module, step: int) -> float:
        """Add the gradient of a step and return its loss; override it where memory needs it."""
        loss = self.loss(network, step)
        loss.backward()
        return loss.item()

    def validate(self, network: nn.Module) -> float:
        """Return the loss or error in the validation set; NaN if there is none."""
        return math.nan


@dataclass(frozen=True)
class Trained:
    """Result of a training.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU.
    log : list of dict
        One line per round: `Schedule.unit`, 'loss' (mean over its steps) and 'validation' (NaN
        where it was not measured).
    best : int
        Round whose weights are kept, counted from 1.
    unit : str
        As `Schedule.unit`.
    """

    network: nn.Module
    log: list[Row] = field(default_factory=list)
    best: int = 0
    unit: str = 'step'

    @property
    def kept(self) -> Row:
        """Line of the log of the round whose weights are kept."""
        return self.log[self.best - 1]


def fit(
    task: Task, identity: str = '', checkpoint: Path | None = None, report: Report | None = None
) -> Trained:
    """Train to the last step, from the checkpoint if there is one.

    Parameters
    ----------
    task : Task
        What to learn; its networks are changed.
    identity : str
        All that the training depends on, as a text; it is kept in the checkpoint.
    checkpoint : Path, optional
        Written after each round. One that is damaged is named in the log and replaced: the
        training starts from its first step.
    report : callable, optional
        Called after each round.

    Raises
    ------
    ValueError
        If the checkpoint is of another training.
    FloatingPointError
        If the training diverged.
    """
    runs = [_Run(task, network, identity) for network in task.networks]
    run = runs[0]
    state = None if checkpoint is None else _read(Path(checkpoint), task)
    if state is not None:
        run.load(state, Path(checkpoint or ''))
    elif len(runs) > 1:
        run = _best_start(runs)
        _finish_round(run, checkpoint, report, run.log)
    while run.step < task.schedule.steps:
        row = run.advance()
        _finish_round(run, checkpoint, report, [row])
    return run.result()


def _read(checkpoint: Path, task: Task) -> dict[str, Any] | None:
    """Read a checkpoint; None if there is none, or a damaged one, which the log names."""
    if not checkpoint.exists():
        return None
    try:
        return load_checked(checkpoint, next(task.networks[0].parameters()).device)
    except DamagedError as error:
        logger.warning('%s: the training starts from its first step', error)
        return None


def _finish_round(
    run: _Run, checkpoint: Path | None, report: Report | None, rows: Sequence[Row]
) -> None:
    if checkpoint is not None:
        run.save(Path(checkpoint))
    if report is not None:
        for row in rows:
            report(row)


def _best_start(runs: Sequence[_Run]) -> _Run:
    """Return the run with the lowest loss after a few rounds."""
    for run in runs:
        for _ in range(min(run.schedule.trial_rounds, run.schedule.rounds)):
            run.advance()
    return min(runs, key=lambda run: run.log[-1]['loss'])


class _Run:
    """One network in training, with all that a checkpoint must hold."""

    def __init__(self, task: Task, network: nn.Module, identity: str) -> None:
        self.task, self.network, self.identity = task, network, identity
        self.schedule = task.schedule
        self.optimiser = self.schedule.optimiser(network.parameters())
        self.average: AveragedModel | None = None
        if self.schedule.keep == 'average':
            decay = get_ema_multi_avg_fn(self.schedule.averaging)
            self.average = AveragedModel(network, multi_avg_fn=decay)
        self.step = 0
        self.log: list[Row] = []
        self.best, self.best_loss = 0, math.inf
        self.best_state: dict[str, torch.Tensor] = {}

    @property
    def kept(self) -> nn.Module:
        """The network to keep, but for 'best'."""
        return self.network if self.average is None else self.average.module

    def advance(self) -> Row:
        """Train for one round; return its line of the log."""
        self.network.train()
        end = min(self.step + self.schedule.steps_per_round, self.schedule.steps)
        losses = []
        while self.step < end:
            losses.append(self._step())
        mean = float(np.mean(losses))
        number = len(self.log) + 1
        count = number if self.schedule.unit == 'epoch' else self.step
        if not math.isfinite(mean):
            raise FloatingPointError(
                f'the training diverged: its loss is {mean} at {self.schedule.unit} {count}. '
                'Train with another recipe, a lower learning rate or another --random-seed'
            )
        last = self.step == self.schedule.steps
        measured = math.nan
        if last or number % self.schedule.validate_every == 0:
            self.kept.eval()
            with torch.inference_mode():
                measured = self.task.validate(self.kept)
        row = {self.schedule.unit: count, 'loss': mean, 'validation': measured}
        self.log.append(row)
        self._keep_if_best(measured)
        return row

    def _step(self) -> float:
        for group in self.optimiser.param_groups:
            group['lr'] = self.schedule.rate(self.step)
        self.optimiser.zero_grad()
        loss = self.task.backward(self.network, self.step)
        if math.isfinite(self.schedule.clip):
            nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        return loss

    def _keep_if_best(self, loss: float) -> None:
        if self.schedule.keep != 'best':
            self.best = len(self.log)
            return
        if math.isfinite(loss):
            if loss >= self.best_loss:
                return
            self.best_loss = loss
        elif math.isfinite(self.best_loss):
            return
        self.best = len(self.log)
        self.best_state = copy.deepcopy(self.network.state_dict())

    def result(self) -> Trained:
        """Return the network that is kept."""
        network = self.kept
        if self.schedule.keep == 'best':
            network.load_state_dict(self.best_state)
        _check_finite(network)
        return Trained(network.cpu().eval(), self.log, self.best, self.schedule.unit)

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            'identity': self.identity,
            'step': self.step,
            'network': self.network.state_dict(),
            'average': None if self.average is None else self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'log': self.log,
            'best': (self.best, self.best_loss, self.best_state),
        }
        save_checked(path, state)

    def load(self, state: dict[str, Any], path: Path) -> None:
        """Resume from the content of a checkpoint."""
        if state['identity'] != self.identity:
            raise ValueError(
                f'{path} belongs to another training (other images, recipe, seed or settings). '
                'Delete it, or train in another directory.'
            )
        self.network.load_state_dict(state['network'])
        if self.average is not None:
            self.average.load_state_dict(state['average'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self.log = state['step'], state['log']
        self.best, self.best_loss, self.best_state = state['best']


def rounded(network: nn.Module) -> nn.Module:
    """Round weights to half precision, so that what is measured is what the file will hold.

    Raises
    ------
    FloatingPointError
        If half precision cannot hold one.
    """
    state = {name: value.half().float() for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    _check_finite(network)
    return network.eval()


def _check_finite(network: nn.Module) -> None:
    if not all(values.isfinite().all() for values in network.state_dict().values()):
        raise FloatingPointError(
            'the training diverged: its weights are not finite, or too large for the weights '
            'file. Train with another recipe, a lower learning rate or another --random-seed'
        )


def generator_of(*numbers: int) -> torch.Generator:
    """Independent random numbers for each tuple of whole numbers, such as seed and epoch."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def cosine_rate(rate: float, steps: int) -> Callable[[int], float]:
    """Learning rate of a short warm-up (a twentieth of the steps), then half a cosine to 0."""

    def rate_of(step: int) -> float:
        progress = step / steps
        warm_up = min(1.0, progress / 0.05 + 0.02)
        return rate * warm_up * 0.5 * (1 + math.cos(math.pi * progress))

    return rate_of
