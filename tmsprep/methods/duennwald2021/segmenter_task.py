"""Fitting a `PatchUNet`: Dice and cross-entropy on random patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from tmsprep.learning.loop import Report, Trained, fit, generator_of
from tmsprep.methods.duennwald2021.augmentation import (
    Affine,
    draw_affine,
    identity,
    resample,
    vary_intensities,
)
from tmsprep.methods.duennwald2021.patch_unet import N_CLASSES, PatchUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.volumes import Volume

_VALIDATION_PATCHES = 4
"""Per person: two around the locus coeruleus, two anywhere (our choice)."""


def segmentation_loss(
    logits: torch.Tensor, labels: torch.Tensor, weight: float = 1.0
) -> torch.Tensor:
    """Cross-entropy plus soft Dice loss, weighted equally (Isensee et al. 2021, nnU-Net).

    The Dice term is the mean over left and right of the whole batch, so that a patch without
    either still counts: what is marked in it lowers the overlap.

    Parameters
    ----------
    logits : torch.Tensor
        Shape (people, 3, n, m, k).
    labels : torch.Tensor
        Shape (people, n, m, k), 0, 1 or 2.
    weight : float
        Of a voxel of label 1 or 2 in the cross-entropy; one of the background has 1 (ours).
    """
    labels = labels.long()
    truth = F.one_hot(labels, N_CLASSES).movedim(-1, 1)[:, 1:].float()
    probability = logits.softmax(dim=1)[:, 1:]
    axes = (0, 2, 3, 4)
    both = probability.sum(axes) + truth.sum(axes)
    overlap = (2 * (probability * truth).sum(axes) + 1) / (both + 1)
    weights = logits.new_tensor((1.0, weight, weight))
    return F.cross_entropy(logits, labels, weights) + (1 - overlap).mean()


def train_patch_unet(
    training: Sequence[Volume],
    validation: Sequence[Volume],
    recipe: CoeruleusRecipe,
    *,
    seed: int,
    checkpoint: Path | None = None,
    report: Report | None = None,
    device: str = 'cpu',
) -> Trained:
    """Train and keep the epoch with the lowest loss on fixed patches of the validation people.

    Every other patch lies around the locus coeruleus, off by up to `recipe.jitter`, as one patch
    from the localiser will; the others lie anywhere, as those of a sliding window will.

    Parameters
    ----------
    training, validation : sequence of Volume
        People without a mask are not used.
    recipe : CoeruleusRecipe
        How to train.
    seed : int
        Initial weights and all draws.
    checkpoint : Path, optional
        Written after each epoch, and taken up if it is there.
    report : callable, optional
        Called after each epoch with 'epoch', 'loss' and 'validation'.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    Trained
        With a `PatchUNet`.

    Raises
    ------
    ValueError
        If nobody has a mask to train on, or the checkpoint is that of another training.
    """
    torch.manual_seed(seed)
    network = PatchUNet(recipe.patch_settings()).to(device)
    people, aside = _with_masks(training), _with_masks(validation)
    if not people:
        raise ValueError('nobody to train on has a mask of the locus coeruleus. Give masks.')
    task = _Segmenting(people, aside, recipe, network.settings.patch, seed, device)
    names = [[person.name for person in group] for group in (people, aside)]
    facts = (recipe.patch_schedule, recipe.patch_augmentation, recipe.patches, recipe.jitter)
    started = ('patch-unet', *facts, recipe.rare_weight, network.settings, seed, *names)
    return fit(network, task, recipe.patch_schedule, started, checkpoint, report)


def _with_masks(people: Sequence[Volume]) -> list[Volume]:
    return [person for person in people if len(person.labels)]


@dataclass(frozen=True)
class _Segmenting:
    """The task of labelling patches; see `tmsprep.learning.loop.Task`."""

    people: Sequence[Volume]
    aside: Sequence[Volume]
    recipe: CoeruleusRecipe
    patch: tuple[int, int, int]
    seed: int
    device: str

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.people) * self.recipe.patches // self.recipe.patch_schedule.batch)

    def losses(self, network: nn.Module, epoch: int) -> Iterator[torch.Tensor]:
        count = len(self.people) * self.recipe.patches
        order = torch.randperm(count, generator=generator_of(self.seed, epoch))
        # From the weight at the start down to 1, by the same factor in each epoch.
        left = 1 - epoch / self.recipe.patch_schedule.epochs
        weight = self.recipe.rare_weight**left
        for chosen in order.split(self.recipe.patch_schedule.batch):
            drawn = [self._training_patch(number, epoch) for number in chosen.tolist()]
            yield self._loss(network, drawn, weight)

    def validate(self, network: nn.Module) -> float:
        if not self.aside:
            return float('nan')
        losses = []
        for number, person in enumerate(self.aside):
            drawn = []
            for i in range(_VALIDATION_PATCHES):
                generator = generator_of(self.seed, 0, number, i)
                drawn.append(self._cut(person, identity(), i % 2 == 0, generator))
            losses.append(self._loss(network, drawn).item())
        return sum(losses) / len(losses)

    def _loss(
        self,
        network: nn.Module,
        drawn: Sequence[tuple[torch.Tensor, torch.Tensor]],
        weight: float = 1.0,
    ) -> torch.Tensor:
        intensities, labels = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return segmentation_loss(network(intensities), labels, weight)

    def _training_patch(self, number: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        person = self.people[number // self.recipe.patches]
        augmentation = self.recipe.patch_augmentation
        generator = generator_of(self.seed, epoch, number)
        shape = tuple(person.intensities.shape)
        affine = draw_affine(shape, person.points, augmentation, generator)
        intensities, labels = self._cut(person, affine, number % 2 == 0, generator)
        return vary_intensities(intensities, augmentation, generator), labels

    def _cut(
        self, person: Volume, affine: Affine, around: bool, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Intensities and labels of one patch of a view."""
        shape = torch.tensor(person.intensities.shape, dtype=torch.float64)
        patch = torch.tensor(self.patch, dtype=torch.float64)
        draw = torch.rand(3, generator=generator, dtype=torch.float64)
        known = person.points[person.points.isfinite().all(dim=-1)]
        if around and len(known):
            middle = affine.into_view(known.double()).mean(dim=0)
            middle = middle + self.recipe.jitter / person.voxel_mm * (2 * draw - 1)
            corner = (middle - (patch - 1) / 2).round()
        else:
            corner = (draw * (shape - patch).clamp_min(0)).round()
        here = affine.from_corner(corner)
        intensities = resample(person.intensities.to(self.device), here, self.patch)
        labels = resample(person.labels.to(self.device).float(), here, self.patch, 'nearest')
        return intensities, labels
