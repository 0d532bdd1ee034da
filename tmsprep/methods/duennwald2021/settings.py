"""Shapes of the networks of the locus coeruleus, and the check of their weights; without Torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tmsprep.networks.archive import Archive, WeightsError
from tmsprep.networks.settings import (
    UNetSettings,
    check_labels,
    check_positive,
    check_texts,
    check_whole,
    settings_from,
)

#: Classes of the segmentation: background, left, right, as in the masks.
N_CLASSES = 3

#: Far above those of any recipe, and few enough that a header cannot ask for more memory than a
#: machine has.
_MAX_TARGETS, _MAX_PATCH, _MAX_MEMBERS = 4096, 256, 100


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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole('targets', self.targets, 1, _MAX_TARGETS)
        check_positive('sharpness', self.sharpness)


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
        check_whole('axes of patch', len(self.patch), 3, 3)
        for size in self.patch:
            check_whole('patch', size, 1, _MAX_PATCH)

    def as_dict(self) -> dict:
        """Return a JSON-ready dictionary; ``PatchUNetSettings(**d)`` reads it back."""
        return {**super().as_dict(), 'patch': list(self.patch)}


@dataclass(frozen=True)
class CoeruleusContent:
    """What a weights file says of its networks, checked; see `networks.CoeruleusModel`.

    Parameters
    ----------
    labels : tuple of str
        Targets.
    localizers : tuple of CoReUNetSettings
        One per localising network; at least one.
    segmenters : tuple of PatchUNetSettings
        One per segmenting network.
    card : dict
        Texts.
    voxel_mm : float
        Edge of the isotropic voxels.
    """

    labels: tuple[str, ...]
    localizers: tuple[CoReUNetSettings, ...]
    segmenters: tuple[PatchUNetSettings, ...]
    card: dict[str, str]
    voxel_mm: float


def check_coeruleus(archive: Archive) -> CoeruleusContent:
    """Read what a weights file says of its networks, and refuse it if its parameters are others.

    Raises
    ------
    WeightsError
        With the file.
    """
    labels, voxel_mm = check_labels(archive), archive.value('voxel_mm')
    localizers = _members(archive, 'localizer', CoReUNetSettings)
    segmenters = _members(archive, 'segmenter', PatchUNetSettings)
    try:
        check_positive('voxel_mm', voxel_mm)
        if any(settings.targets != len(labels) for settings in localizers):
            raise ValueError(f'its networks localise more or fewer than {len(labels)} targets')
    except ValueError as error:
        raise WeightsError(f'{archive.path} is damaged; get it again: {error}') from error
    expected: dict[str, tuple[int, ...]] = {}
    for i, settings in enumerate(localizers):
        expected |= settings.parameter_shapes(settings.targets, f'localizer.{i}.')
    for i, settings in enumerate(segmenters):
        expected |= settings.parameter_shapes(N_CLASSES, f'segmenter.{i}.')
    archive.check_shapes(expected)
    return CoeruleusContent(labels, localizers, segmenters, check_texts(archive), float(voxel_mm))


def _members(archive: Archive, group: str, kind: type) -> tuple[Any, ...]:
    members = archive.value(group)
    if not isinstance(members, list) or len(members) > _MAX_MEMBERS:
        raise WeightsError(f'{archive.path} is damaged: {group!r} lists no networks; get it again')
    return tuple(settings_from(archive, kind, member) for member in members)
