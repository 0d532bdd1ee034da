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
from tmsprep.methods.duennwald2021.settings import (
    N_CLASSES,
    CoReUNetSettings,
    PatchUNetSettings,
    check_coeruleus,
)
from tmsprep.networks.archive import Archive, as_tensors, open_archive, write_archive
from tmsprep.networks.soft_argmax import expected_index, spatial_softmax
from tmsprep.networks.unet import UNet, initialise, pad_to_multiple

_Network = TypeVar('_Network', bound=UNet)

#: Initial probability of left, and of right, in an untrained network; not given in the paper. With
#: equal ones the rare labels are given up before they are learned (Lin et al. 2017, section 3.3).
_EXPECTED = 0.01


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
    return write_archive(path, WEIGHTS_KIND, *describe_coeruleus(model))


def describe_coeruleus(model: CoeruleusModel) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the parameters and the metadata of the file of a model, by name."""
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
    return tensors, metadata


def load_coeruleus(given: Path | Archive, sha256: str | None = None) -> CoeruleusModel:
    """Read all networks.

    Parameters
    ----------
    given : Path or Archive
        A weights file, or its content.
    sha256 : str, optional
        Checksum that the file must have.

    Raises
    ------
    WeightsError
        As `open_archive` and `check_coeruleus`.
    """
    archive = given if isinstance(given, Archive) else open_archive(given, WEIGHTS_KIND, sha256)
    content = check_coeruleus(archive)
    localizers = [
        _rebuild(CoReUNet(settings), archive, f'localizer.{i}.')
        for i, settings in enumerate(content.localizers)
    ]
    segmenters = [
        _rebuild(PatchUNet(settings), archive, f'segmenter.{i}.')
        for i, settings in enumerate(content.segmenters)
    ]
    return CoeruleusModel(
        content.labels, tuple(localizers), tuple(segmenters), content.card, content.voxel_mm
    )


def _rebuild(network: _Network, archive: Archive, prefix: str) -> _Network:
    network.load_state_dict(as_tensors(archive.arrays, prefix))
    return network.eval()
