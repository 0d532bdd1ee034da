"""From maps to points: spatial softmax and weighted centroids."""

from __future__ import annotations

import torch


def map_centroids(maps: torch.Tensor) -> torch.Tensor:
    """Centroid of each map read as an unnormalised log-probability.

    Baxter et al. 2021, equation 1, right: ``c_i = sum_x x exp(M_i(x)) / sum_x exp(M_i(x))``.

    Parameters
    ----------
    maps : torch.Tensor
        Shape (..., n, n, n).

    Returns
    -------
    torch.Tensor
        Shape (..., 3), in voxels from the middle of the crop, along the axes as stored: with n
        voxels the centre of the first lies at ``-(n - 1) / 2``.
    """
    n = maps.shape[-1]
    probability = maps.flatten(-3).softmax(dim=-1).unflatten(-1, (n, n, n))
    position = torch.arange(n, dtype=maps.dtype, device=maps.device) - (n - 1) / 2
    along = [probability.sum(dim=axes) for axes in ((-2, -1), (-3, -1), (-3, -2))]
    return torch.stack([(p * position).sum(-1) for p in along], dim=-1)


def weighted_point(centroids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Combine the channels' centroids into one point.

    Baxter et al. 2021, equation 1, left: ``sum_i c_i exp(W_i) / sum_i exp(W_i)``.

    Parameters
    ----------
    centroids : torch.Tensor
        Shape (..., channels, 3).
    weights : torch.Tensor
        Shape (..., channels), unnormalised, logarithmic.

    Returns
    -------
    torch.Tensor
        Shape (..., 3).
    """
    return (centroids * weights.softmax(dim=-1).unsqueeze(-1)).sum(dim=-2)
