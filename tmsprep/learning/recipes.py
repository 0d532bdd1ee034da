"""How networks are trained, by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tmsprep.learning.augmentation import Augmentation


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
        People per step.
    optimiser : str
        'adamw' (one cosine decay to 0 after a short warm-up) or 'sgd' (rate / (1 + 0.1 i) with i
        in passes over the data; Baxter et al. 2021, section 2.3, says "iterations").
    learning_rate : float
        At the start.
    averaging : float
        Decay of the running mean of the weights that is kept as the result; 0 keeps the last.
    jitter : float
        sd of the shift of crop centres in voxels of each level.
    alpha : float
        Of the loss, equation 2.
    augmentation : Augmentation
        Random views.
    """

    name: str
    steps: int
    batch: int
    optimiser: str
    learning_rate: float
    averaging: float = 0.0
    jitter: float = 0.0
    alpha: float = 8.0
    augmentation: Augmentation = field(default_factory=Augmentation)


BAXTER2021 = Recipe('baxter2021', steps=2000, batch=16, optimiser='sgd', learning_rate=1e-3)
"""The paper's optimiser, batch and augmentation; it does not give the number of steps."""

DEFAULT = Recipe(
    'default',
    steps=2400,
    batch=8,
    optimiser='adamw',
    learning_rate=2e-3,
    averaging=0.995,
    jitter=0.7,
    augmentation=Augmentation(
        rotation=10.0,
        translation=10.0,
        far=0.25,
        scale=0.06,
        mirror=0.5,
        gamma=0.25,
        bias=0.15,
        noise=0.08,
        blur=0.2,
        stripped=0.15,
        cuts=0.25,
    ),
)
"""Ours: faster to converge than the paper's, and seen more kinds of images."""

RECIPES = {recipe.name: recipe for recipe in (BAXTER2021, DEFAULT)}


def recipe_named(name: str, **changes: object) -> Recipe:
    """Return a recipe, with some of its fields changed.

    Raises
    ------
    KeyError
        If there is no such recipe.
    """
    return replace(RECIPES[name], **changes)
