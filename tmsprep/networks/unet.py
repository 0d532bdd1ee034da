"""A small 3D U-Net that separates brain from head."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class UNetSettings:
    """Shape of a `BrainUNet`; all numbers are our choice.

    Parameters
    ----------
    features : tuple of int
        Feature maps per level, finest first; its length is the depth.
    block : int
        Voxels per edge that the first layer folds into channels and the last unfolds: with 2 the
        network computes at 4 mm what it reads and writes at 2 mm.
    """

    features: tuple[int, ...] = (16, 24, 32, 48)
    block: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, 'features', tuple(self.features))

    def as_dict(self) -> dict:
        """Return a JSON-ready dictionary; ``UNetSettings(**d)`` reads it back."""
        return {**asdict(self), 'features': list(self.features)}


class BrainUNet(nn.Module):
    """From intensities to the log-odds that a voxel is brain.

    The image is folded (space to depth) before the first and unfolded after the last layer, which
    costs an eighth of a U-Net at full resolution and keeps its output resolution.
    """

    def __init__(self, settings: UNetSettings):
        super().__init__()
        self.settings = settings
        widths, folded = settings.features, settings.block**3
        self.down = nn.ModuleList(
            _block(before, after)
            for before, after in zip((folded, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            _block(coarse + fine, fine)
            for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv3d(widths[0], folded, 1)
        self.pool = nn.AvgPool3d(2)
        self.enlarge = nn.Upsample(scale_factor=2, mode='nearest')

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Log-odds of brain.

        Parameters
        ----------
        volume : torch.Tensor
            Shape (people, n, m, k), each a multiple of ``block * 2**(depth - 1)``; any intensity
            scale (each volume is brought to mean 0 and sd 1).

        Returns
        -------
        torch.Tensor
            Shape of the input.
        """
        axes = (-3, -2, -1)
        volume = volume - volume.mean(dim=axes, keepdim=True)
        volume = volume / (volume.square().mean(dim=axes, keepdim=True).sqrt() + 1e-6)
        features = fold(volume, self.settings.block)
        skipped = []
        for i, block in enumerate(self.down):
            features = block(features if i == 0 else self.pool(features))
            skipped.append(features)
        skipped.pop()
        for block in self.up:
            features = block(torch.cat([self.enlarge(features), skipped.pop()], dim=1))
        return unfold(self.head(features), self.settings.block)


def fold(volume: torch.Tensor, block: int) -> torch.Tensor:
    """Space to depth: (people, n, m, k) to (people, block**3, n/block, m/block, k/block)."""
    people, n, m, k = volume.shape
    split = volume.reshape(people, n // block, block, m // block, block, k // block, block)
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
