"""Train without some people, then localise in them (Baxter et al. 2021, section 2.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tmsprep.imaging.volume import to_world_mm
from tmsprep.learning.folds import Job
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.prepared import Prepared
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.training import Training
from tmsprep.methods.baxter2021.validation import make_localizer, predict_people
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

CHECKPOINT_EVERY = 50
"""Steps between checkpoints (our choice: under a minute of work)."""


def run_job(
    cohort: Sequence[Prepared],
    job: Job,
    recipe: Recipe,
    protocol: Protocol,
    *,
    checkpoint: Path | None = None,
    device: str = 'cpu',
) -> dict[str, PointSet]:
    """Train on everyone else and find the targets of those left out.

    Parameters
    ----------
    cohort : sequence of Prepared
        Everyone; images that could not be prepared are passed over.
    job : Job
        Who is left out, the variant and the seed.
    recipe : Recipe
        How to train.
    protocol : Protocol
        The targets.
    checkpoint : Path, optional
        Where an interrupted training goes on; it must belong to this very job.
    device : str
        'cpu' or 'cuda', for training.

    Returns
    -------
    dict
        Name of each left-out image to its points, mm, RAS+, in the T1w's scanner frame. A target
        that nobody in training has is missing.

    Raises
    ------
    ValueError
        If nobody is left to train on.
    """
    usable = [person for person in cohort if not person.error]
    wanted = [person for person in usable if person.participant in job.left_out]
    if not wanted:
        return {}
    others = [person.load() for person in usable if person.participant not in job.left_out]
    if not others:
        raise ValueError(
            f'{job.name}: nobody is left to train on; give the annotations of more participants'
        )
    network = train_fold(others, job, recipe, protocol, checkpoint=checkpoint, device=device)
    return {
        person.name: PointSet(
            protocol.labels,
            to_world_mm(
                predict(network, person.load(), others, recipe, protocol), _affine(person)
            ),
        )
        for person in wanted
    }


def train_fold(
    people: Sequence[Person],
    job: Job,
    recipe: Recipe,
    protocol: Protocol,
    *,
    checkpoint: Path | None = None,
    device: str = 'cpu',
) -> MultiResolutionNet:
    """Train on the people given, who must not be those that the job leaves out.

    Returns
    -------
    MultiResolutionNet
        In evaluation mode, on the CPU.
    """
    settings = recipe.network_settings(len(protocol.labels), residual=job.variant)
    training = Training(settings, recipe, protocol, job.seed, device=device)
    return training.run(people, checkpoint, every=CHECKPOINT_EVERY).cpu()


def predict(
    network: MultiResolutionNet,
    person: Person,
    trained_on: Sequence[Person],
    recipe: Recipe,
    protocol: Protocol,
) -> np.ndarray:
    """Find all targets in one image.

    A recipe with a second look is read out as `participant` does it, with the mean
    shape of the training people and the mirror; others, such as the paper's, look once.

    Parameters
    ----------
    network : MultiResolutionNet
        Result of `train_fold`.
    person : Person
        Left out; the points are not looked at.
    trained_on : sequence of Person
        Whose points tell which targets can be known, and their mean shape.
    recipe, protocol : Recipe, Protocol
        As in training.

    Returns
    -------
    numpy.ndarray
        Shape (targets, 3), mm from the corner of the conformed volume, NaN where no training
        person has the target, and everywhere if the training diverged.
    """
    if not all(values.isfinite().all() for values in network.parameters()):
        return np.full((len(protocol.labels), 3), np.nan)
    trained = torch.stack([p.points for p in trained_on]).isfinite().all(dim=-1).any(dim=0)
    localizer = make_localizer([network], trained_on, recipe, protocol)
    found = predict_people(localizer, [person])[0, 0]
    return np.where(trained[:, None], found, np.nan)


def recipe_to_json(recipe: Recipe) -> str:
    """All that a recipe says, as text that is the same for the same recipe."""
    return json.dumps(asdict(recipe), sort_keys=True)


def recipe_from_json(text: str) -> Recipe:
    """Read what `recipe_to_json` gave."""
    content: Mapping[str, Any] = json.loads(text)
    return Recipe(**{**content, 'augmentation': Augmentation(**content['augmentation'])})


def _affine(person: Prepared) -> np.ndarray:
    return np.array(person.affine)
