"""The ensemble of trained networks, and its error in images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tmsprep.evaluation.errors import dispersion
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.network import MultiResolutionNet, Sampler, pyramid_sampler
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.protocols import Protocol


def make_localizer(
    members: Sequence[MultiResolutionNet],
    trained_on: Sequence[PreparedImage],
    recipe: Recipe,
    protocol: Protocol,
    card: Mapping[str, str] | None = None,
) -> Localizer:
    """Join networks into an ensemble that looks at images as the recipe says.

    Parameters
    ----------
    members : sequence of MultiResolutionNet
        In evaluation mode.
    trained_on : sequence of PreparedImage
        Training set, whose mean configuration the second look starts from.
    recipe : Recipe
        Says whether there is a second look.
    protocol : Protocol
        The targets.
    card : mapping, optional
        What the file will say about itself.

    Returns
    -------
    Localizer
        It looks once, whatever the recipe says, if there is a target that no image has.
    """
    known = torch.stack([image.points for image in trained_on]).isfinite().all(dim=-1)
    twice = recipe.second_look and bool(known.any(dim=0).all())
    partners = zip(protocol.mirror_permutation().tolist(), protocol.has_mirror(), strict=True)
    return Localizer(
        protocol.labels,
        tuple(members),
        dict(card or {}),
        mirror=tuple(i if there else None for i, there in partners) if twice else None,
        shape=mean_shape(trained_on) if twice else None,
    )


def predict_images(
    localizer: Localizer, images: Sequence[PreparedImage], device: str = 'cpu'
) -> np.ndarray:
    """Localise as the participant level does.

    Parameters
    ----------
    localizer : Localizer
        The ensemble.
    images : sequence of PreparedImage
        Their points are not used.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    numpy.ndarray
        Shape (images, members, targets, 3), mm from the corner of the conformed volume.
    """
    found = np.empty((len(images), len(localizer.members), len(localizer.labels), 3))
    with torch.inference_mode():
        for j, member in enumerate(localizer.members):
            network = member.to(device)
            for i, image in enumerate(images):
                sampler = _sampler(image, network.settings.extent)
                points = locate(network, sampler, localizer.shape, localizer.mirror)
                found[i, j] = points.double().cpu().numpy()
    return found


def errors_of(predictions: np.ndarray, images: Sequence[PreparedImage]) -> np.ndarray:
    """Distance of the ensemble's mean from the reference.

    Parameters
    ----------
    predictions : numpy.ndarray
        Result of `predict_images`.
    images : sequence of PreparedImage
        The same.

    Returns
    -------
    numpy.ndarray
        Shape (images, targets), mm, NaN where the reference is missing.
    """
    truth = np.stack([image.points.double().numpy() for image in images])
    return np.linalg.norm(predictions.mean(axis=1) - truth, axis=-1)


def dispersions_of(predictions: np.ndarray) -> np.ndarray:
    """Equation 3 of Baxter et al. 2021 for each image, shape (images, targets), mm."""
    return np.stack([dispersion(members) for members in predictions])


def doubtful(
    errors: np.ndarray, names: Sequence[str], limit_mm: float = DISAGREEMENT_MM
) -> dict[str, float]:
    """Name the images whose points may belong to another image.

    No header shows that, when two heads lie in similar fields of view; a network that is right
    elsewhere does.

    Parameters
    ----------
    errors : numpy.ndarray
        Shape (images, targets), mm, NaN where missing.
    names : sequence of str
        Names of the images.
    limit_mm : float
        Largest median error of points that belong to the image, beyond which
        experts are not in agreement.

    Returns
    -------
    dict
        Name to median error in mm.
    """
    medians = [np.nanmedian(row) if np.isfinite(row).any() else 0.0 for row in errors]
    found = zip(names, medians, strict=True)
    return {name: float(median) for name, median in found if median > limit_mm}


def mean_shape(images: Sequence[PreparedImage]) -> torch.Tensor:
    """Mean position of each target relative to the centre of all.

    Parameters
    ----------
    images : sequence of PreparedImage
        Images with points.

    Returns
    -------
    torch.Tensor
        Shape (targets, 3), mm along L, P, S, moved to the middle of the conformed volume.

    Raises
    ------
    ValueError
        If a target has no point at all.
    """
    points = torch.stack([image.points for image in images])
    # Centring with the known points would move images that lack a target.
    complete = points[torch.isfinite(points).all(dim=-1).all(dim=-1)]
    centred = complete - complete.mean(dim=1, keepdim=True) if len(complete) else points
    shape = centred.nanmean(dim=0)
    if not torch.isfinite(shape).all():
        raise ValueError('a target has no point in any image')
    return shape - shape.mean(dim=0) + CONFORMED_SIZE / 2


def _sampler(image: PreparedImage, extent: float) -> Sampler:
    """Sample memory-mapped images where they are, and clip them as in training."""
    whole = pyramid_sampler(image.pyramid, extent)
    return lambda level, positions: whole(level, positions.cpu()).clamp_min(0).to(positions.device)
