"""Networks of Duennwald et al.: the one that localises, and the one that segments a patch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tmsprep.networks.soft_argmax import expected_index, spatial_softmax
from tmsprep.networks.unet import UNet, UNetSettings, initialise, pad_to_multiple

#: Classes of the segmentation: background, left, right, as in the masks.
N_CLASSES = 3

#: Initial probability of left, and of right, in an untrained network; not given in the paper. With
#: equal ones the rare labels are given up before they are learned (Lin et al. 2017, section 3.3).
_EXPECTED = 0.01


@dataclass(frozen=True)
class CoReUNetSettings(UNetSettings):
    """Shape of a `CoReUNet`; the paper does not state its numbers legibly.

    Parameters
    ----------
    features : tuple of int
        Feature maps per level, finest first; its length is the depth.
    block : int
        Voxels per edge that the first layer folds into channels: with 1 the network computes at
        the resolution of the image, as in the paper; with 2 it costs an eighth.
    targets : int
        Number of points, one map each.
    sharpness : float
        Factor of the maps before the softmax; the initial weights of the last layer are divided
        by it. The first heatmaps are the same, but an optimiser that moves all weights by similar
        amounts, as Adam does, concentrates them this many times faster. 1 in the paper.
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
        """Compute heatmaps, and points as their means.

        Parameters
        ----------
        volume : torch.Tensor
            Shape (batch, n, m, k), of any size; intensities normalised so that the 5th and 95th
            percentiles are 0 and 1.

        Returns
        -------
        points : torch.Tensor
            Shape (batch, targets, 3), voxel indices.
        heatmaps : torch.Tensor
            Shape (batch, targets, n, m, k), each summing to 1.
        """
        n, m, k = volume.shape[1:]
        maps = self.settings.sharpness * self.maps(pad_to_multiple(volume, self.multiple))
        # No probability may lie in the padding.
        heatmaps = spatial_softmax(maps[..., :n, :m, :k])
        return expected_index(heatmaps), heatmaps


@dataclass(frozen=True)
class PatchUNetSettings(UNetSettings):
    """Shape of a `PatchUNet`; its numbers are not given in the paper.

    Parameters
    ----------
    features : tuple of int
        Feature maps per level, finest first; its length is the depth.
    block : int
        Voxels per edge that the first layer folds into channels.
    patch : tuple of int
        Voxels along the edges of the patches. With voxels of 0.75 mm the default is 30 mm: the 10
        to 15 mm of the locus coeruleus, both sides, and a margin for the error of localisation.
    """

    features: tuple[int, ...] = (16, 32, 64)
    block: int = 1
    patch: tuple[int, int, int] = (40, 40, 40)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, 'patch', tuple(self.patch))

    def as_dict(self) -> dict:
        """Return a JSON-ready dictionary; ``PatchUNetSettings(**d)`` reads it back."""
        return {**super().as_dict(), 'patch': list(self.patch)}


class PatchUNet(UNet):
    """A 3D U-Net for patches, after that of Duennwald et al. 2020."""

    settings: PatchUNetSettings

    def __init__(self, settings: PatchUNetSettings):
        super().__init__(settings, N_CLASSES)
        initialise(self)
        with torch.no_grad():
            assert self.head.bias is not None
            self.head.bias.view(N_CLASSES, -1)[0] += math.log((1 - 2 * _EXPECTED) / _EXPECTED)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Unnormalised log-probabilities of background, left and right.

        Parameters
        ----------
        patches : torch.Tensor
            Shape (batch, n, m, k), of any size; intensities normalised over the whole image, not
            over the patch.

        Returns
        -------
        torch.Tensor
            Shape (batch, 3, n, m, k); a softmax over axis 1 gives probabilities.
        """
        n, m, k = patches.shape[1:]
        return self.maps(pad_to_multiple(patches, self.multiple))[..., :n, :m, :k]
