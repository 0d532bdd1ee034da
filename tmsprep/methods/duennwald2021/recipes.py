"""Recipes of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from tmsprep.learning.loop import Schedule, cosine_rate
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.settings import CoReUNetSettings, PatchUNetSettings

_PAPERS_VIEWS = VolumeAugmentation()
_PATCH_VIEWS = VolumeAugmentation(translation=0.0)


@dataclass(frozen=True)
class Epochs:
    """Length and learning rate of a training; the best epoch by validation is kept.

    Parameters
    ----------
    epochs : int
        Passes over the training set.
    batch : int
        Examples per step.
    learning_rate : float
        Learning rate of Adam with betas 0.9 and 0.999 (Duennwald et al. 2021, section 2.3).
    decay : str
        'none' (the paper) or 'cosine': a warm-up of a twentieth of the steps, then half a cosine
        to 0.
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

    def schedule(self, examples: int, trial_epochs: int = 0) -> Schedule:
        """Schedule of a training with a number of examples per epoch."""
        per_epoch = -(-examples // self.batch)
        steps, rate = self.epochs * per_epoch, self.learning_rate
        return Schedule(
            steps,
            per_epoch,
            partial(torch.optim.Adam, lr=rate),
            (lambda step: rate) if self.decay == 'none' else cosine_rate(rate, steps),
            keep='best',
            unit='epoch',
            trial_rounds=trial_epochs,
        )


@dataclass(frozen=True)
class CoeruleusRecipe:
    """Settings of a training, apart from the data and the seed.

    Parameters
    ----------
    name : str
        Short name.
    schedule : Epochs
        Schedule of the `CoReUNet`; a step has `Epochs.batch` images.
    network : Mapping
        Fields of `CoReUNetSettings` that differ from its defaults.
    augmentation : VolumeAugmentation
        Random views for the training with augmentation.
    rising_epochs : int
        Epochs in which the range of the views grows up to that (not in the paper). A short
        training would spend most of its time at the middle of the image otherwise.
    starts : int
        Initial weights of the `CoReUNet` that are tried for `trial_epochs`; those with the lowest
        loss are trained further (not in the paper). From some the network stays at the middle of
        the image for hundreds of steps.
    trial_epochs : int
        Length of the trials.
    patch_schedule : Epochs
        Schedule of the `PatchUNet`; a step has `Epochs.batch` patches.
    patch_network : Mapping
        Fields of `PatchUNetSettings` that differ from its defaults.
    patch_augmentation : VolumeAugmentation
        Random views that patches are cut from.
    patches : int
        Patches per image and epoch, every other one around a locus coeruleus.
    jitter : float
        Largest distance per axis of such a patch's centre from that of the two points, mm.
    rare_weight : float
        Weight of left and right in the cross-entropy in the first epoch of the patches; it falls
        to 1 by the last (not in the paper). They fill a two-thousandth of a patch, and with equal
        weights from the start nothing is learned in hundreds of steps.
    """

    name: str
    schedule: Epochs
    patch_schedule: Epochs
    network: Mapping[str, Any] = field(default_factory=dict)
    augmentation: VolumeAugmentation = _PAPERS_VIEWS
    rising_epochs: int = 0
    starts: int = 1
    trial_epochs: int = 0
    patch_network: Mapping[str, Any] = field(default_factory=dict)
    patch_augmentation: VolumeAugmentation = _PATCH_VIEWS
    patches: int = 2
    jitter: float = 6.0
    rare_weight: float = 100.0

    def network_settings(self) -> CoReUNetSettings:
        """Shape of the localising network that this recipe trains."""
        return CoReUNetSettings(**self.network)

    def patch_settings(self) -> PatchUNetSettings:
        """Shape of the segmenting network that this recipe trains."""
        return PatchUNetSettings(**self.patch_network)


#: Section 2.3 of the paper, which does not give the batch, the patches and the features.
DUENNWALD2021 = CoeruleusRecipe(
    'duennwald2021',
    schedule=Epochs(epochs=500, batch=1, learning_rate=1e-3),
    patch_schedule=Epochs(epochs=500, batch=4, learning_rate=1e-3),
)

#: For two processor cores: the loss and the ranges of augmentation of the paper, but networks that
#: compute at 1.5 mm what they read and write at 0.75 mm.
QUICK = CoeruleusRecipe(
    'quick',
    schedule=Epochs(epochs=24, batch=2, learning_rate=2e-3, decay='cosine'),
    network={'features': (16, 16, 32, 32), 'block': 2, 'sharpness': 8.0},
    augmentation=VolumeAugmentation(view=0.75),
    rising_epochs=6,
    starts=4,
    trial_epochs=2,
    patch_schedule=Epochs(epochs=50, batch=4, learning_rate=4e-3, decay='cosine'),
    patch_network={'features': (16, 32, 32), 'block': 2},
)
#: Recipes by name.
RECIPES = {recipe.name: recipe for recipe in (DUENNWALD2021, QUICK)}


def recipe_named(name: str, epochs: int | None = None) -> CoeruleusRecipe:
    """Return a recipe.

    Parameters
    ----------
    name : str
        'duennwald2021' or 'quick'.
    epochs : int, optional
        Epochs of both networks, instead of those of the recipe.

    Raises
    ------
    KeyError
        If there is no such recipe.
    """
    recipe = RECIPES[name]
    if epochs is None:
        return recipe
    return replace(
        recipe,
        schedule=replace(recipe.schedule, epochs=epochs),
        patch_schedule=replace(recipe.patch_schedule, epochs=epochs),
    )
