"""Networks that find the locus coeruleus in two stages, and their weights file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tmsprep.methods.baxter2021.weights import Localizer, describe_localizer, load_localizer
from tmsprep.methods.duennwald2021.networks import (
    CoeruleusModel,
    describe_coeruleus,
    load_coeruleus,
)
from tmsprep.methods.duennwald2021.options import STAGES_KIND
from tmsprep.methods.duennwald2021.stage_settings import CROP, FINDER, LIMITS, check_stages
from tmsprep.networks.archive import open_archive, write_archive


@dataclass(frozen=True)
class TwoStages:
    """Networks of both stages.

    Parameters
    ----------
    labels : tuple of str
        Left target, right target.
    finder : Localizer
        The first stage: an ensemble that finds both targets, and landmarks around them, in any
        field of view; see `search.find_place`.
    crop : CoeruleusModel
        The second stage, which sees a crop around the left target, or that around the right one in
        a mirror: its `CoReUNet` have one target; its `PatchUNet` label 1 the target in the middle
        and 2 that of the other side, in patches of this `shape`. Its label is that of both sides,
        its `voxel_mm` the edge of the voxels that images are brought to.
    shape : tuple of int
        Voxels of a crop along R, A and S.
    card : Mapping
        Description of the weights: name, data, recipe, seeds, licence.
    limits : Mapping
        Limits of what a result may look like; see `LIMITS`.
    calibration : Mapping, optional
        How far points in images of other participants were off; see `evaluation.conformal`.
    """

    labels: tuple[str, ...]
    finder: Localizer
    crop: CoeruleusModel
    shape: tuple[int, int, int]
    card: Mapping[str, str]
    limits: Mapping[str, float] = field(default_factory=lambda: dict(LIMITS))
    calibration: Mapping[str, Any] | None = None

    def to(self, device: str) -> TwoStages:
        """Move all networks to a device, and return the model."""
        for network in (*self.finder.members, *self.crop.localizers, *self.crop.segmenters):
            network.to(device)
        return self


def save_stages(path: Path, model: TwoStages) -> Path:
    """Write all networks as one file, weights in half precision."""
    tensors: dict[str, torch.Tensor] = {}
    metadata: dict[str, str] = {}
    for prefix, (numbers, texts) in (
        (FINDER, describe_localizer(model.finder)),
        (CROP, describe_coeruleus(model.crop)),
    ):
        tensors |= {prefix + name: tensor for name, tensor in numbers.items()}
        metadata |= {prefix + name: text for name, text in texts.items()}
    metadata |= {
        'labels': json.dumps(model.labels),
        'shape': json.dumps(model.shape),
        'card': json.dumps(dict(model.card)),
        'limits': json.dumps(dict(model.limits)),
        'calibration': json.dumps(model.calibration),
    }
    return write_archive(path, STAGES_KIND, tensors, metadata)


def load_stages(path: Path, sha256: str | None = None) -> TwoStages:
    """Read all networks; see `open_archive` for the parameters.

    Raises
    ------
    WeightsError
        As `open_archive` and `check_stages`.
    """
    archive = open_archive(path, STAGES_KIND, sha256)
    content = check_stages(archive)
    return TwoStages(
        content.labels,
        load_localizer(archive.part(FINDER)),
        load_coeruleus(archive.part(CROP)),
        content.shape,
        content.card,
        content.limits,
        content.calibration,
    )
