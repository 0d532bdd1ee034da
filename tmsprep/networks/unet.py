"""Small 3D U-Nets, and one that separates brain from head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tmsprep.networks.settings import UNetSettings


class UNet(nn.Module):
    """A 3D U-Net (Çiçek et al. 2016) from one image to several maps of the same shape.

    The image is folded (space to depth) before the first and unfolded after the last layer; with
    blocks of 2 this costs an eighth of a U-Net at full resolution and keeps its output resolution.
    Convolutions keep the size, groups are normalised instead of batches, and features are enlarged
    by repetition, for whole images of any shape, one at a time.

    Parameters
    ----------
    settings : UNetSettings
        Shape of the network; subclasses of the settings may add fields.
    outputs : int
        Number of output maps.
    """

    def __init__(self, settings: UNetSettings, outputs: int = 1):
        super().__init__()
        self.settings, self.outputs = settings, outputs
        widths, folded = settings.features, settings.block**3
        self.down = nn.ModuleList(
            _block(before, after)
            for before, after in zip((folded, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            _block(coarse + fine, fine)
            for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv3d(widths[0], outputs * folded, 1)
        self.pool = nn.AvgPool3d(2)
        self.enlarge = nn.Upsample(scale_factor=2, mode='nearest')

    @property
    def multiple(self) -> int:
        """Every axis of the input of `maps` has a multiple of this number of voxels."""
        return self.settings.block * 2 ** (len(self.settings.features) - 1)

    def maps(self, volume: torch.Tensor) -> torch.Tensor:
        """Compute all output maps.

        Parameters
        ----------
        volume : torch.Tensor
            Shape (batch, n, m, k), each a multiple of `multiple`.

        Returns
        -------
        torch.Tensor
            Shape (batch, outputs, n, m, k).
        """
        block = self.settings.block
        features = fold(volume, block)
        skipped = []
        for i, layers in enumerate(self.down):
            features = layers(features if i == 0 else self.pool(features))
            skipped.append(features)
        skipped.pop()
        for layers in self.up:
            features = layers(torch.cat([self.enlarge(features), skipped.pop()], dim=1))
        channels = self.head(features).unflatten(1, (self.outputs, block**3))
        return unfold(channels.flatten(0, 1), block).unflatten(0, (-1, self.outputs))


class BrainUNet(UNet):
    """U-Net from intensities to the log-odds that a voxel is brain."""

    def __init__(self, settings: UNetSettings):
        super().__init__(settings)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Compute the log-odds of brain.

        Parameters
        ----------
        volume : torch.Tensor
            Shape (batch, n, m, k), each a multiple of ``block * 2**(depth - 1)``; any intensity
            scale (each volume is scaled to mean 0 and sd 1).

        Returns
        -------
        torch.Tensor
            Shape of the input.
        """
        axes = (-3, -2, -1)
        volume = volume - volume.mean(dim=axes, keepdim=True)
        volume = volume / (volume.square().mean(dim=axes, keepdim=True).sqrt() + 1e-6)
        return self.maps(volume)[:, 0]


def pad_to_multiple(volume: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad every axis at its end by repeating the last voxel; indices stay valid.

    Parameters
    ----------
    volume : torch.Tensor
        Shape (batch, n, m, k).
    multiple : int
        Number of which every axis of the result is a multiple.
    """
    missing = [-size % multiple for size in volume.shape[1:]]
    if not any(missing):
        return volume
    ends = [amount for axis in reversed(missing) for amount in (0, axis)]
    return F.pad(volume[:, None], ends, mode='replicate')[:, 0]


def initialise(network: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. 2015 do for ReLU; biases become 0.

    PyTorch's defaults are smaller, so that hundreds of steps pass before they have grown.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fold(volume: torch.Tensor, block: int) -> torch.Tensor:
    """Space to depth: (batch, n, m, k) to (batch, block**3, n/block, m/block, k/block)."""
    batch, n, m, k = volume.shape
    split = volume.reshape(batch, n // block, block, m // block, block, k // block, block)
    return split.permute(0, 2, 4, 6, 1, 3, 5).flatten(1, 3)


def unfold(channels: torch.Tensor, block: int) -> torch.Tensor:
    """Depth to space, the inverse of `fold`."""
    split = channels.unflatten(1, (block, block, block)).permute(0, 4, 1, 5, 2, 6, 3)
    return split.flatten(5, 6).flatten(3, 4).flatten(1, 2)


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(before, after, 3, padding=1),
        nn.GroupNorm(after // 8, after),
        nn.ReLU(inplace=True),
        nn.Conv3d(after, after, 3, padding=1),
        nn.GroupNorm(after // 8, after),
        nn.ReLU(inplace=True),
    )
