"""What a multi-resolution network learns: random views, the loss, and the error on new images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from tmsprep.learning.loop import Schedule, Task, generator_of
from tmsprep.methods.baxter2021.augmentation import draw_view
from tmsprep.methods.baxter2021.loss import multi_resolution_loss
from tmsprep.methods.baxter2021.network import MultiResolutionNet, Sampler
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.methods.baxter2021.recipes import FORCING_VOXELS, Recipe
from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.methods.baxter2021.validation import errors_of, make_localizer, predict_images
from tmsprep.protocols import Protocol

#: Purposes of random numbers: the views of a step, the order of a pass over the images, and the
#: crops around reference points.
_VIEWS, _ORDER, _FORCED = 0, 1, 2


@dataclass(frozen=True)
class Images:
    """Prepared images of a training.

    Parameters
    ----------
    training, validation : sequence of PreparedImage
        Training set and validation set, which may be empty.
    """

    training: Sequence[PreparedImage]
    validation: Sequence[PreparedImage] = ()


class MultiResolutionTask(Task):
    """Training of one network.

    Parameters
    ----------
    images : Images
        Training set and validation set.
    settings : NetworkSettings
        Shape of the network.
    recipe : Recipe
        How to train it.
    protocol : Protocol
        Says which targets are each other's mirror images.
    seed : int
        Seed of the initial weights and of all draws.
    half_precision : bool
        Compute convolutions in bfloat16; three times faster on processors that have it.
    start : MultiResolutionNet, optional
        Initial weights, for instance to fine-tune on another site's images.
    device : str
        'cpu' or 'cuda'; images stay on the CPU, only their crops travel.
    """

    def __init__(
        self,
        images: Images,
        settings: NetworkSettings,
        recipe: Recipe,
        protocol: Protocol,
        seed: int,
        *,
        half_precision: bool = False,
        start: MultiResolutionNet | None = None,
        device: str = 'cpu',
    ) -> None:
        torch.manual_seed(seed)
        self.images, self.recipe, self.protocol, self.seed = images, recipe, protocol, seed
        self.half_precision, self.device = half_precision, torch.device(device)
        self.settings = settings
        network = MultiResolutionNet(settings)
        if start is not None:
            network.load_state_dict(start.state_dict())
        self.networks = [network.to(self.device)]
        self.schedule = make_schedule(recipe, len(images.training), settings.residual)
        self._mirror = torch.from_numpy(protocol.mirror_permutation())
        self._has_mirror = torch.from_numpy(protocol.has_mirror())
        self._resolution = torch.tensor(settings.resolutions, device=self.device)
        self._field_of_view = torch.tensor(settings.crops, dtype=torch.float32, device=self.device)

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`; all levels at once, which takes more memory than `backward`."""
        samplers, truth, jitter = self.draw(step)
        estimate, found = None, []
        for i in range(len(jitter)):
            start = self.start_of(step, i, truth, estimate)
            found.append(network(samplers, jitter, start=start, levels=slice(i, i + 1)))
            estimate = found[-1][:, -1].detach()
        return self._loss(torch.cat(found, dim=1), truth, slice(None))

    def backward(self, network: nn.Module, step: int) -> float:
        """See `Task.backward`.

        No gradient passes from a level to the one before, so each level's activations are released
        before the next level's are made: a sixth of the memory.
        """
        samplers, truth, jitter = self.draw(step)
        estimate, total = None, 0.0
        for i in range(len(jitter)):
            level, estimate = slice(i, i + 1), self.start_of(step, i, truth, estimate)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half_precision):
                found = network(samplers, jitter, start=estimate, levels=level)
            loss = self._loss(found, truth, level)
            loss.backward()
            estimate, total = found[:, -1].detach(), total + loss.item()
        return total

    def start_of(
        self, step: int, level: int, truth: torch.Tensor, estimate: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Draw where a level looks: at the estimate, or near the reference point.

        Parameters
        ----------
        step, level : int
            Counted from 0, the coarsest level first.
        truth : torch.Tensor
            Shape (views, targets, 3), mm, NaN where missing.
        estimate : torch.Tensor or None
            Of the level before, the same shape; None before the first, which sees everything.
        """
        if not self.recipe.forcing or estimate is None:
            return estimate
        generator = generator_of(self.seed, _FORCED, step, level)
        forced = torch.rand(truth.shape[:-1], generator=generator) < self.recipe.forcing
        noise = torch.randn(truth.shape, generator=generator)
        sd = FORCING_VOXELS * self.settings.resolutions[level]
        near = truth + sd * noise.to(self.device)
        chosen = forced.to(self.device)[..., None] & near.isfinite()
        return torch.where(chosen, near, estimate)

    def _loss(self, found: torch.Tensor, truth: torch.Tensor, level: slice) -> torch.Tensor:
        return multi_resolution_loss(
            found.float(),
            truth,
            self._resolution[level],
            self._field_of_view[level],
            self.recipe.alpha,
        )

    def draw(self, step: int) -> tuple[list[Sampler], torch.Tensor, list[torch.Tensor]]:
        """Draw the views of a step.

        Returns
        -------
        samplers : list of Sampler
            One per view.
        truth : torch.Tensor
            Shape (views, targets, 3), mm from the corner of the view, NaN where missing.
        jitter : list of torch.Tensor
            Per level, of the shape of `truth`: shift of the crops, mm.
        """
        generator = generator_of(self.seed, _VIEWS, step)
        images, recipe = self.images.training, self.recipe
        views = [
            draw_view(images[i], recipe.augmentation, generator, self._mirror, self._has_mirror)
            for i in choose(len(images), recipe.batch, self.seed, step)
        ]
        truth = torch.stack([view.points for view in views])
        jitter = [
            torch.randn(truth.shape, generator=generator) * recipe.jitter * r
            for r in self.settings.resolutions
        ]
        # The crop of the first level is the whole volume, wherever its centre.
        jitter[0] = torch.zeros_like(jitter[0])
        samplers = [_on_cpu(view.sampler) for view in views]
        return samplers, truth.to(self.device), [shift.to(self.device) for shift in jitter]

    def validate(self, network: nn.Module) -> float:
        """Mean error in the validation set, mm; NaN if there is none."""
        training, validation = self.images.training, self.images.validation
        if not validation:
            return math.nan
        members = [cast(MultiResolutionNet, network)]
        localizer = make_localizer(members, training, self.recipe, self.protocol)
        errors = errors_of(predict_images(localizer, validation, str(self.device)), validation)
        return float(np.nanmean(errors)) if np.isfinite(errors).any() else math.nan


def make_schedule(recipe: Recipe, images: int, residual: str) -> Schedule:
    """Schedule of a training: a hundred rounds, of which every fifth validates.

    Parameters
    ----------
    recipe : Recipe
        How to train.
    images : int
        Number of images in the training set.
    residual : str
        As in `NetworkSettings`.
    """
    share = recipe.separate_rate if residual == 'separate' else 1.0
    return Schedule(
        recipe.steps,
        max(1, recipe.steps // 100),
        _optimiser(recipe),
        lambda step: share * rate_of(recipe, step, images),
        clip=10.0,
        keep='average' if recipe.averaging else 'last',
        averaging=recipe.averaging,
        validate_every=5,
    )


def _optimiser(recipe: Recipe) -> Callable[[Any], torch.optim.Optimizer]:
    if recipe.optimiser == 'sgd':
        return partial(torch.optim.SGD, lr=recipe.learning_rate)
    if recipe.optimiser == 'adamw':
        return partial(torch.optim.AdamW, lr=recipe.learning_rate, weight_decay=1e-2)
    raise ValueError(f"optimiser must be 'sgd' or 'adamw', not {recipe.optimiser!r}")


def rate_of(recipe: Recipe, step: int, images: int) -> float:
    """Learning rate of a step, counted from 0."""
    if recipe.optimiser == 'sgd':
        return recipe.learning_rate / (1 + 0.1 * (step * recipe.batch / images))
    warm_up = min(1.0, (step + 1) / 100)
    return recipe.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def choose(images: int, batch: int, seed: int, step: int) -> list[int]:
    """Numbers of the images of a step: each pass over all of them is a new shuffle."""
    first = step * batch
    passes = range(first // images, (first + batch - 1) // images + 1)
    order: list[int] = []
    for number in passes:
        order += torch.randperm(images, generator=generator_of(seed, _ORDER, number)).tolist()
    start = first - passes[0] * images
    return order[start : start + batch]


def bfloat16_is_fast(device: str, cpuinfo: Path = Path('/proc/cpuinfo')) -> bool:
    """Tell whether the hardware multiplies in bfloat16, rather than slowly by emulation."""
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = cpuinfo.read_text(encoding='utf-8') if cpuinfo.is_file() else ''
    return 'amx_bf16' in flags or 'avx512_bf16' in flags


def _on_cpu(sampler: Sampler) -> Sampler:
    """Sample memory-mapped images where they are, whatever device asks."""
    return lambda level, positions: sampler(level, positions.cpu()).to(positions.device)
