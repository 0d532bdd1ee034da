"""From a network and one image to the points, in two looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tmsprep.imaging.similarity import similarity
from tmsprep.methods.baxter2021.network import MultiResolutionNet, Sampler

#: Coarse levels that suffice to see how the head lies (to 4 mm; on 2 mm images as good as all).
_LEVELS_TO_ALIGN = 4


def locate(
    network: MultiResolutionNet,
    sampler: Sampler,
    shape: torch.Tensor | None = None,
    mirror: Sequence[int | None] | None = None,
) -> torch.Tensor:
    """Find all targets in one image.

    The paper looks once. Given the mean `shape`, this looks twice: the coarse levels find
    how the head lies, and the fine ones see it turned, shifted and scaled to where most training
    heads lay. Given `mirror` too, the second look is also taken in a mirror, and the two averaged.

    Parameters
    ----------
    network : MultiResolutionNet
        In evaluation mode.
    sampler : Sampler
        The image.
    shape : torch.Tensor, optional
        Shape (targets, 3), mm: mean configuration, see `mean_shape` in `.training`.
    mirror : sequence of int or None, optional
        For each target the number of its mirror image, None if it has none.

    Returns
    -------
    torch.Tensor
        Shape (targets, 3), mm from the corner of the conformed volume.
    """
    readout = network.settings.readout
    levels = len(network.settings.crops)
    if shape is None or levels <= _LEVELS_TO_ALIGN:
        return network([sampler])[0, -readout:].mean(dim=0)
    coarse = locate_coarsely(network, sampler)
    matrix, shift = _align(shape.to(coarse), coarse)
    view = moved(sampler, matrix, shift)
    start = (coarse - shift) @ torch.linalg.inv(matrix).T
    fine = slice(min(_LEVELS_TO_ALIGN, levels - readout), None)
    if mirror is None or all(partner is None for partner in mirror):
        found = network([view], start=start[None], levels=fine)[0, -readout:].mean(dim=0)
        return found @ matrix.T + shift
    return _both_ways(network, view, start, fine, mirror) @ matrix.T + shift


def locate_coarsely(network: MultiResolutionNet, sampler: Sampler) -> torch.Tensor:
    """Find all targets at the coarse levels alone: enough to see how the head lies.

    Parameters and result are those of `locate`, which starts with it.
    """
    return network([sampler], levels=slice(_LEVELS_TO_ALIGN))[0, -1]


def _both_ways(
    network: MultiResolutionNet,
    sampler: Sampler,
    start: torch.Tensor,
    levels: slice,
    mirror: Sequence[int | None],
) -> torch.Tensor:
    """Average of what is found in an image and in its mirror image.

    The mirror is the head's own mid-sagittal plane. A target without a partner is found in the
    image alone; in the mirror it is looked for where it lies in the image, for the shape model's
    sake.
    """
    paired = torch.tensor([m is not None for m in mirror])
    partner = torch.tensor([i if m is None else m for i, m in enumerate(mirror)])
    plane = start[paired, 0].mean()
    reflected = torch.where(paired[:, None], _reflect(start, plane)[partner], start)
    views = [sampler, lambda level, positions: sampler(level, _reflect(positions, plane))]
    found = network(views, start=torch.stack([start, reflected]), levels=levels)
    direct, mirrored = found[:, -network.settings.readout :].mean(dim=1)
    mirrored = torch.where(paired[:, None], _reflect(mirrored, plane)[partner], direct)
    return (direct + mirrored) / 2


def _align(source: torch.Tensor, destination: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrix (3, 3) and shift (3,) of the `similarity` between points, as tensors."""
    points = (tensor.double().cpu().numpy() for tensor in (source, destination))
    matrix, shift = similarity(*points)
    return torch.from_numpy(matrix).to(destination), torch.from_numpy(shift).to(destination)


def moved(sampler: Sampler, matrix: torch.Tensor, shift: torch.Tensor) -> Sampler:
    """Sample where ``positions @ matrix.T + shift`` lies, mm from the corner of the volume."""
    return lambda level, positions: sampler(level, positions @ matrix.T + shift)


def _reflect(positions: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    """Mirror positions in the plane ``x = plane``."""
    return torch.cat([2 * plane - positions[..., :1], positions[..., 1:]], dim=-1)
