"""Fitting a `CoReUNet`: the Euclidean distance, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tmsprep.learning.loop import Report, Trained, fit, generator_of
from tmsprep.methods.duennwald2021.augmentation import (
    VolumeAugmentation,
    draw_affine,
    resample,
    vary_intensities,
    view_shape,
)
from tmsprep.methods.duennwald2021.coreunet import CoReUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.volumes import Volume


def euclidean_loss(points: torch.Tensor, truth: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Mean Euclidean distance (Duennwald et al. 2021, section 2.3), mm.

    Parameters
    ----------
    points, truth : torch.Tensor
        Shape (people, targets, 3), voxel indices; where `truth` is NaN nothing is asked.
    voxel_mm : float
        Edge of a voxel.

    Returns
    -------
    torch.Tensor
        A number; 0 if nothing is asked.
    """
    known = truth.isfinite().all(dim=-1)
    distances = torch.linalg.vector_norm(points[known] - truth[known], dim=-1)
    return voxel_mm * distances.sum() / max(len(distances), 1)


def train_coreunet(
    training: Sequence[Volume],
    validation: Sequence[Volume],
    recipe: CoeruleusRecipe,
    *,
    augment: bool,
    seed: int,
    checkpoint: Path | None = None,
    report: Report | None = None,
    device: str = 'cpu',
) -> Trained:
    """Train and keep the epoch with the lowest mean error in the validation people.

    Parameters
    ----------
    training, validation : sequence of Volume
        People without any point are not used. Validation images are shown as they are.
    recipe : CoeruleusRecipe
        How to train.
    augment : bool
        Show random views rather than the images as they are.
    seed : int
        Initial weights and all draws.
    checkpoint : Path, optional
        Written after each epoch, and taken up if it is there.
    report : callable, optional
        Called after each epoch with 'epoch', 'loss' and 'validation', both in mm.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    Trained
        With a `CoReUNet`.

    Raises
    ------
    ValueError
        If nobody has a point to train on, or the checkpoint is that of another training.
    """
    torch.manual_seed(seed)
    starts = [CoReUNet(recipe.network_settings()).to(device) for _ in range(recipe.starts)]
    people, aside = _with_points(training), _with_points(validation)
    if not people:
        raise ValueError(
            'nobody to train on has a point of the locus coeruleus. Give masks or points.'
        )
    augmentation = recipe.augmentation if augment else None
    task = _Localizing(
        people, aside, augmentation, recipe.rising_epochs, recipe.schedule.batch, seed, device
    )
    names = [[person.name for person in group] for group in (people, aside)]
    how = (augmentation, recipe.rising_epochs, recipe.starts, recipe.trial_epochs)
    identity = ('coreunet', recipe.schedule, starts[0].settings, *how, seed, *names)
    return fit(
        starts[0],
        task,
        recipe.schedule,
        identity,
        checkpoint,
        report,
        rivals=starts[1:],
        trial_epochs=recipe.trial_epochs,
    )


def _with_points(people: Sequence[Volume]) -> list[Volume]:
    return [person for person in people if person.points.isfinite().any()]


@dataclass(frozen=True)
class _Localizing:
    """The task of finding points; see `tmsprep.learning.loop.Task`."""

    people: Sequence[Volume]
    aside: Sequence[Volume]
    augmentation: VolumeAugmentation | None
    rising_epochs: int
    batch: int
    seed: int
    device: str

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.people) // self.batch)

    def losses(self, network: nn.Module, epoch: int) -> Iterator[torch.Tensor]:
        order = torch.randperm(len(self.people), generator=generator_of(self.seed, epoch))
        for chosen in order.split(self.batch):
            views = [self._view(i, epoch) for i in chosen.tolist()]
            points, _ = network(stack([volume for volume, _ in views]))
            truth = torch.stack([point for _, point in views]).to(self.device)
            yield euclidean_loss(points, truth, self.people[0].voxel_mm)

    def _view(self, number: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        person = self.people[number]
        intensities = person.intensities.to(self.device)
        if self.augmentation is None:
            return intensities, person.points
        generator = generator_of(self.seed, epoch, number)
        shape = tuple(intensities.shape)
        augmentation = self.augmentation.scaled(min(1.0, epoch / (self.rising_epochs + 1)))
        affine = draw_affine(shape, person.points, augmentation, generator)
        view = resample(intensities, affine, view_shape(shape, augmentation))
        view = vary_intensities(view, augmentation, generator)
        return view, affine.into_view(person.points)

    def validate(self, network: nn.Module) -> float:
        if not self.aside:
            return float('nan')
        losses = []
        for person in self.aside:
            points, _ = network(person.intensities[None].to(self.device))
            truth = person.points[None].to(self.device)
            losses.append(euclidean_loss(points, truth, person.voxel_mm).item())
        return sum(losses) / len(losses)


def stack(volumes: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join volumes of any shapes, (n, m, k) each, as one batch; what they lack at the end is 0."""
    shape = torch.tensor([volume.shape for volume in volumes]).amax(dim=0).tolist()
    batch = volumes[0].new_zeros((len(volumes), *shape))
    for place, volume in zip(batch, volumes, strict=True):
        n, m, k = volume.shape
        place[:n, :m, :k] = volume
    return batch
