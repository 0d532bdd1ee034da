"""From maps to points: spatial softmax and expected positions."""

from __future__ import annotations

import torch


def spatial_softmax(maps: torch.Tensor) -> torch.Tensor:
    """Heatmap of each map read as an unnormalised log-probability.

    Parameters
    ----------
    maps : torch.Tensor
        Shape (..., n, m, k).

    Returns
    -------
    torch.Tensor
        Shape of `maps`; each map is at least 0 and sums to 1.
    """
    return maps.flatten(-3).softmax(dim=-1).unflatten(-1, maps.shape[-3:])


def expected_index(heatmaps: torch.Tensor, *, centred: bool = False) -> torch.Tensor:
    """Mean voxel index under each heatmap: with `spatial_softmax`, a differentiable readout.

    The differentiable spatial to numerical transform (Nibali et al. 2018, sections 3.1, 3.2),
    which Duennwald et al. 2021, section 2.2, use in three dimensions. Nibali et al. scale indices
    to the range -1 to 1; they stay indices here, so that volumes of any shape share one unit.

    Parameters
    ----------
    heatmaps : torch.Tensor
        Shape (..., n, m, k), summing to 1 over the last three axes.
    centred : bool
        Count from the middle of the map rather than from the centre of the first voxel.

    Returns
    -------
    torch.Tensor
        Shape (..., 3), in voxels along the axes as stored.

    Examples
    --------
    >>> heatmap = torch.zeros(3, 2, 5)
    >>> heatmap[2, 0, 4] = 1
    >>> expected_index(heatmap), expected_index(heatmap, centred=True)
    (tensor([2., 0., 4.]), tensor([ 1.0000, -0.5000,  2.0000]))
    """
    along = [heatmaps.sum(dim=axes) for axes in ((-2, -1), (-3, -1), (-3, -2))]
    return torch.stack([(p * _indices(p, centred)).sum(dim=-1) for p in along], dim=-1)


def _indices(like: torch.Tensor, centred: bool) -> torch.Tensor:
    n = like.shape[-1]
    indices = torch.arange(n, dtype=like.dtype, device=like.device)
    return indices - (n - 1) / 2 if centred else indices


def map_centroids(maps: torch.Tensor) -> torch.Tensor:
    """Centroid of each map, in voxels from the middle of the crop.

    Baxter et al. 2021, equation 1, right: ``c_i = sum_x x exp(M_i(x)) / sum_x exp(M_i(x))``.

    Parameters
    ----------
    maps : torch.Tensor
        Shape (..., n, m, k): unnormalised log-probabilities.

    Returns
    -------
    torch.Tensor
        Shape (..., 3); with n voxels the centre of the first lies at ``-(n - 1) / 2``.
    """
    return expected_index(spatial_softmax(maps), centred=True)


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
