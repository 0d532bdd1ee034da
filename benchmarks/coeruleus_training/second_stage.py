"""Training of the networks of the second stage on crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from tmsprep.learning.loop import Schedule, Task, cosine_rate, generator_of
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.search import scale_crop
from tmsprep.methods.duennwald2021.settings import CoReUNetSettings, PatchUNetSettings
from tmsprep.methods.duennwald2021.tasks import euclidean_loss, segmentation_loss

from coeruleus_simulation.crops import CROP, CROP_MM
from coeruleus_training.bank import Bank

#: Shapes of the networks of the second stage. With blocks of 2 voxels a step takes a quarter of
#: the time of one without, and more is learned in the same time.
LOCALIZER = CoReUNetSettings(features=(32, 48, 48), block=2, targets=1)
SEGMENTER = PatchUNetSettings(features=(32, 48, 48), block=2, patch=(24, 24, CROP))

#: Voxels of what the second stage sees. In training it is another window of a crop each time that
#: the crop comes, with the middle of the nucleus at least so many voxels from its edge.
WINDOW, INSIDE = SEGMENTER.patch, 2

#: Share of crops that end at the edge of the image, and voxels beyond it at most.
EDGES, BEYOND = 0.2, 15
#: Weight of left and right in the cross-entropy at the start; it falls to 1.
RARE = 30.0

#: Weight of the loss that shapes heatmaps.
FOCUS = 1.0

#: A step on crops that must be drawn first takes three times as long. At first a few crops come
#: again and again; from this share of the steps on, as they become known by heart, all of them.
FEW, GROWN = 8000, 0.65

#: Crops of the validation set that are seen at once.
TOGETHER = 8

_CROPS, _EDGE = 3, 4


def cut_off(
    volume: torch.Tensor, labels: torch.Tensor, point: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """End a crop at the edge of an image, beyond which it is continued by reflection.

    Parameters
    ----------
    volume, labels : torch.Tensor
        Shape (n, n, n); slices along the last axis.
    point : torch.Tensor
        Shape (3,), voxel indices.
    generator : torch.Generator
        Draws whether, at which end, and how many slices are beyond.

    Returns
    -------
    tuple of torch.Tensor
        The same, the labels beyond 0, and the point NaN if it is beyond.
    """
    chance, end, share = torch.rand(3, generator=generator).tolist()
    if chance >= EDGES:
        return volume, labels, point
    beyond, n = 1 + int(share * BEYOND), volume.shape[-1]
    index = torch.arange(n)
    upper = end < 0.5
    last = n - 1 - beyond if upper else beyond
    outside = index > last if upper else index < last
    mirrored = torch.where(outside, 2 * last - index, index)
    gone = bool(point[2] > last if upper else point[2] < last)
    return (
        volume[..., mirrored],
        labels.masked_fill(outside, 0),
        torch.full_like(point, torch.nan) if gone else point,
    )


def window(
    volume: torch.Tensor, labels: torch.Tensor, point: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut a random window out of a crop, with the middle of the nucleus in it.

    Parameters
    ----------
    volume, labels : torch.Tensor
        Shape (n, n, n).
    point : torch.Tensor
        Shape (3,), voxel indices of the crop; NaN if there is none.
    generator : torch.Generator
        Draws where the window begins.

    Returns
    -------
    tuple of torch.Tensor
        The same of the window.
    """
    begins = []
    for axis, share in enumerate(torch.rand(3, generator=generator).tolist()):
        room = volume.shape[axis] - WINDOW[axis]
        begin, place = int(share * (room + 1)), float(point[axis])
        if math.isfinite(place):
            last = math.floor(place) - INSIDE
            begin = min(max(begin, math.ceil(place) + INSIDE - WINDOW[axis] + 1), last)
        begins.append(min(max(begin, 0), room))
    return _cut(volume, labels, point, begins)


def middle(
    volume: torch.Tensor, labels: torch.Tensor, point: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut the window in the middle of a crop, and scale it, as the program does; see `window`."""
    rooms = (n - m for n, m in zip(volume.shape, WINDOW, strict=True))
    seen, known, place = _cut(volume, labels, point, [room // 2 for room in rooms])
    return _scaled(seen), known, place


def _cut(
    volume: torch.Tensor, labels: torch.Tensor, point: torch.Tensor, begins: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    cut = tuple(slice(begin, begin + n) for begin, n in zip(begins, WINDOW, strict=True))
    return volume[cut], labels[cut], point - torch.tensor(begins, dtype=point.dtype)


def _scaled(volume: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(scale_crop(volume.numpy()))


def make_schedule(steps: int, rate: float) -> Schedule:
    """Schedule of a network of the second stage: a running mean of the weights is kept."""
    return Schedule(
        steps,
        50,
        partial(torch.optim.AdamW, lr=rate, weight_decay=1e-3),
        cosine_rate(rate, steps),
        clip=10.0,
        keep='average',
        averaging=0.99,
        validate_every=20,
    )


class CropTask(Task):
    """Training of a network of the second stage.

    Parameters
    ----------
    training, validation : Bank
        Crops.
    network : CoReUNet or PatchUNet
        To train.
    steps, batch, seed : int
        Optimiser steps, crops per step, and seed of the order of the crops; with seed 1 they come
        in the order of the bank, with others the clear ones alone do.
    rate : float
        Learning rate.
    half_precision : bool
        Compute convolutions in bfloat16.
    """

    def __init__(
        self,
        training: Bank,
        validation: Bank,
        network: nn.Module,
        steps: int,
        batch: int,
        seed: int,
        *,
        rate: float = 4e-3,
        half_precision: bool = False,
    ) -> None:
        self.training, self.validation = training, validation
        # A quarter less time on processors without instructions for matrices.
        self.networks = [network.to(memory_format=torch.channels_last_3d)]
        self.batch, self.seed = batch, seed
        self.half_precision = half_precision
        self.schedule = make_schedule(steps, rate)
        self._few, self._all = (
            self._order(size) for size in (min(FEW, len(training)), len(training))
        )

    def _order(self, size: int) -> list[int]:
        """Order of the first crops of the bank."""
        clear = self.training.clear
        order = torch.arange(size)
        if self.seed != 1:
            generator = generator_of(self.seed, _CROPS)
            order[clear:] = clear + torch.randperm(size - clear, generator=generator)
        return order.tolist()

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw intensities, labels and points of windows of the crops of a step."""
        drawn = []
        order = self._few if step < GROWN * self.schedule.steps else self._all
        for place in range(step * self.batch, (step + 1) * self.batch):
            volume, labels, points = self.training[order[place % len(order)]]
            generator = generator_of(self.seed, _EDGE, place)
            volume, labels, point = cut_off(volume, labels, points[0], generator)
            drawn.append(window(_scaled(volume), labels, point, generator))
        volume, labels, points = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return volume, labels, points

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`."""
        volume, labels, points = self.draw(step)
        with torch.autocast('cpu', torch.bfloat16, enabled=self.half_precision):
            found = network(volume)
        if isinstance(network, CoReUNet):
            error = euclidean_loss(found[0][:, 0].float(), points, CROP_MM)
            return error + FOCUS * heatmap_loss(found[1][:, 0].float(), labels)
        weight = RARE ** max(0.0, 1 - 2 * step / self.schedule.steps)
        return segmentation_loss(found.float(), labels, weight)

    def validate(self, network: nn.Module) -> float:
        """Mean error in mm of a localizer, or loss of a segmenter, in the validation set.

        The errors are those of nuclei that a reader could see.
        """
        losses: list[float] = []
        seen = torch.from_numpy(self.validation.seen())
        # Convolutions of one crop at a time take a slow way.
        for first in range(0, len(self.validation), TOGETHER):
            numbers = list(range(first, min(first + TOGETHER, len(self.validation))))
            crops = [self.validation[number] for number in numbers]
            crops = [middle(volume, labels, points[0]) for volume, labels, points in crops]
            shown, known, points = (torch.stack(parts) for parts in zip(*crops, strict=True))
            with torch.autocast('cpu', torch.bfloat16, enabled=self.half_precision):
                found = network(shown)
            if isinstance(network, CoReUNet):
                off = found[0][:, 0].float() - points
                errors = off.norm(dim=1) * CROP_MM
                losses += errors[seen[numbers]].tolist()
            else:
                pairs = zip(found.float().split(1), known.split(1), strict=True)
                losses += [segmentation_loss(*pair).item() for pair in pairs]
        return float(np.mean(losses))


def heatmap_loss(heatmaps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of heatmaps with the nucleus, whose centre of mass is the point.

    Nibali et al. 2018, section 3.3, add a term that shapes the heatmap to the distance. With the
    distance alone, or with a peak in the middle of the nucleus, little is learned in the first
    thousand steps.

    Parameters
    ----------
    heatmaps : torch.Tensor
        Shape (images, n, n, n), each summing to 1.
    labels : torch.Tensor
        Shape (images, n, n, n): 1 in the nucleus; where there is none there is no loss.
    """
    inside = (labels == 1).float().flatten(1)
    size = inside.sum(dim=1)
    wanted = inside / size.clamp_min(1)[:, None]
    entropy = -(wanted * heatmaps.flatten(1).clamp_min(1e-12).log()).sum(dim=1)
    return entropy.sum() / max(int((size > 0).sum()), 1)


def localizer_of(seed: int) -> CoReUNet:
    """Return an untrained localizer of the second stage."""
    torch.manual_seed(seed)
    return CoReUNet(LOCALIZER)


def segmenter_of(seed: int, start: CoReUNet) -> PatchUNet:
    """Return a segmenter of the second stage that has all but the last layer of a localizer."""
    torch.manual_seed(seed)
    network = PatchUNet(SEGMENTER)
    learned = {name: w for name, w in start.state_dict().items() if not name.startswith('head.')}
    network.load_state_dict(learned, strict=False)
    return network


def blind_error(training: np.ndarray, measured: np.ndarray) -> float:
    """Mean error of a guess that knows the stem, but has not looked at the nucleus, mm.

    It is where the registration puts the nucleus, plus the mean offset in the training set.

    Parameters
    ----------
    training, measured : numpy.ndarray
        Shape (n, 2, 3): points, NaN where there are none, and where they are expected, voxels.
    """
    mean = np.nanmean(training[:, 0] - training[:, 1], axis=0)
    off = measured[:, 0] - measured[:, 1] - mean
    return float(np.nanmean(np.linalg.norm(off, axis=1)) * CROP_MM)
