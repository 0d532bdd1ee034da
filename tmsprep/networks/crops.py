"""Cubes of voxels around points, sampled from a pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def snap_to_voxels(centres: torch.Tensor, resolution: float, size: int) -> torch.Tensor:
    """Move crop centres so that the crop's voxels coincide with the level's voxels.

    Parameters
    ----------
    centres : torch.Tensor
        Shape (..., 3), mm from the corner of the volume.
    resolution : float
        Voxel size of the level in mm.
    size : int
        Voxels along each edge of the crop.
    """
    shift = resolution * (size % 2) / 2
    return ((centres - shift) / resolution).round() * resolution + shift


def crop_positions(centres: torch.Tensor, resolution: float, size: int) -> torch.Tensor:
    """Voxel centres of cubes around points.

    Returns
    -------
    torch.Tensor
        Shape (..., size, size, size, 3), mm from the corner of the volume.
    """
    steps = torch.arange(size, dtype=centres.dtype, device=centres.device) - (size - 1) / 2
    offsets = torch.stack(torch.meshgrid(steps, steps, steps, indexing='ij'), dim=-1)
    return centres[..., None, None, None, :] + resolution * offsets


def sample(volume: torch.Tensor, positions: torch.Tensor, extent: float) -> torch.Tensor:
    """Linear interpolation of a volume at positions in mm; 0 outside.

    Any level of a pyramid covers the same extent, so positions mean the same at all of them.

    Parameters
    ----------
    volume : torch.Tensor
        Shape (n, n, n), voxel size ``extent / n``.
    positions : torch.Tensor
        Shape (..., 3), mm from the corner of the volume (the outer edge of the first voxel).
    extent : float
        Edge of the volume in mm.

    Returns
    -------
    torch.Tensor
        Shape (...).
    """
    # grid_sample wants the last axis first, and -1 to 1 from edge to edge.
    grid = (positions * (2.0 / extent) - 1.0).flip(-1).reshape(1, -1, 1, 1, 3)
    values = F.grid_sample(volume[None, None], grid, align_corners=False)
    return values.reshape(positions.shape[:-1])
