"""How the networks of the locus coeruleus are trained, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tmsprep.learning.loop import Schedule
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.coreunet import CoReUNetSettings
from tmsprep.methods.duennwald2021.patch_unet import PatchUNetSettings

_PAPERS_VIEWS = VolumeAugmentation()
_PATCH_VIEWS = VolumeAugmentation(translation=0.0)


@dataclass(frozen=True)
class CoeruleusRecipe:
    """Everything that training depends on, apart from the data and the seed.

    Parameters
    ----------
    name : str
        Short name.
    schedule : Schedule
        Of the `CoReUNet`; a step looks at `Schedule.batch` people.
    network : Mapping
        Fields of `CoReUNetSettings` that differ from its defaults.
    augmentation : VolumeAugmentation
        Random views for the training with augmentation.
    rising_epochs : int
        Epochs in which the views stray further and further, up to that (ours). A short training
        would spend most of its time at the middle of the image otherwise.
    starts : int
        Initial weights of the `CoReUNet` that are tried for `trial_epochs`; the one with the
        lowest loss in training goes on (ours). From some the network stays at the middle of the
        image for hundreds of steps.
    trial_epochs : int
        As said above.
    patch_schedule : Schedule
        Of the `PatchUNet`; a step looks at `Schedule.batch` patches.
    patch_network : Mapping
        Fields of `PatchUNetSettings` that differ from its defaults.
    patch_augmentation : VolumeAugmentation
        Random views that patches are cut from.
    patches : int
        Patches per person and epoch, every other one around a locus coeruleus.
    jitter : float
        Largest distance per axis of such a patch's centre from that of the two points, mm.
    rare_weight : float
        Of left and right in the cross-entropy of the patches' first epoch; it falls to 1 by the
        last. They fill a two-thousandth of a patch, and at once equal weights are not learnt in
        hundreds of steps (ours).
    """

    name: str
    schedule: Schedule
    patch_schedule: Schedule
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


DUENNWALD2021 = CoeruleusRecipe(
    'duennwald2021',
    schedule=Schedule(epochs=500, batch=1, learning_rate=1e-3),
    patch_schedule=Schedule(epochs=500, batch=4, learning_rate=1e-3),
)
"""Section 2.3 of the paper; the batch, the patches and the numbers of features are ours."""

QUICK = CoeruleusRecipe(
    'quick',
    schedule=Schedule(epochs=24, batch=2, learning_rate=2e-3, decay='cosine'),
    network={'features': (16, 16, 32, 32), 'block': 2, 'sharpness': 8.0},
    augmentation=VolumeAugmentation(view=0.75),
    rising_epochs=6,
    starts=4,
    trial_epochs=2,
    patch_schedule=Schedule(epochs=50, batch=4, learning_rate=4e-3, decay='cosine'),
    patch_network={'features': (16, 32, 32), 'block': 2},
)
"""Ours, for two processor cores: the paper's loss and ranges of augmentation, but networks that
compute at 1.5 mm what they read and write at 0.75 mm."""

RECIPES = {recipe.name: recipe for recipe in (DUENNWALD2021, QUICK)}


def coeruleus_recipe(name: str, epochs: int | None = None, **changes: object) -> CoeruleusRecipe:
    """Return a recipe, with some of its fields changed.

    Parameters
    ----------
    name : str
        'duennwald2021' or 'quick'.
    epochs : int, optional
        Of both networks.
    **changes : object
        Fields of `CoeruleusRecipe`.

    Raises
    ------
    KeyError
        If there is no such recipe.
    """
    recipe = replace(RECIPES[name], **changes)
    if epochs is None:
        return recipe
    return replace(
        recipe,
        schedule=replace(recipe.schedule, epochs=epochs),
        patch_schedule=replace(recipe.patch_schedule, epochs=epochs),
    )
