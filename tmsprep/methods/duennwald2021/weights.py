"""Localising and segmenting networks of the locus coeruleus in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from tmsprep.methods.duennwald2021.networks import (
    CoReUNet,
    CoReUNetSettings,
    PatchUNet,
    PatchUNetSettings,
)
from tmsprep.methods.duennwald2021.options import WEIGHTS_KIND
from tmsprep.networks.archive import read_archive, rebuilding, write_archive
from tmsprep.networks.unet import UNet

_Network = TypeVar('_Network', bound=UNet)


@dataclass(frozen=True)
class CoeruleusModel:
    """What finds and segments the locus coeruleus.

    Parameters
    ----------
    labels : tuple of str
        Target names in the order of the networks' maps: left, right.
    localizers : tuple of CoReUNet
        In evaluation mode.
    segmenters : tuple of PatchUNet
        In evaluation mode; may be empty, then points are all there is.
    card : Mapping
        What the file says about itself: name, data, recipe, seeds, licence.
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
    """Read all networks; see `read_archive` for what can go wrong."""
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
