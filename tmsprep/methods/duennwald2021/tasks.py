"""Training tasks: the network that localises, and the one that segments patches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from tmsprep.learning.loop import Task, generator_of
from tmsprep.methods.duennwald2021.augmentation import (
    Affine,
    draw_affine,
    identity,
    resample,
    vary_intensities,
    view_shape,
)
from tmsprep.methods.duennwald2021.networks import N_CLASSES, CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.volumes import Volume

#: Patches per image of the validation set: two around the locus coeruleus, two anywhere.
_VALIDATION_PATCHES = 4


def euclidean_loss(points: torch.Tensor, truth: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Mean Euclidean distance (Duennwald et al. 2021, section 2.3), mm.

    Parameters
    ----------
    points, truth : torch.Tensor
        Shape (images, targets, 3), voxel indices; where `truth` is NaN there is no loss.
    voxel_mm : float
        Edge of a voxel.

    Returns
    -------
    torch.Tensor
        A number; 0 if no point is known.
    """
    known = truth.isfinite().all(dim=-1)
    distances = torch.linalg.vector_norm(points[known] - truth[known], dim=-1)
    return voxel_mm * distances.sum() / max(len(distances), 1)


class LocalizerTask(Task):
    """Training of a `CoReUNet`, which keeps the epoch with the lowest mean error in validation.

    Parameters
    ----------
    training, validation : sequence of Volume
        Training set and validation set; images without any point are not used. Validation images
        are not augmented.
    recipe : CoeruleusRecipe
        How to train.
    augment : bool
        Whether random views are shown rather than the images as they are.
    seed : int
        Seed of the initial weights and of all draws.
    device : str
        'cpu' or 'cuda'.

    Raises
    ------
    ValueError
        If no image of the training set has a point.
    """

    def __init__(
        self,
        training: Sequence[Volume],
        validation: Sequence[Volume],
        recipe: CoeruleusRecipe,
        *,
        augment: bool,
        seed: int,
        device: str = 'cpu',
    ) -> None:
        torch.manual_seed(seed)
        self.networks = [
            CoReUNet(recipe.network_settings()).to(device) for _ in range(recipe.starts)
        ]
        self.training, self.validation = _with_points(training), _with_points(validation)
        if not self.training:
            raise ValueError('no image of the training set has a point. Give masks or points.')
        self.augmentation = recipe.augmentation if augment else None
        self.recipe, self.seed, self.device = recipe, seed, device
        self.schedule = recipe.schedule.schedule(len(self.training), recipe.trial_epochs)

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`."""
        epoch, number = divmod(step, self.schedule.steps_per_round)
        order = torch.randperm(len(self.training), generator=generator_of(self.seed, epoch + 1))
        chosen = order.split(self.recipe.schedule.batch)[number].tolist()
        views = [self._view(i, epoch + 1) for i in chosen]
        points, _ = network(stack([volume for volume, _ in views]))
        truth = torch.stack([point for _, point in views]).to(self.device)
        return euclidean_loss(points, truth, self.training[0].voxel_mm)

    def _view(self, number: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        volume = self.training[number]
        intensities = volume.intensities.to(self.device)
        if self.augmentation is None:
            return intensities, volume.points
        generator = generator_of(self.seed, epoch, number)
        share = min(1.0, epoch / (self.recipe.rising_epochs + 1))
        augmentation = self.augmentation.scaled(share)
        affine = draw_affine(volume.shape, volume.points, augmentation, generator)
        view = resample(intensities, affine, view_shape(volume.shape, augmentation))
        view = vary_intensities(view, augmentation, generator)
        return view, affine.into_view(volume.points)

    def validate(self, network: nn.Module) -> float:
        """Mean distance in the validation set, mm; NaN if there is none."""
        if not self.validation:
            return math.nan
        losses = []
        for volume in self.validation:
            points, _ = network(volume.intensities[None].to(self.device))
            truth = volume.points[None].to(self.device)
            losses.append(euclidean_loss(points, truth, volume.voxel_mm).item())
        return sum(losses) / len(losses)


def _with_points(volumes: Sequence[Volume]) -> list[Volume]:
    return [volume for volume in volumes if volume.points.isfinite().any()]


def stack(volumes: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join volumes of any shapes, (n, m, k) each, as one batch; padded with 0 at the end."""
    shape = torch.tensor([volume.shape for volume in volumes]).amax(dim=0).tolist()
    batch = volumes[0].new_zeros((len(volumes), *shape))
    for place, volume in zip(batch, volumes, strict=True):
        n, m, k = volume.shape
        place[:n, :m, :k] = volume
    return batch


def segmentation_loss(
    logits: torch.Tensor, labels: torch.Tensor, weight: float = 1.0
) -> torch.Tensor:
    """Cross-entropy plus soft Dice loss, weighted equally (Isensee et al. 2021, nnU-Net).

    The Dice term is the mean over left and right of the whole batch, so that a patch without
    either still counts: what is marked in it lowers the overlap.

    Parameters
    ----------
    logits : torch.Tensor
        Shape (images, 3, n, m, k).
    labels : torch.Tensor
        Shape (images, n, m, k), 0, 1 or 2.
    weight : float
        Of a voxel of label 1 or 2 in the cross-entropy; one of the background has 1.
    """
    labels = labels.long()
    truth = F.one_hot(labels, N_CLASSES).movedim(-1, 1)[:, 1:].float()
    probability = logits.softmax(dim=1)[:, 1:]
    axes = (0, 2, 3, 4)
    both = probability.sum(axes) + truth.sum(axes)
    overlap = (2 * (probability * truth).sum(axes) + 1) / (both + 1)
    weights = logits.new_tensor((1.0, weight, weight))
    return F.cross_entropy(logits, labels, weights) + (1 - overlap).mean()


class SegmenterTask(Task):
    """Training of a `PatchUNet`, which keeps the epoch with the lowest loss in validation.

    Every other patch lies around the locus coeruleus, off by up to `recipe.jitter`, as one patch
    from the localizer will; the others lie anywhere, as those of a sliding window will. The
    patches of the validation set are fixed.

    Parameters
    ----------
    training, validation : sequence of Volume
        Training set and validation set; images without a mask are not used.
    recipe : CoeruleusRecipe
        How to train.
    seed : int
        Seed of the initial weights and of all draws.
    device : str
        'cpu' or 'cuda'.

    Raises
    ------
    ValueError
        If no image of the training set has a mask.
    """

    def __init__(
        self,
        training: Sequence[Volume],
        validation: Sequence[Volume],
        recipe: CoeruleusRecipe,
        *,
        seed: int,
        device: str = 'cpu',
    ) -> None:
        torch.manual_seed(seed)
        settings = recipe.patch_settings()
        self.networks, self.patch = [PatchUNet(settings).to(device)], settings.patch
        self.training, self.validation = _with_masks(training), _with_masks(validation)
        if not self.training:
            raise ValueError('no image of the training set has a mask. Give masks.')
        self.recipe, self.seed, self.device = recipe, seed, device
        self._count = len(self.training) * recipe.patches
        self.schedule = recipe.patch_schedule.schedule(self._count)

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`."""
        epoch, number = divmod(step, self.schedule.steps_per_round)
        order = torch.randperm(self._count, generator=generator_of(self.seed, epoch + 1))
        chosen = order.split(self.recipe.patch_schedule.batch)[number].tolist()
        # From the weight at the start down to 1, by the same factor in each epoch.
        left = 1 - (epoch + 1) / self.recipe.patch_schedule.epochs
        drawn = [self.training_patch(i, epoch + 1) for i in chosen]
        return self._loss(network, drawn, self.recipe.rare_weight**left)

    def validate(self, network: nn.Module) -> float:
        """Mean loss of the patches of the validation set; NaN if there is none."""
        if not self.validation:
            return math.nan
        losses = []
        for number, volume in enumerate(self.validation):
            drawn = []
            for i in range(_VALIDATION_PATCHES):
                generator = generator_of(self.seed, 0, number, i)
                drawn.append(self._cut(volume, identity(), i % 2 == 0, generator))
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

    def training_patch(self, number: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return intensities and labels of one patch of an epoch, counted from 1."""
        volume = self.training[number // self.recipe.patches]
        augmentation = self.recipe.patch_augmentation
        generator = generator_of(self.seed, epoch, number)
        affine = draw_affine(volume.shape, volume.points, augmentation, generator)
        intensities, labels = self._cut(volume, affine, number % 2 == 0, generator)
        return vary_intensities(intensities, augmentation, generator), labels

    def _cut(
        self, volume: Volume, affine: Affine, around: bool, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Intensities and labels of one patch of a view."""
        shape = torch.tensor(volume.intensities.shape, dtype=torch.float64)
        patch = torch.tensor(self.patch, dtype=torch.float64)
        draw = torch.rand(3, generator=generator, dtype=torch.float64)
        known = volume.points[volume.points.isfinite().all(dim=-1)]
        if around and len(known):
            middle = affine.into_view(known.double()).mean(dim=0)
            middle = middle + self.recipe.jitter / volume.voxel_mm * (2 * draw - 1)
            corner = (middle - (patch - 1) / 2).round()
        else:
            corner = (draw * (shape - patch).clamp_min(0)).round()
        here = affine.from_corner(corner)
        intensities = resample(volume.intensities.to(self.device), here, self.patch)
        labels = resample(volume.labels.to(self.device).float(), here, self.patch, 'nearest')
        return intensities, labels


def _with_masks(volumes: Sequence[Volume]) -> list[Volume]:
    return [volume for volume in volumes if len(volume.labels)]
