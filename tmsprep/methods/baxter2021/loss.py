"""The loss that divides the error among resolutions."""

from __future__ import annotations

import torch


def level_weight(
    error: torch.Tensor, resolution: torch.Tensor, field_of_view: torch.Tensor, alpha: float = 8.0
) -> torch.Tensor:
    """Share of a level in the loss (Baxter et al. 2021, equation 2, right).

    ``w_l = sigmoid(-alpha (log2 e_l - log2 r_l - 1) / log2 f_l)``

    Parameters
    ----------
    error : torch.Tensor
        Distance in mm, any shape that broadcasts with the others.
    resolution : torch.Tensor
        Voxel size of the level in mm.
    field_of_view : torch.Tensor
        Width of the level's crop in voxels.
    alpha : float
        How close to binary the weight is; 8 in the paper.

    Returns
    -------
    torch.Tensor
        Between 0 and 1, cut off from the gradient.
    """
    floor = torch.finfo(error.dtype).tiny
    exponent = error.detach().clamp_min(floor).log2() - resolution.log2() - 1
    return torch.sigmoid(-alpha * exponent / field_of_view.log2())


def multi_resolution_loss(
    estimates: torch.Tensor,
    truth: torch.Tensor,
    resolution: torch.Tensor,
    field_of_view: torch.Tensor,
    alpha: float = 8.0,
) -> torch.Tensor:
    """Sum over levels of ``w_l e_l^2 / r_l^2`` (Baxter et al. 2021, equation 2, left).

    Missing reference points (NaN) do not enter; the rest are averaged over images and targets.

    Parameters
    ----------
    estimates : torch.Tensor
        Shape (images, levels, targets, 3), mm.
    truth : torch.Tensor
        Shape (images, targets, 3), mm, NaN where missing.
    resolution, field_of_view : torch.Tensor
        Shape (levels,): voxel size in mm and crop width in voxels.
    alpha : float
        See `level_weight`.

    Returns
    -------
    torch.Tensor
        Scalar; 0 if no point is known.
    """
    known = torch.isfinite(truth).all(dim=-1)
    offset = estimates - torch.nan_to_num(truth)[:, None]
    squared = offset.square().sum(dim=-1)
    shape = (1, -1, 1)
    r, f = resolution.view(shape), field_of_view.view(shape)
    weight = level_weight(squared.sqrt(), r, f, alpha) * known[:, None]
    return (weight * squared / r.square()).sum() / known.sum().clamp_min(1)
