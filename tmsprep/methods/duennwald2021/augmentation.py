"""Random views of a whole volume by one affine map, with the points that belong to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

#: Voxels (6 mm at 0.75 mm) between a point and the edge of a view.
KEPT_INSIDE = 8.0


@dataclass(frozen=True)
class VolumeAugmentation:
    """How far views stray; all draws are uniform (Duennwald et al. 2021, section 2.3).

    Parameters
    ----------
    rotation : float
        Largest angle about each axis, degrees; 15 in the paper.
    translation : float
        Largest shift along each axis as a share of the volume's size; 0.5 in the paper. A shift
        that would take a point out of the view, or within `KEPT_INSIDE` of its edge, is not drawn:
        it could not be localised there (not in the paper).
    scale : float
        Largest change of size, common to the axes; 0.2 in the paper.
    view : float
        Size of a view along each axis as a share of the volume's; less than 1 costs less, and the
        points stay inside all the same (not in the paper).
    gamma, noise : float
        Largest change of the intensities' exponent and largest sd of white noise as a share of
        the intensity window; not in the paper, 0 unless a recipe says so.
    """

    rotation: float = 15.0
    translation: float = 0.5
    scale: float = 0.2
    view: float = 1.0
    gamma: float = 0.0
    noise: float = 0.0

    def scaled(self, share: float) -> VolumeAugmentation:
        """Return the same views, of which only this share strays."""
        return replace(
            self,
            rotation=share * self.rotation,
            translation=share * self.translation,
            scale=share * self.scale,
        )


@dataclass(frozen=True)
class Affine:
    """Voxel indices of a view to voxel indices of the volume: ``matrix @ v + shift``.

    Parameters
    ----------
    matrix : torch.Tensor
        Shape (3, 3), float64.
    shift : torch.Tensor
        Shape (3,), float64, voxels.
    """

    matrix: torch.Tensor
    shift: torch.Tensor

    def into_view(self, points: torch.Tensor) -> torch.Tensor:
        """Voxel indices of the volume, shape (n, 3), to those of the view; NaN stays NaN."""
        moved = (points.double() - self.shift) @ torch.linalg.inv(self.matrix).T
        return moved.to(points.dtype)

    def from_corner(self, corner: torch.Tensor) -> Affine:
        """Return the map of a part of the view that begins at voxel index `corner`, shape (3,)."""
        return Affine(self.matrix, self.shift + self.matrix @ corner.double())


def identity() -> Affine:
    """Return the map of the volume as it is."""
    return Affine(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))


def view_shape(shape: tuple[int, int, int], settings: VolumeAugmentation) -> tuple[int, int, int]:
    """Voxels of the views of a volume of `shape`."""
    n, m, k = (max(1, round(settings.view * edge)) for edge in shape)
    return n, m, k


def draw_affine(
    shape: tuple[int, int, int],
    points: torch.Tensor,
    settings: VolumeAugmentation,
    generator: torch.Generator,
) -> Affine:
    """Draw the map of a view, which has the shape `view_shape`.

    Parameters
    ----------
    shape : tuple of int
        Of the volume, voxels.
    points : torch.Tensor
        Shape (n, 3), voxel indices, NaN where missing; they stay in the view.
    settings : VolumeAugmentation
        How far to stray.
    generator : torch.Generator
        On the CPU; the same state gives the same map.
    """
    angles = math.radians(settings.rotation) * _uniform(3, generator)
    size = 1 + settings.scale * _uniform(1, generator)
    volume = torch.tensor(shape, dtype=torch.float64)
    view = torch.tensor(view_shape(shape, settings), dtype=torch.float64)
    # From view to volume, so that a larger size means a smaller step.
    matrix = rotation_matrix(angles) / size
    still = Affine(matrix, (volume - 1) / 2 - matrix @ ((view - 1) / 2))
    farthest = settings.translation * volume
    shift = _draw_shift(view, farthest, still.into_view(points.double()), generator)
    return still.from_corner(-shift)


def _draw_shift(
    view: torch.Tensor, farthest: torch.Tensor, points: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Voxels by which the content of a view moves, uniform where all points stay inside."""
    low, high = -farthest, farthest
    known = points[points.isfinite().all(dim=-1)]
    if len(known):
        inside_from = KEPT_INSIDE - known.amin(dim=0)
        inside_to = view - 1 - KEPT_INSIDE - known.amax(dim=0)
        # Points too far from each other for that are put in the middle.
        middle, crowded = (inside_from + inside_to) / 2, inside_from > inside_to
        low = torch.where(crowded, middle, inside_from).clamp(-farthest, farthest)
        high = torch.where(crowded, middle, inside_to).clamp(-farthest, farthest)
    return low + (1 + _uniform(3, generator)) / 2 * (high - low)


def rotation_matrix(angles: torch.Tensor) -> torch.Tensor:
    """Rotation about the first, then the second, then the third axis, angles in radians."""
    result = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate(angles.tolist()):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3, dtype=torch.float64)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[j, i], turn[i, j] = math.sin(angle), -math.sin(angle)
        result = turn @ result
    return result


def resample(
    volume: torch.Tensor, affine: Affine, shape: tuple[int, int, int], mode: str = 'bilinear'
) -> torch.Tensor:
    """Take a view of a volume; 0 outside, which is the 5th percentile of normalised intensities.

    Parameters
    ----------
    volume : torch.Tensor
        Shape (n, m, k), floating point.
    affine : Affine
        Voxel indices of the view to those of the volume.
    shape : tuple of int
        Of the view.
    mode : str
        'bilinear', which is trilinear for volumes, or 'nearest'.

    Returns
    -------
    torch.Tensor
        Of `shape`.
    """
    # affine_grid speaks in shares of both volumes, -1 and 1 at the first and last voxel centres.
    here = (torch.tensor(volume.shape, dtype=torch.float64) - 1).clamp_min(1) / 2
    there = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    matrix = affine.matrix * there / here[:, None]
    offset = (affine.matrix @ there + affine.shift) / here - 1
    # It also wants the last axis first.
    theta = torch.cat([matrix.flip(0, 1), offset.flip(0)[:, None]], dim=1)
    theta = theta[None].to(volume.dtype).to(volume.device)
    grid = F.affine_grid(theta, [1, 1, *shape], align_corners=True)
    return F.grid_sample(volume[None, None], grid, mode=mode, align_corners=True)[0, 0]


def vary_intensities(
    intensities: torch.Tensor, settings: VolumeAugmentation, generator: torch.Generator
) -> torch.Tensor:
    """Draw another contrast and noise for normalised intensities, if the settings ask for it."""
    if settings.gamma:
        exponent = math.exp(settings.gamma * _uniform(1, generator).item())
        intensities = intensities.sign() * intensities.abs() ** exponent
    if settings.noise:
        sd = settings.noise * (1 + _uniform(1, generator).item()) / 2
        noise = torch.randn(intensities.shape, generator=generator)
        intensities = intensities + sd * noise.to(intensities.device)
    return intensities


def _uniform(n: int, generator: torch.Generator) -> torch.Tensor:
    """Between -1 and 1."""
    return 2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1
