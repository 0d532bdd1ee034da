"""The multi-resolution network of Baxter et al. 2021."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.networks.crops import crop_positions, sample, snap_to_voxels
from tmsprep.networks.soft_argmax import map_centroids, weighted_point

Sampler = Callable[[int, torch.Tensor], torch.Tensor]
"""Intensities of one image: (pyramid level, positions in mm) to values, see `pyramid_sampler`."""


class SubNetwork(nn.Module):
    """One level: from a crop around each target to the target's offset in voxels.

    Four convolutions (5, 3, 3 and 1 voxels wide; ours) give one set of maps per target; two linear
    layers on the flattened crop weigh their centroids (equation 1). The first three convolutions
    are shared by the targets, which scale and shift the features instead of having their own: an
    economy of ours that lets eleven targets learn from each other.
    """

    def __init__(self, settings: NetworkSettings, size: int):
        super().__init__()
        targets, kernels, channels = settings.targets, settings.kernels, settings.channels
        self.convolutions = nn.ModuleList(
            [
                nn.Conv3d(1, kernels, 5, padding=2),
                nn.Conv3d(kernels, kernels, 3, padding=1),
                nn.Conv3d(kernels, kernels, 3, padding=1),
            ]
        )
        self.scale = nn.Parameter(torch.zeros(3, targets, kernels))
        self.shift = nn.Parameter(0.1 * torch.randn(3, targets, kernels))
        self.maps = nn.Parameter(torch.randn(targets, channels, kernels) * kernels**-0.5)
        self.flattened = nn.Linear(size**3, settings.hidden)
        self.weights = nn.Parameter(
            torch.randn(targets, channels, settings.hidden) * settings.hidden**-0.5
        )
        self.bias = nn.Parameter(torch.zeros(targets, channels))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Offsets from the crops' centres in voxels.

        Parameters
        ----------
        crops : torch.Tensor
            Shape (images, targets, n, n, n).

        Returns
        -------
        torch.Tensor
            Shape (images, targets, 3).
        """
        images, targets, n = crops.shape[:3]
        crops = _standardise(crops)
        features = crops.reshape(images * targets, 1, n, n, n)
        features = features.contiguous(memory_format=torch.channels_last_3d)
        for convolution, scale, shift in zip(
            self.convolutions, self.scale, self.shift, strict=True
        ):
            features = convolution(features)
            scale = (1 + scale).to(features.dtype).repeat(images, 1)[..., None, None, None]
            shift = shift.to(features.dtype).repeat(images, 1)[..., None, None, None]
            features = torch.addcmul(shift, features, scale).relu_()
        # A convolution one voxel wide is a matrix per voxel; each target has its own.
        features = features.permute(0, 2, 3, 4, 1).reshape(images, targets, n**3, -1)
        maps = features @ self.maps.mT.to(features.dtype)
        maps = maps.float().mT.reshape(images, targets, -1, n, n, n)
        hidden = torch.relu(self.flattened(crops.flatten(2)))
        weights = torch.einsum('pth,tch->ptc', hidden.float(), self.weights) + self.bias
        return weighted_point(map_centroids(maps), weights)


class ResidualLayers(nn.Module):
    """Update all points given each other: a learned shape model.

    A layer is ``x + W2 relu(W1 x + b1) + b2`` on the flattened points. They are taken relative to
    their own centre (ours), so that the layers know the configuration but not where the head lies.
    """

    scale = 50.0
    """mm that become 1 (ours: about the spread of the targets)."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        size, width = 3 * settings.targets, settings.residual_width
        layers = [
            nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, size))
            for _ in range(settings.residual_layers)
        ]
        self.layers = nn.ModuleList(layers)
        for layer in layers:
            # Start from the identity, so that the maps learn first.
            for parameter in layer[2].parameters():
                nn.init.zeros_(parameter)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Points in mm, shape (images, targets, 3), to points of the same shape."""
        centre = points.mean(dim=1, keepdim=True)
        x = ((points - centre) / self.scale).flatten(1)
        for layer in self.layers:
            x = x + layer(x)
        return x.view_as(points) * self.scale + centre


class MultiResolutionNet(nn.Module):
    """Localise every target from coarse to fine (Baxter et al. 2021, figure 1).

    Each level looks at a crop around the estimate of the level before, which is not
    differentiable: no gradient passes from a fine level to a coarse one.
    """

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.settings = settings
        self.levels = nn.ModuleList(SubNetwork(settings, size) for size in settings.crops)
        copies = {'shared': 1, 'separate': len(settings.crops), 'none': 0}[settings.residual]
        self.residuals = nn.ModuleList(ResidualLayers(settings) for _ in range(copies))

    def forward(
        self,
        samplers: Sequence[Sampler],
        jitter: Sequence[torch.Tensor] | None = None,
        start: torch.Tensor | None = None,
        levels: slice = slice(None),
    ) -> torch.Tensor:
        """Estimates of every level.

        Parameters
        ----------
        samplers : sequence of Sampler
            One per image.
        jitter : sequence of torch.Tensor, optional
            Per level, coarsest first, shape (images, targets, 3), in mm: moves the crops at
            training time, so that fine levels learn to correct errors of coarse ones.
        start : torch.Tensor, optional
            Shape (images, targets, 3), mm: where to look first instead of the middle.
        levels : slice
            Which levels to run, counted from the coarsest.

        Returns
        -------
        torch.Tensor
            Shape (images, levels, targets, 3), coarsest level first, mm from the corner of the
            conformed volume.
        """
        settings = self.settings
        device = next(self.parameters()).device
        shape = (len(samplers), settings.targets, 3)
        estimate = (
            torch.full(shape, settings.extent / 2, device=device) if start is None else start
        )
        estimates = []
        for i in range(len(settings.crops))[levels]:
            size, resolution = settings.crops[i], settings.resolutions[i]
            centre = estimate.detach() if jitter is None else estimate.detach() + jitter[i]
            centre = snap_to_voxels(centre, resolution, size)
            positions = crop_positions(centre, resolution, size)
            level = len(settings.crops) - 1 - i
            crops = [s(level, p) for s, p in zip(samplers, positions, strict=True)]
            estimate = centre + resolution * self.levels[i](torch.stack(crops))
            if self.residuals:
                estimate = self.residuals[i % len(self.residuals)](estimate)
            estimates.append(estimate)
        return torch.stack(estimates, dim=1)


def pyramid_sampler(pyramid: Sequence[torch.Tensor], extent: float) -> Sampler:
    """Sampler of an image as it is.

    Parameters
    ----------
    pyramid : sequence of torch.Tensor
        Finest level first, each of shape (n, n, n).
    extent : float
        Edge of the volume in mm.
    """

    def sampler(level: int, positions: torch.Tensor) -> torch.Tensor:
        return sample(pyramid[level], positions, extent)

    return sampler


def empty_outside(sampler: Sampler) -> Sampler:
    """Clip what is darker than the window's lower end, as in training."""
    return lambda level, positions: sampler(level, positions).clamp_min(0)


def _standardise(crops: torch.Tensor) -> torch.Tensor:
    """Each crop to mean 0 and sd 1, so that scanner gain and offset do not matter (ours)."""
    axes = (-3, -2, -1)
    centred = crops - crops.mean(dim=axes, keepdim=True)
    return centred / (centred.square().mean(dim=axes, keepdim=True).sqrt() + 1e-3)
