"""How far an ensemble's points are from those of people it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tmsprep.evaluation.errors import dispersion
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.network import MultiResolutionNet, Sampler, pyramid_sampler
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.training import mean_shape
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.protocols import Protocol


def make_localizer(
    members: Sequence[MultiResolutionNet],
    trained_on: Sequence[Person],
    recipe: Recipe,
    protocol: Protocol,
    card: Mapping[str, str] | None = None,
) -> Localizer:
    """Join networks into an ensemble that looks at images as the recipe says.

    Parameters
    ----------
    members : sequence of MultiResolutionNet
        In evaluation mode.
    trained_on : sequence of Person
        Whose mean configuration the second look starts from.
    recipe : Recipe
        Says whether there is a second look.
    protocol : Protocol
        The targets.
    card : mapping, optional
        What the file will say about itself.

    Returns
    -------
    Localizer
        It looks once, whatever the recipe says, if there is a target that nobody has.
    """
    known = torch.stack([person.points for person in trained_on]).isfinite().all(dim=-1)
    twice = recipe.second_look and bool(known.any(dim=0).all())
    partners = zip(protocol.mirror_permutation().tolist(), protocol.has_mirror(), strict=True)
    return Localizer(
        protocol.labels,
        tuple(members),
        dict(card or {}),
        mirror=tuple(i if there else None for i, there in partners) if twice else None,
        shape=mean_shape(trained_on) if twice else None,
    )


def predict_people(
    localizer: Localizer, people: Sequence[Person], device: str = 'cpu'
) -> np.ndarray:
    """Localise as the participant level does.

    Parameters
    ----------
    localizer : Localizer
        The ensemble.
    people : sequence of Person
        Their points are not looked at.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    numpy.ndarray
        Shape (people, members, targets, 3), mm from the corner of the conformed volume.
    """
    found = np.empty((len(people), len(localizer.members), len(localizer.labels), 3))
    with torch.inference_mode():
        for j, member in enumerate(localizer.members):
            network = member.to(device)
            for i, person in enumerate(people):
                sampler = _sampler(person, network.settings.extent)
                points = locate(network, sampler, localizer.shape, localizer.mirror)
                found[i, j] = points.double().cpu().numpy()
    return found


def errors_of(predictions: np.ndarray, people: Sequence[Person]) -> np.ndarray:
    """Distance of the ensemble's mean from the reference.

    Parameters
    ----------
    predictions : numpy.ndarray
        Result of `predict_people`.
    people : sequence of Person
        The same.

    Returns
    -------
    numpy.ndarray
        Shape (people, targets), mm, NaN where the reference is missing.
    """
    truth = np.stack([person.points.double().numpy() for person in people])
    return np.linalg.norm(predictions.mean(axis=1) - truth, axis=-1)


def dispersions_of(predictions: np.ndarray) -> np.ndarray:
    """Equation 3 of Baxter et al. 2021 for each person, shape (people, targets), mm."""
    return np.stack([dispersion(members) for members in predictions])


def doubtful(
    errors: np.ndarray, names: Sequence[str], limit_mm: float = DISAGREEMENT_MM
) -> dict[str, float]:
    """Name people whose points may belong to another image.

    No header shows that, when two heads lie in similar fields of view; a network that is right
    elsewhere does.

    Parameters
    ----------
    errors : numpy.ndarray
        Shape (people, targets), mm, NaN where missing.
    names : sequence of str
        Of the people.
    limit_mm : float
        Largest median error of points that belong to the image (our choice: beyond it experts
        are not in agreement).

    Returns
    -------
    dict
        Name to median error in mm.
    """
    medians = [np.nanmedian(row) if np.isfinite(row).any() else 0.0 for row in errors]
    found = zip(names, medians, strict=True)
    return {name: float(median) for name, median in found if median > limit_mm}


def summarise(errors: np.ndarray) -> dict[str, float]:
    """Describe distances in mm; missing ones are left out.

    Returns
    -------
    dict
        'n', 'mean', 'sd', 'median', 'p95' and 'max'; NaN without enough people.
    """
    known = errors[np.isfinite(errors)]
    if not len(known):
        return {'n': 0, **dict.fromkeys(('mean', 'sd', 'median', 'p95', 'max'), float('nan'))}
    return {
        'n': len(known),
        'mean': float(known.mean()),
        'sd': float(known.std(ddof=1)) if len(known) > 1 else float('nan'),
        'median': float(np.median(known)),
        'p95': float(np.quantile(known, 0.95)),
        'max': float(known.max()),
    }


def _sampler(person: Person, extent: float) -> Sampler:
    """Sample memory-mapped images where they are, and clip them as in training."""
    whole = pyramid_sampler(person.pyramid, extent)
    return lambda level, positions: whole(level, positions.cpu()).clamp_min(0).to(positions.device)
