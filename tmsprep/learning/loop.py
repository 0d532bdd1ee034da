"""A loop over epochs that keeps the best network by its loss in validation people."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from tmsprep.atomic import atomic_path

Report = Callable[[dict[str, Any]], None]
"""Called after each epoch with its line of the log."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Parameters
    ----------
    epochs : int
        Passes over the training people.
    batch : int
        Examples per step.
    learning_rate : float
        Of Adam with betas 0.9 and 0.999 (Duennwald et al. 2021, section 2.3).
    decay : str
        'none' (the paper) or 'cosine': a warm-up of a twentieth of the steps, then half a cosine
        to 0 (ours).
    """

    epochs: int
    batch: int
    learning_rate: float
    decay: str = 'none'

    def __post_init__(self) -> None:
        if self.decay not in ('none', 'cosine'):
            raise ValueError(f"decay must be 'none' or 'cosine', not {self.decay!r}")
        if min(self.epochs, self.batch) < 1:
            raise ValueError('epochs and batch must be at least 1')

    def rate(self, progress: float) -> float:
        """Learning rate when `progress`, from 0 to 1, of the training is done."""
        if self.decay == 'none':
            return self.learning_rate
        warm_up = min(1.0, progress / 0.05 + 0.02)
        return self.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Parameters
    ----------
    network : torch.nn.Module
        With the weights of the best epoch, in evaluation mode, on the CPU.
    best_epoch : int
        Counted from 1: the one of the lowest validation loss; without validation people the last.
    log : list of dict
        One line per epoch: 'epoch', 'loss' (mean over its steps) and 'validation' (NaN without
        validation people).
    """

    network: nn.Module
    best_epoch: int
    log: list[dict[str, Any]]


class Task(Protocol):
    """What is learnt: the losses of an epoch's steps, and the loss in validation people."""

    steps_per_epoch: int

    def losses(self, network: nn.Module, epoch: int) -> Iterator[torch.Tensor]:
        """Yield one loss per step; the same epoch, counted from 1, gives the same examples."""

    def validate(self, network: nn.Module) -> float:
        """Return the loss in validation people; NaN if there are none."""


def fit(
    network: nn.Module,
    task: Task,
    schedule: Schedule,
    identity: Sequence[object],
    checkpoint: Path | None = None,
    report: Report | None = None,
    rivals: Sequence[nn.Module] = (),
    trial_epochs: int = 0,
) -> Trained:
    """Train to the last epoch, from the checkpoint if there is one.

    Parameters
    ----------
    network : torch.nn.Module
        On the device to use; is changed.
    task : Task
        What to learn.
    schedule : Schedule
        How long and how fast.
    identity : sequence of object
        What the training depends on, such as recipe and seed: their texts are kept in the
        checkpoint, which no other training goes on from.
    checkpoint : Path, optional
        Written after each epoch.
    report : callable, optional
        Called after each epoch.
    rivals : sequence of torch.nn.Module
        The same network from other initial weights. All are trained for `trial_epochs`, and the
        one with the lowest loss in training goes on.
    trial_epochs : int
        At least 1 if there are rivals.

    Raises
    ------
    ValueError
        If the checkpoint is that of another training.
    FloatingPointError
        If the loss is not finite.
    """
    known = [str(part) for part in identity]
    runs = [_Run(start, schedule, known) for start in (network, *rivals)]
    run = runs[0]
    if checkpoint is not None and Path(checkpoint).is_file():
        run.load(Path(checkpoint))
    elif rivals:
        run = _best_start(runs, task, trial_epochs)
        if checkpoint is not None:
            run.save(Path(checkpoint))
        for row in run.log if report is not None else ():
            report(row)
    network = run.network
    while len(run.log) < schedule.epochs:
        row = run.advance(task)
        if checkpoint is not None:
            run.save(Path(checkpoint))
        if report is not None:
            report(row)
    network.load_state_dict(run.best_state)
    return Trained(network.cpu().eval(), run.best_epoch, run.log)


def _best_start(runs: Sequence[_Run], task: Task, epochs: int) -> _Run:
    """Return the one that has learnt most after a few epochs."""
    for run in runs:
        for _ in range(min(epochs, run.schedule.epochs)):
            run.advance(task)
    return min(runs, key=lambda run: run.log[-1]['loss'])


class _Run:
    """All that a checkpoint must hold; random draws depend on seed and epoch alone."""

    def __init__(self, network: nn.Module, schedule: Schedule, identity: list[str]):
        self.network, self.schedule, self.identity = network, schedule, identity
        self.optimiser = torch.optim.Adam(network.parameters(), schedule.learning_rate)
        self.log: list[dict[str, Any]] = []
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_state: dict[str, torch.Tensor] = {}

    def advance(self, task: Task) -> dict[str, Any]:
        """Do one epoch; return its line of the log."""
        epoch = len(self.log) + 1
        self.network.train()
        losses = []
        total = self.schedule.epochs * task.steps_per_epoch
        for i, loss in enumerate(task.losses(self.network, epoch)):
            progress = ((epoch - 1) * task.steps_per_epoch + i) / total
            for group in self.optimiser.param_groups:
                group['lr'] = self.schedule.rate(progress)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            losses.append(loss.item())
        mean = float(np.mean(losses))
        if not math.isfinite(mean):
            raise FloatingPointError(
                f'the loss of epoch {epoch} is {mean}: the training has come apart. Train with a '
                'lower learning rate, or another seed.'
            )
        self.network.eval()
        with torch.inference_mode():
            row = {'epoch': epoch, 'loss': mean, 'validation': task.validate(self.network)}
        self.log.append(row)
        self._keep_if_best(row)
        return row

    def _keep_if_best(self, row: dict[str, Any]) -> None:
        loss = row['validation']
        if math.isfinite(loss) and loss >= self.best_loss:
            return
        if math.isfinite(loss):
            self.best_loss = loss
        elif math.isfinite(self.best_loss):
            return
        self.best_epoch = row['epoch']
        self.best_state = copy.deepcopy(self.network.state_dict())

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            'identity': self.identity,
            'network': self.network.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'log': self.log,
            'best': (self.best_epoch, self.best_loss, self.best_state),
        }
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take up where a checkpoint left."""
        device = next(self.network.parameters()).device
        state = torch.load(path, weights_only=True, map_location=device)
        if state['identity'] != self.identity:
            raise ValueError(
                f'{path} belongs to another training (other people, recipe, seed or settings). '
                'Remove it, or train in another folder.'
            )
        self.network.load_state_dict(state['network'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.log = state['log']
        self.best_epoch, self.best_loss, self.best_state = state['best']


def generator_of(*numbers: int) -> torch.Generator:
    """Independent random numbers for each tuple of whole numbers, such as seed and epoch."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
