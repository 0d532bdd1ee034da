"""The loop that fits a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tmsprep.atomic import atomic_path
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.methods.baxter2021.augmentation import draw_view
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.loss import multi_resolution_loss
from tmsprep.methods.baxter2021.network import MultiResolutionNet, NetworkSettings, Sampler
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.protocols import Protocol

Progress = Callable[[int, float], None]
"""Called after each step with its number and loss."""


class Training:
    """One run: everything that a checkpoint must hold to go on as if never interrupted.

    Random draws of step ``i`` depend on the seed and ``i`` alone, so that a resumed run draws what
    an unbroken one would.

    Parameters
    ----------
    settings : NetworkSettings
        Shape of the network.
    recipe : Recipe
        How to train it.
    protocol : Protocol
        Says which targets are each other's mirror images.
    seed : int
        Initial weights and all draws.
    half_precision : bool
        Compute convolutions in bfloat16; three times faster on processors that have it.
    start : MultiResolutionNet, optional
        Whose weights to begin from, for instance to fine-tune on another site's images.
    device : str
        'cpu' or 'cuda'; images stay on the CPU, only their crops travel.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        recipe: Recipe,
        protocol: Protocol,
        seed: int,
        half_precision: bool = False,
        start: MultiResolutionNet | None = None,
        device: str = 'cpu',
    ):
        torch.manual_seed(seed)
        self.recipe, self.seed, self.half_precision = recipe, seed, half_precision
        self.device = torch.device(device)
        self.network = MultiResolutionNet(settings)
        if start is not None:
            self.network.load_state_dict(start.state_dict())
        self.network.to(self.device)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging)
        )
        self.optimiser = _optimiser(self.network, recipe)
        self.step = 0
        self._mirror = torch.from_numpy(protocol.mirror_permutation())
        self._has_mirror = torch.from_numpy(protocol.has_mirror())
        self._resolution = torch.tensor(settings.resolutions, device=self.device)
        self._field_of_view = torch.tensor(settings.crops, dtype=torch.float32, device=self.device)

    def run(
        self,
        people: Sequence[Person],
        checkpoint: Path | None = None,
        every: int = 100,
        progress: Progress | None = None,
    ) -> MultiResolutionNet:
        """Train until the recipe's last step, from the checkpoint if there is one.

        Returns
        -------
        MultiResolutionNet
            The averaged network, or the last one if the recipe does not average.
        """
        if checkpoint is not None and checkpoint.is_file():
            self.load(checkpoint)
        while self.step < self.recipe.steps:
            loss = self.advance(people)
            if progress is not None:
                progress(self.step, loss)
            if checkpoint is not None and (
                self.step % every == 0 or self.step == self.recipe.steps
            ):
                self.save(checkpoint)
        return self.result()

    def advance(self, people: Sequence[Person]) -> float:
        """Take one optimiser step; return its loss."""
        generator = _generator(self.seed, self.step, purpose=0)
        chosen = _choose(len(people), self.recipe.batch, self.seed, self.step)
        views = [
            draw_view(
                people[i], self.recipe.augmentation, generator, self._mirror, self._has_mirror
            )
            for i in chosen
        ]
        truth = torch.stack([view.points for view in views])
        jitter = [
            torch.randn(truth.shape, generator=generator) * self.recipe.jitter * r
            for r in self.network.settings.resolutions
        ]
        # Nobody passes a jitter to the first level: its crop is the whole volume.
        jitter[0] = torch.zeros_like(jitter[0])
        jitter = [shift.to(self.device) for shift in jitter]
        separate = self.network.settings.residual == 'separate'
        share = self.recipe.separate_rate if separate else 1.0
        for group in self.optimiser.param_groups:
            group['lr'] = share * _rate(self.recipe, self.step, len(people))
        self.optimiser.zero_grad()
        loss = self._backward([_on_cpu(view.sampler) for view in views], truth, jitter)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss

    def _backward(
        self, samplers: list[Sampler], truth: torch.Tensor, jitter: list[torch.Tensor]
    ) -> float:
        """Add up the gradient and return the loss.

        No gradient passes from a level to the one before, so each level's activations are let go
        before the next level's are made: a sixth of the memory.
        """
        truth = truth.to(self.device)
        estimate, total = None, 0.0
        for i in range(len(jitter)):
            level = slice(i, i + 1)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half_precision):
                found = self.network(samplers, jitter, start=estimate, levels=level)
            loss = multi_resolution_loss(
                found.float(),
                truth,
                self._resolution[level],
                self._field_of_view[level],
                self.recipe.alpha,
            )
            loss.backward()
            estimate, total = found[:, -1].detach(), total + loss.item()
        return total

    def result(self) -> MultiResolutionNet:
        """Return the network to keep, in evaluation mode."""
        return (self.average.module if self.recipe.averaging else self.network).eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            'step': self.step,
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
        }
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take up where a checkpoint left."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.step = state['step']
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        self.optimiser.load_state_dict(state['optimiser'])


def mean_shape(people: Sequence[Person]) -> torch.Tensor:
    """Mean position of each target relative to the centre of all.

    Parameters
    ----------
    people : sequence of Person
        Whose points; a target that nobody has raises.

    Returns
    -------
    torch.Tensor
        Shape (targets, 3), mm along L, P, S, moved to the middle of the conformed volume.

    Raises
    ------
    ValueError
        If a target has no point at all.
    """
    points = torch.stack([person.points for person in people])
    # Centring with what each person has would move people who lack a target.
    complete = points[torch.isfinite(points).all(dim=-1).all(dim=-1)]
    centred = complete - complete.mean(dim=1, keepdim=True) if len(complete) else points
    shape = centred.nanmean(dim=0)
    if not torch.isfinite(shape).all():
        raise ValueError('a target has no point in any person')
    return shape - shape.mean(dim=0) + CONFORMED_SIZE / 2


def _on_cpu(sampler: Sampler) -> Sampler:
    """Sample memory-mapped images where they are, whatever device asks."""
    return lambda level, positions: sampler(level, positions.cpu()).to(positions.device)


def _generator(seed: int, number: int, purpose: int) -> torch.Generator:
    """Independent random numbers for each step (purpose 0) and each shuffle (purpose 1)."""
    state = np.random.SeedSequence([seed, purpose, number]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def _choose(people: int, batch: int, seed: int, step: int) -> list[int]:
    """Who takes part in a step: each pass over the data is a new shuffle."""
    first = step * batch
    passes = range(first // people, (first + batch - 1) // people + 1)
    order: list[int] = []
    for number in passes:
        generator = _generator(seed, number, purpose=1)
        order += torch.randperm(people, generator=generator).tolist()
    start = first - passes[0] * people
    return order[start : start + batch]


def _optimiser(network: MultiResolutionNet, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == 'sgd':
        return torch.optim.SGD(network.parameters(), recipe.learning_rate)
    if recipe.optimiser == 'adamw':
        return torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=1e-2)
    raise ValueError(f"optimiser must be 'sgd' or 'adamw', not {recipe.optimiser!r}")


def _rate(recipe: Recipe, step: int, people: int) -> float:
    """Learning rate of a step."""
    if recipe.optimiser == 'sgd':
        return recipe.learning_rate / (1 + 0.1 * (step * recipe.batch / people))
    warm_up = min(1.0, (step + 1) / 100)
    return recipe.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
