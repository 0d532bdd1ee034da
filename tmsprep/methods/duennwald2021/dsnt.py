"""From maps to points in voxels: the differentiable spatial to numerical transform, in 3D."""

from __future__ import annotations

import torch


def dsnt(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax over space, then the expected voxel index (Nibali et al. 2018, sections 3.1, 3.2).

    Duennwald et al. 2021, section 2.2, use it in three dimensions. Nibali et al. scale indices to
    the range -1 to 1; they stay indices here, so that volumes of any shape share one unit.

    Parameters
    ----------
    maps : torch.Tensor
        Shape (people, targets, n, m, k): unnormalised log-probabilities.

    Returns
    -------
    heatmaps : torch.Tensor
        Shape of `maps`; each map is at least 0 and sums to 1.
    points : torch.Tensor
        Shape (people, targets, 3), in voxel indices: 0 is the centre of the first voxel.
    """
    heatmaps = maps.flatten(2).softmax(dim=-1).view_as(maps)
    return heatmaps, expected_index(heatmaps)


def expected_index(heatmaps: torch.Tensor) -> torch.Tensor:
    """Mean voxel index under each heatmap.

    Parameters
    ----------
    heatmaps : torch.Tensor
        Shape (..., n, m, k), summing to 1 over the last three axes.

    Returns
    -------
    torch.Tensor
        Shape (..., 3), in voxel indices.
    """
    along = [heatmaps.sum(dim=axes) for axes in ((-2, -1), (-3, -1), (-3, -2))]
    return torch.stack([(p * _indices(p)).sum(dim=-1) for p in along], dim=-1)


def _indices(like: torch.Tensor) -> torch.Tensor:
    return torch.arange(like.shape[-1], dtype=like.dtype, device=like.device)
