"""How networks are trained, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.settings import NetworkSettings

#: sd of crop centres around the reference point, see `Recipe.forcing`: about what a trained level
#: leaves to the next.
FORCING_VOXELS = 1.2


@dataclass(frozen=True)
class Recipe:
    """Everything that training depends on, apart from the data and the seed.

    Parameters
    ----------
    name : str
        Short name.
    steps : int
        Optimiser steps.
    batch : int
        Images per step.
    optimiser : str
        'adamw' (one cosine decay to 0 after a short warm-up) or 'sgd' (rate / (1 + 0.1 i) with i
        in passes over the data; Baxter et al. 2021, section 2.3, says "iterations").
    learning_rate : float
        At the start.
    separate_rate : float
        Share of it with separate residual layers: at a high rate a level's own shape model throws
        points so far that equation 2 leaves it no gradient to come back. Not in the paper.
    averaging : float
        Decay of the running mean of the weights that is kept as the result; 0 keeps the last.
    jitter : float
        sd of the shift of crop centres in voxels of each level.
    forcing : float
        Share of crops whose centre is drawn around the reference point, with an sd of
        `FORCING_VOXELS` voxels of the level, instead of where the level before points: fine levels
        then learn from the first step on. Not in the paper, where they wait for the coarse ones.
    alpha : float
        Of the loss, equation 2.
    augmentation : Augmentation
        Random views.
    network : Mapping
        Fields of `NetworkSettings` that differ from its defaults.
    second_look : bool
        Whether what it trains looks at images twice and in a mirror; see
        `tmsprep.methods.baxter2021.locate`. Not in the paper.
    """

    name: str
    steps: int
    batch: int
    optimiser: str
    learning_rate: float
    averaging: float = 0.0
    jitter: float = 0.0
    forcing: float = 0.0
    alpha: float = 8.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    network: Mapping[str, Any] = field(default_factory=dict)
    second_look: bool = False
    separate_rate: float = 1.0

    def network_settings(self, targets: int, residual: str = 'shared') -> NetworkSettings:
        """Shape of the network that this recipe trains."""
        return NetworkSettings(targets, residual=residual, **self.network)


#: The paper's optimiser, batch and augmentation; it does not give the number of steps.
BAXTER2021 = Recipe('baxter2021', steps=2000, batch=16, optimiser='sgd', learning_rate=1e-3)

#: Images as they arrive in a clinic, from one scanner's whole heads.
_CLINIC = Augmentation(
    rotation=10.0,
    translation=10.0,
    far=0.35,
    scale=0.06,
    mirror=0.5,
    gamma=0.35,
    bias=0.2,
    noise=0.12,
    blur=0.25,
    stripped=0.25,
    cuts=0.25,
    corners=0.15,
    thick=0.3,
)

#: Faster to converge than the paper's recipe, with more kinds of images.
DEFAULT = Recipe(
    'default',
    steps=2400,
    batch=8,
    optimiser='adamw',
    learning_rate=2e-3,
    averaging=0.995,
    jitter=0.7,
    forcing=0.7,
    augmentation=_CLINIC,
    network={'readout': 3},
    second_look=True,
)

#: For many trainings on a small machine, or a first try: a network of a twentieth of the work.
QUICK = Recipe(
    'quick',
    steps=300,
    batch=4,
    optimiser='adamw',
    learning_rate=8e-3,
    averaging=0.95,
    jitter=0.7,
    augmentation=Augmentation(
        rotation=10.0, translation=10.0, scale=0.06, mirror=0.5, gamma=0.2, noise=0.05
    ),
    network={'crops': (8, 8, 8, 8, 8, 8), 'kernels': 8, 'channels': 4, 'readout': 3},
    second_look=True,
    separate_rate=0.3125,
)

#: For comparing many trainings on few participants: `QUICK` with crops around the reference.
CROSSVAL = replace(QUICK, name='crossval', steps=720, forcing=0.7, separate_rate=1.0)

#: Recipes by name.
RECIPES = {recipe.name: recipe for recipe in (BAXTER2021, DEFAULT, QUICK, CROSSVAL)}


def recipe_named(
    name: str,
    *,
    steps: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    averaging: float | None = None,
) -> Recipe:
    """Return a recipe, with the given fields changed.

    Raises
    ------
    KeyError
        If there is no such recipe.
    """
    recipe = RECIPES[name]
    return replace(
        recipe,
        steps=recipe.steps if steps is None else steps,
        batch=recipe.batch if batch is None else batch,
        learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
        averaging=recipe.averaging if averaging is None else averaging,
    )
