"""The networks that localise and segment the locus coeruleus, and their weights file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from tmsprep.methods.duennwald2021.options import WEIGHTS_KIND
from tmsprep.networks.archive import read_archive, rebuilding, write_archive
from tmsprep.networks.soft_argmax import expected_index, spatial_softmax
from tmsprep.networks.unet import UNet, UNetSettings, initialise, pad_to_multiple

_Network = TypeVar('_Network', bound=UNet)

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


@dataclass(frozen=True)
class CoeruleusModel:
    """Networks that localise and segment the locus coeruleus.

    Parameters
    ----------
    labels : tuple of str
        Names of the targets in the order of the networks' maps: left, right.
    localizers : tuple of CoReUNet
        Ensemble of localising networks, in evaluation mode.
    segmenters : tuple of PatchUNet
        In evaluation mode; empty if there are none.
    card : Mapping
        Description of the weights: name, data, recipe, seeds, licence.
    voxel_mm : float
        Edge of the isotropic voxels that the networks were trained on.
    """

    labels: tuple[str, ...]
    localizers: tuple[CoReUNet, ...]
    segmenters: tuple[PatchUNet, ...]
    card: Mapping[str, str]
    voxel_mm: float = 0.75


def save_coeruleus(path: Path, model: CoeruleusModel) -> Path:
    """Write all networks as one file, weights in half precision."""
    groups = {'localizer': model.localizers, 'segmenter': model.segmenters}
    tensors = {
        f'{group}.{i}.{name}': tensor
        for group, networks in groups.items()
        for i, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
    }
    metadata = {
        'labels': json.dumps(model.labels),
        'card': json.dumps(dict(model.card)),
        'voxel_mm': json.dumps(model.voxel_mm),
        **{
            group: json.dumps([network.settings.as_dict() for network in networks])
            for group, networks in groups.items()
        },
    }
    return write_archive(path, WEIGHTS_KIND, tensors, metadata)


def load_coeruleus(path: Path) -> CoeruleusModel:
    """Read all networks; raises as `read_archive` does."""
    tensors, metadata = read_archive(path, WEIGHTS_KIND)
    with rebuilding(path):
        localizers = tuple(
            _rebuild(CoReUNet(CoReUNetSettings(**settings)), tensors, f'localizer.{i}.')
            for i, settings in enumerate(json.loads(metadata['localizer']))
        )
        segmenters = tuple(
            _rebuild(PatchUNet(PatchUNetSettings(**settings)), tensors, f'segmenter.{i}.')
            for i, settings in enumerate(json.loads(metadata['segmenter']))
        )
        labels, card, voxel_mm = (
            json.loads(metadata[key]) for key in ('labels', 'card', 'voxel_mm')
        )
        return CoeruleusModel(tuple(labels), localizers, segmenters, card, float(voxel_mm))


def _rebuild(network: _Network, tensors: Mapping[str, torch.Tensor], prefix: str) -> _Network:
    state = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
    network.load_state_dict(state)
    return network.eval()
