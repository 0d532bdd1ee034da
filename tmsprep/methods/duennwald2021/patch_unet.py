"""Segmentation of the left and right locus coeruleus in a patch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tmsprep.networks.unet import UNet, UNetSettings, initialise, pad_to_multiple

#: Background, left, right: the labels of the masks.
N_CLASSES = 3

#: Probability of left, and of right, that an untrained network starts from. With even ones the
#: rare labels are given up before they are learned (Lin et al. 2017, section 3.3).
_EXPECTED = 0.01


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
        Voxels along the edges of the patches that it is trained on and applied to. With 0.75 mm
        the default is 30 mm: the 10 to 15 mm of the locus coeruleus, both sides, and room for an
        error of localisation.
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
    """A 3D U-Net for patches, after the one that Duennwald et al. 2020 segment with."""

    settings: PatchUNetSettings

    def __init__(self, settings: PatchUNetSettings):
        super().__init__(settings, N_CLASSES)
        initialise(self)
        with torch.no_grad():
            assert self.head.bias is not None
            background = self.head.bias.view(N_CLASSES, -1)[0]
            background += math.log((1 - 2 * _EXPECTED) / _EXPECTED)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Unnormalised log-probabilities of background, left and right.

        Parameters
        ----------
        patches : torch.Tensor
            Shape (people, n, m, k), any numbers; intensities normalised over the whole image, not
            over the patch.

        Returns
        -------
        torch.Tensor
            Shape (people, 3, n, m, k); a softmax over axis 1 gives probabilities.
        """
        n, m, k = patches.shape[1:]
        return self.maps(pad_to_multiple(patches, self.multiple))[..., :n, :m, :k]
