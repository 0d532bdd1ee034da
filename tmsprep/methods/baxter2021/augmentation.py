"""What else could have come from the scanner: random views of one image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.methods.baxter2021.network import Sampler
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.networks.crops import sample

_EXTENT = float(CONFORMED_SIZE)
_FARTHEST_TURN = 30.0
_FARTHEST_SHIFT = 40.0

#: Directions of `Cuts`, along L, P, S.
_CUTS = torch.tensor(
    [[0.0, -1.0, -1.0], [0.0, -0.5, -1.0], [0.0, 0.0, -1.0], [0.0, 1.0, -0.3], [1.0, 0.0, 0.0]]
)


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
        Probability that the head lies far from where it usually does: turned by up to 30 degrees
        about any axis and shifted by up to 40 mm along each. This and all that follows is not in
        the paper.
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
        Probability of a plane beyond which the image is empty (face, neck, back, side): at most a
        centimetre into the brain, never above it.
    corners : float
        Probability that corners of the volume are missing, each beyond an oblique plane that
        touches the brain at most.
    thick : float
        Probability that the image was made of slices 2 to 6 mm thick, along any axis.
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
    corners: float = 0.0
    thick: float = 0.0


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
        Positions in the view to positions in the conformed volume of the image, both in mm.
    """

    sampler: Sampler
    points: torch.Tensor
    to_image: Callable[[torch.Tensor], torch.Tensor]


def draw_view(
    image: PreparedImage,
    settings: Augmentation,
    generator: torch.Generator,
    mirror_permutation: torch.Tensor,
    has_mirror: torch.Tensor,
) -> View:
    """Draw one view; no volume is resampled, only what the network asks for.

    Parameters
    ----------
    image : PreparedImage
        The image.
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
    points = (image.points - middle - shift) @ torch.linalg.inv(matrix).T + middle
    if mirrored:
        points = points[mirror_permutation]
        points[~has_mirror] = math.nan
    intensities = _draw_intensities(image, settings, generator)

    def to_image(positions: torch.Tensor) -> torch.Tensor:
        return (positions - middle) @ matrix.T + middle + shift

    def sampler(level: int, positions: torch.Tensor) -> torch.Tensor:
        return intensities(level, to_image(positions))

    return View(sampler, points, to_image)


def draw_affine(
    settings: Augmentation, generator: torch.Generator, mirrored: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrix (3, 3) and shift (3,) in mm from the view to the image, about the middle."""
    if _chance(settings.far, generator):
        axis = torch.randn(3, generator=generator)
        angle = _FARTHEST_TURN * torch.rand(1, generator=generator)
        angles = axis / axis.norm() * torch.deg2rad(angle)
        shift = _FARTHEST_SHIFT * (2 * torch.rand(3, generator=generator) - 1)
    else:
        angles = torch.randn(3, generator=generator) * math.radians(settings.rotation)
        shift = torch.randn(3, generator=generator) * settings.translation
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
    image: PreparedImage, settings: Augmentation, generator: torch.Generator
) -> Sampler:
    """Draw the parameters of all effects, in an order that seeds depend on, and chain them."""
    source = draw_source(image, settings, generator)
    effects: list[Effect] = [
        Gamma.draw(settings, generator),
        BiasField.draw(settings, generator),
        Noise.draw(settings, generator),
        Cuts.draw(image.hull, settings, generator),
        Corners.draw(image.hull, settings, generator),
    ]
    slices = ThickSlices.draw(settings, generator)

    def intensities(level: int, positions: torch.Tensor) -> torch.Tensor:
        values = source.sample(level, positions, slices).clamp_min(0)
        for effect in effects:
            values = effect.apply(values, positions, level)
        return values

    return intensities


@dataclass(frozen=True)
class Source:
    """What a view is sampled from.

    Parameters
    ----------
    pyramid : tuple of torch.Tensor
        Of the whole head, or of the brain alone; finest level first.
    blur : int
        Levels finer than this one see it instead.
    """

    pyramid: tuple[torch.Tensor, ...]
    blur: int

    def sample(
        self, level: int, positions: torch.Tensor, slices: ThickSlices | None
    ) -> torch.Tensor:
        """Intensities at positions in mm from the corner, shape (..., 3) to (...)."""
        volume = self.pyramid[max(level, self.blur)]
        if slices is None or _EXTENT / volume.shape[0] >= slices.thickness:
            return sample(volume, positions, _EXTENT)
        return slices.sample(volume, positions)


def draw_source(
    image: PreparedImage, settings: Augmentation, generator: torch.Generator
) -> Source:
    """Draw whether only the brain is shown, and how blurred."""
    stripped = _chance(settings.stripped, generator) and len(image.stripped) > 0
    pyramid = (image.stripped[0], *image.stripped) if stripped else image.pyramid
    blur = int(_chance(settings.blur, generator)) + int(_chance(settings.blur / 2, generator))
    return Source(pyramid, blur)


class Effect(Protocol):
    """Change of the intensities of a view."""

    def apply(self, values: torch.Tensor, positions: torch.Tensor, level: int) -> torch.Tensor:
        """Change values, shape (...), at positions in mm from the corner, shape (..., 3)."""


@dataclass(frozen=True)
class Gamma:
    """Another contrast.

    Parameters
    ----------
    exponent : torch.Tensor
        Shape (1,).
    """

    exponent: torch.Tensor

    @classmethod
    def draw(cls, settings: Augmentation, generator: torch.Generator) -> Gamma:
        """Draw the exponent."""
        return cls((torch.randn(1, generator=generator) * settings.gamma).exp())

    def apply(self, values: torch.Tensor, positions: torch.Tensor, level: int) -> torch.Tensor:
        """See `Effect.apply`; values are not negative."""
        return values**self.exponent


@dataclass(frozen=True)
class BiasField:
    """Smooth gain: the exponential of a quadratic polynomial, 1 in the middle of the volume.

    Parameters
    ----------
    coefficients : torch.Tensor
        Shape (9,), of x, y, z, their squares and their products, from -1 to 1 in the volume.
    """

    coefficients: torch.Tensor

    @classmethod
    def draw(cls, settings: Augmentation, generator: torch.Generator) -> BiasField:
        """Draw the coefficients."""
        return cls(torch.randn(9, generator=generator) * settings.bias)

    def apply(self, values: torch.Tensor, positions: torch.Tensor, level: int) -> torch.Tensor:
        """See `Effect.apply`."""
        if not self.coefficients.any():
            return values
        x, y, z = (positions / (_EXTENT / 2) - 1).unbind(-1)
        terms = (x, y, z, x * x, y * y, z * z, x * y, y * z, z * x)
        field = torch.zeros(())
        for coefficient, term in zip(self.coefficients, terms, strict=True):
            field = field + coefficient * term
        return values * field.exp()


@dataclass(frozen=True)
class Noise:
    """Noise of a magnitude image.

    Parameters
    ----------
    sd : float
        Standard deviation at 1 mm, as a share of the intensity window.
    generator : torch.Generator
        Source of the noise.
    """

    sd: float
    generator: torch.Generator

    @classmethod
    def draw(cls, settings: Augmentation, generator: torch.Generator) -> Noise:
        """Draw the standard deviation."""
        return cls(torch.rand(1, generator=generator).item() * settings.noise, generator)

    def apply(self, values: torch.Tensor, positions: torch.Tensor, level: int) -> torch.Tensor:
        """See `Effect.apply`."""
        if not self.sd:
            return values
        # Averaging 2 x 2 x 2 voxels divides independent noise by the root of eight.
        noise = torch.randn(values.shape, generator=self.generator) * self.sd * 8 ** (-level / 2)
        return (values + noise).abs()


@dataclass(frozen=True)
class Planes:
    """Planes beyond which the image is empty.

    Parameters
    ----------
    planes : tuple
        Normal, shape (3,), and offset, mm, of each.
    """

    planes: tuple[tuple[torch.Tensor, float], ...]

    def apply(self, values: torch.Tensor, positions: torch.Tensor, level: int) -> torch.Tensor:
        """See `Effect.apply`."""
        for normal, offset in self.planes:
            values = values.masked_fill(positions @ normal > offset, 0.0)
        return values


class Cuts(Planes):
    """Planes near the brain's edge: forward and down, down, back, sideways."""

    @classmethod
    def draw(cls, hull: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> Cuts:
        """Draw which planes there are, and where."""
        planes = []
        for direction in _CUTS:
            if _chance(settings.cuts / 2, generator) and len(hull):
                normal = direction + 0.2 * torch.randn(3, generator=generator)
                margin = 30 * torch.rand(1, generator=generator).item() - 10
                planes.append(_plane(hull, normal, margin))
        return cls(tuple(planes))


class Corners(Planes):
    """Planes that take away one or two of the volume's eight corners."""

    @classmethod
    def draw(
        cls, hull: torch.Tensor, settings: Augmentation, generator: torch.Generator
    ) -> Corners:
        """Draw which corners are missing."""
        planes = []
        if _chance(settings.corners, generator) and len(hull):
            for _ in range(1 + int(_chance(0.5, generator))):
                signs = 2.0 * torch.randint(2, (3,), generator=generator) - 1
                normal = signs * (0.5 + torch.rand(3, generator=generator))
                margin = 20 * torch.rand(1, generator=generator).item()
                planes.append(_plane(hull, normal, margin))
        return cls(tuple(planes))


def _plane(hull: torch.Tensor, normal: torch.Tensor, margin: float) -> tuple[torch.Tensor, float]:
    """Plane at a distance from the convex hull, mm."""
    normal = normal / normal.norm()
    return normal, (hull @ normal).max().item() + margin


@dataclass(frozen=True)
class ThickSlices:
    """An image acquired in slices: averaged across each, interpolated between their middles.

    Parameters
    ----------
    axis : int
        Across the slices.
    thickness : float
        mm; slices have no gap.
    phase : float
        mm, where one slice begins.
    """

    axis: int
    thickness: float
    phase: float

    @classmethod
    def draw(cls, settings: Augmentation, generator: torch.Generator) -> ThickSlices | None:
        """Draw the slices; None for an image without."""
        if not _chance(settings.thick, generator):
            return None
        axis = int(torch.randint(3, (1,), generator=generator))
        thickness, phase = torch.rand(2, generator=generator).tolist()
        thickness = 2.0 + 4.0 * thickness
        return cls(axis, thickness, phase * thickness)

    def sample(self, volume: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Intensities at positions in mm from the corner, shape (..., 3) to (...)."""
        along = (positions[..., self.axis] - self.phase) / self.thickness - 0.5
        below = along.floor()
        share = along - below
        lower, upper = (self._slice(volume, positions, below + k) for k in (0, 1))
        return lower * (1 - share) + upper * share

    def _slice(
        self, volume: torch.Tensor, positions: torch.Tensor, number: torch.Tensor
    ) -> torch.Tensor:
        """Mean over three sub-slices of the slice with a number, at the positions' place in it."""
        total = torch.zeros(positions.shape[:-1])
        for part in (1 / 6, 1 / 2, 5 / 6):
            moved = positions.clone()
            moved[..., self.axis] = (number + part) * self.thickness + self.phase
            total += sample(volume, moved, _EXTENT)
        return total / 3
