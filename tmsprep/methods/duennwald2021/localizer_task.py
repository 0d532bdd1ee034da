"""Training of a `CoReUNet`: its loss is the Euclidean distance alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from tmsprep.learning.loop import Task, generator_of
from tmsprep.methods.duennwald2021.augmentation import (
    draw_affine,
    resample,
    vary_intensities,
    view_shape,
)
from tmsprep.methods.duennwald2021.networks import CoReUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.volumes import Volume


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
