"""Ensembles of localizers in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.options import WEIGHTS_KIND
from tmsprep.methods.baxter2021.settings import check_localizer
from tmsprep.networks.archive import Archive, as_tensors, open_archive, write_archive


@dataclass(frozen=True)
class Localizer:
    """An ensemble of networks that localise the same targets.

    Parameters
    ----------
    labels : tuple of str
        Target names in the order of the networks' outputs.
    members : tuple of MultiResolutionNet
        In evaluation mode.
    card : Mapping
        What the file says about itself: name, data, recipe, seed, licence.
    mirror : tuple of int or None, optional
        For each target the number of its mirror image, None if it has none; if not given, images
        are not looked at in a mirror.
    shape : torch.Tensor, optional
        Shape (targets, 3), mm: mean configuration of the targets in the conformed volume; if not
        given, images are looked at once. See `tmsprep.methods.baxter2021.locate`.
    calibration : Mapping, optional
        How far unseen people's points were off; see `tmsprep.evaluation.conformal`.
    settle_mm : float
        How far points are off along each axis, mm, if they are to be moved to the middle of the
        grey matter of their gyrus, see `tmsprep.gyri.settle`: the reference must lie there. 0 for
        points that stay as they are.
    """

    labels: tuple[str, ...]
    members: tuple[MultiResolutionNet, ...]
    card: Mapping[str, str]
    mirror: tuple[int | None, ...] | None = None
    shape: torch.Tensor | None = None
    calibration: Mapping[str, Any] | None = None
    settle_mm: float = 0.0


def save_localizer(path: Path, localizer: Localizer) -> Path:
    """Write an ensemble as one file, weights in half precision."""
    return write_archive(path, WEIGHTS_KIND, *describe_localizer(localizer))


def describe_localizer(localizer: Localizer) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the parameters and the metadata of the file of an ensemble, by name."""
    tensors = {
        f'{i}.{name}': tensor
        for i, member in enumerate(localizer.members)
        for name, tensor in member.state_dict().items()
    }
    metadata = {
        'labels': json.dumps(localizer.labels),
        'settings': json.dumps([m.settings.as_dict() for m in localizer.members]),
        'card': json.dumps(dict(localizer.card)),
        'mirror': json.dumps(localizer.mirror),
        'shape': json.dumps(None if localizer.shape is None else localizer.shape.tolist()),
        'calibration': json.dumps(localizer.calibration),
        'settle_mm': json.dumps(localizer.settle_mm),
    }
    return tensors, metadata


def load_localizer(given: Path | Archive, sha256: str | None = None) -> Localizer:
    """Read an ensemble.

    Parameters
    ----------
    given : Path or Archive
        A weights file, or its content.
    sha256 : str, optional
        Checksum that the file must have.

    Raises
    ------
    WeightsError
        As `open_archive` and `check_localizer`.
    """
    archive = given if isinstance(given, Archive) else open_archive(given, WEIGHTS_KIND, sha256)
    content = check_localizer(archive)
    members = []
    for i, settings in enumerate(content.settings):
        network = MultiResolutionNet(settings)
        network.load_state_dict(as_tensors(archive.arrays, f'{i}.'))
        members.append(network.eval())
    return Localizer(
        content.labels,
        tuple(members),
        content.card,
        content.mirror,
        None if content.shape is None else torch.tensor(content.shape),
        content.calibration,
        content.settle_mm,
    )
