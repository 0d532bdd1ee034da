"""CoRe-Unet: coordinates of the left and right locus coeruleus from a whole volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tmsprep.networks.soft_argmax import expected_index, spatial_softmax
from tmsprep.networks.unet import UNet, UNetSettings, initialise, pad_to_multiple


@dataclass(frozen=True)
class CoReUNetSettings(UNetSettings):
    """Shape of a `CoReUNet`; all numbers are our choice, as the paper's are not to be read.

    Parameters
    ----------
    features : tuple of int
        Feature maps per level, finest first; its length is the depth.
    block : int
        Voxels per edge that the first layer folds into channels: with 1 the network computes at
        the resolution of the image, as in the paper; with 2 it costs an eighth.
    targets : int
        Points to find, one map each.
    sharpness : float
        What the maps are multiplied with before the softmax, while the last layer starts smaller
        by as much. The first heatmaps are the same, but an optimiser that moves all weights by
        like amounts, as Adam does, gathers them this many times faster. 1 is the paper's.
    """

    features: tuple[int, ...] = (16, 32, 64, 128)
    block: int = 1
    targets: int = 2
    sharpness: float = 1.0


class CoReUNet(UNet):
    """A 3D U-Net and a differentiable spatial to numerical transform (Duennwald et al. 2021)."""

    settings: CoReUNetSettings

    def __init__(self, settings: CoReUNetSettings):
        super().__init__(settings, settings.targets)
        initialise(self)
        with torch.no_grad():
            self.head.weight /= settings.sharpness

    def forward(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and the heatmaps that they are the means of.

        Parameters
        ----------
        volume : torch.Tensor
            Shape (people, n, m, k), any numbers; intensities normalised so that the 5th and 95th
            percentiles are 0 and 1.

        Returns
        -------
        points : torch.Tensor
            Shape (people, targets, 3), voxel indices.
        heatmaps : torch.Tensor
            Shape (people, targets, n, m, k), each summing to 1.
        """
        n, m, k = volume.shape[1:]
        maps = self.settings.sharpness * self.maps(pad_to_multiple(volume, self.multiple))
        # No probability may lie in the padding.
        heatmaps = spatial_softmax(maps[..., :n, :m, :k])
        return expected_index(heatmaps), heatmaps
