"""What else could have come from the scanner: random views of one person."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.learning.cohort import Person
from tmsprep.networks.crops import sample
from tmsprep.networks.multiresolution import Sampler

_EXTENT = float(CONFORMED_SIZE)


@dataclass(frozen=True)
class Augmentation:
    """How far random views stray. Standard deviations (sd) of normal draws, or probabilities.

    Parameters
    ----------
    rotation : float
        sd in degrees about each axis; 10 in Baxter et al. 2021.
    translation : float
        sd in mm along each axis; 10 in the paper.
    far : float
        Probability that rotation and translation are doubled. Ours, as all that follows.
    scale : float
        sd of the log of the size, common to the axes; a third of it again per axis.
    mirror : float
        Probability of a left-right reflection, with the labels swapped.
    gamma, bias : float
        sd of the log of the exponent, and of the coefficients of a quadratic log bias field.
    noise : float
        Largest noise sd as a share of the intensity window, at 1 mm.
    blur : float
        Probability that fine levels see the next coarser one.
    stripped : float
        Probability that only the brain is shown.
    cuts : float
        Probability of a plane beyond which the image is empty (face, neck, back, side): never
        through the brain, never above it.
    """

    rotation: float = 10.0
    translation: float = 10.0
    far: float = 0.0
    scale: float = 0.0
    mirror: float = 0.0
    gamma: float = 0.0
    bias: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    stripped: float = 0.0
    cuts: float = 0.0


@dataclass(frozen=True)
class View:
    """A random view: its intensities and where the targets are in it.

    Parameters
    ----------
    sampler : Sampler
        Positions are mm from the corner of the view.
    points : torch.Tensor
        Shape (targets, 3), mm from the corner of the view, NaN where missing.
    to_image : callable
        Positions in the view to positions in the person's conformed volume, both in mm.
    """

    sampler: Sampler
    points: torch.Tensor
    to_image: Callable[[torch.Tensor], torch.Tensor]


def draw_view(
    person: Person,
    settings: Augmentation,
    generator: torch.Generator,
    mirror_permutation: torch.Tensor,
    has_mirror: torch.Tensor,
) -> View:
    """Draw one view; no volume is resampled, only what the network asks for.

    Parameters
    ----------
    person : Person
        Whose image.
    settings : Augmentation
        How far to stray.
    generator : torch.Generator
        On the CPU; the same state gives the same view.
    mirror_permutation, has_mirror : torch.Tensor
        Of the protocol, see `Protocol.mirror_permutation`.
    """
    mirrored = _chance(settings.mirror, generator)
    matrix, shift = draw_affine(settings, generator, mirrored)
    middle = _EXTENT / 2
    points = (person.points - middle - shift) @ torch.linalg.inv(matrix).T + middle
    if mirrored:
        points = points[mirror_permutation]
        points[~has_mirror] = math.nan
    intensities = _draw_intensities(person, settings, generator)

    def to_image(positions: torch.Tensor) -> torch.Tensor:
        return (positions - middle) @ matrix.T + middle + shift

    def sampler(level: int, positions: torch.Tensor) -> torch.Tensor:
        return intensities(level, to_image(positions))

    return View(sampler, points, to_image)


def draw_affine(
    settings: Augmentation, generator: torch.Generator, mirrored: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrix (3, 3) and shift (3,) in mm from the view to the image, about the middle."""
    factor = 2.0 if _chance(settings.far, generator) else 1.0
    angles = torch.randn(3, generator=generator) * math.radians(settings.rotation * factor)
    shift = torch.randn(3, generator=generator) * settings.translation * factor
    size = torch.randn(1, generator=generator) * settings.scale
    size = size + torch.randn(3, generator=generator) * settings.scale / 3
    matrix = _rotation(angles) * size.exp()
    if mirrored:
        matrix = matrix * torch.tensor([-1.0, 1.0, 1.0])
    return matrix, shift


def _rotation(angles: torch.Tensor) -> torch.Tensor:
    """Rotation by a vector of angles in radians (matrix exponential of its cross product)."""
    x, y, z = angles.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return torch.linalg.matrix_exp(cross)


def _chance(probability: float, generator: torch.Generator) -> bool:
    return torch.rand(1, generator=generator).item() < probability


def _draw_intensities(
    person: Person, settings: Augmentation, generator: torch.Generator
) -> Sampler:
    stripped = _chance(settings.stripped, generator) and len(person.stripped) > 0
    pyramid = (person.stripped[0], *person.stripped) if stripped else person.pyramid
    blur = int(_chance(settings.blur, generator)) + int(_chance(settings.blur / 2, generator))
    gamma = (torch.randn(1, generator=generator) * settings.gamma).exp()
    field = torch.randn(9, generator=generator) * settings.bias
    sigma = torch.rand(1, generator=generator).item() * settings.noise
    planes = _draw_cuts(person.hull, settings, generator)

    def intensities(level: int, positions: torch.Tensor) -> torch.Tensor:
        values = sample(pyramid[max(level, blur)], positions, _EXTENT)
        values = values.clamp_min(0) ** gamma * _bias_field(positions, field)
        if sigma:
            # Averaging 2 x 2 x 2 voxels divides independent noise by the root of eight.
            noise = torch.randn(values.shape, generator=generator) * sigma * 8 ** (-level / 2)
            values = (values + noise).abs()
        for normal, offset in planes:
            values = values.masked_fill(positions @ normal > offset, 0.0)
        return values

    return intensities


def _bias_field(positions: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Smooth gain: the exponential of a quadratic polynomial, 1 in the middle of the volume."""
    if not field.any():
        return torch.ones(())
    x, y, z = (positions / (_EXTENT / 2) - 1).unbind(-1)
    terms = (x, y, z, x * x, y * y, z * z, x * y, y * z, z * x)
    return sum(c * term for c, term in zip(field, terms, strict=True)).exp()


def _draw_cuts(
    hull: torch.Tensor, settings: Augmentation, generator: torch.Generator
) -> list[tuple[torch.Tensor, float]]:
    """Planes (normal, offset) just outside the brain: forward and down, down, back or sideways."""
    planes = []
    directions = torch.tensor(
        [[0.0, -1.0, -1.0], [0.0, -0.5, -1.0], [0.0, 0.0, -1.0], [0.0, 1.0, -0.3], [1.0, 0.0, 0.0]]
    )
    for direction in directions:
        if _chance(settings.cuts / 2, generator) and len(hull):
            normal = direction + 0.2 * torch.randn(3, generator=generator)
            normal = normal / normal.norm()
            margin = 20 * torch.rand(1, generator=generator).item()
            planes.append((normal, (hull @ normal).max().item() + margin))
    return planes
