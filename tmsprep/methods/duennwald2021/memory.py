"""Memory that training and applying the networks of the locus coeruleus need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nibabel.affines import voxel_sizes

from tmsprep.imaging.read import ImageError, read_geometry
from tmsprep.methods.duennwald2021.options import STAGES_KIND, WEIGHTS_KIND
from tmsprep.methods.duennwald2021.settings import check_coeruleus
from tmsprep.methods.duennwald2021.stage_settings import check_stages
from tmsprep.networks.archive import WeightsError, open_archive

if TYPE_CHECKING:
    from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe

#: Memory of a process with Torch and Nipype (measured).
_BASE_GB = 0.6

#: Bytes per voxel and image: intensities and labels.
_KEPT = 5

#: Copies of the finest level's features that a step keeps: 2.2 GB in all were measured for
#: 1.3 million voxels with recipe duennwald2021, and 0.5 GB with quick, for which this is too much.
_MAPS = 23.0

#: Bytes per voxel and feature of the finest level, applied (measured: 30.2).
_APPLIED = 31.0

#: Memory of the two stages beyond that of the image: the first one sees a cube of 256 voxels.
_STAGES_GB = 1.1

#: Bytes per voxel of image, heatmaps and labels (measured: 20 for points alone).
_VOLUMES = 40


def training_gb(images: Sequence[Path], voxel_mm: float, recipe: CoeruleusRecipe) -> float:
    """Estimate what a training needs at most, GB of 10^9 bytes, from the headers alone.

    Parameters
    ----------
    images : sequence of Path
        All images; those that cannot be read do not count.
    voxel_mm : float
        Edge of the isotropic voxels.
    recipe : CoeruleusRecipe
        Its network and batch.
    """
    voxels = [_voxels(path, voxel_mm) for path in images]
    settings = recipe.network_settings()
    per_voxel = 4 * _MAPS * settings.features[0] / settings.block**3
    step = max(voxels, default=0) * recipe.schedule.batch * per_voxel
    return _BASE_GB + (_KEPT * sum(voxels) + step) / 1e9


def applying_gb(images: Sequence[Path], weights: Path) -> float:
    """Estimate what localising or segmenting in one image needs at most, GB of 10^9 bytes.

    Parameters
    ----------
    images : sequence of Path
        The largest counts; those that cannot be read do not.
    weights : Path
        Weights file; the first localising network, the largest, counts.

    Raises
    ------
    WeightsError
        If the file holds something else, or no localising network.
    """
    archive = open_archive(weights, (WEIGHTS_KIND, STAGES_KIND))
    if archive.metadata['format'] == STAGES_KIND:
        voxel_mm = check_stages(archive).crop.voxel_mm
        voxels = max((_voxels(path, voxel_mm) for path in images), default=0.0)
        return _STAGES_GB + voxels * _VOLUMES / 1e9
    content = check_coeruleus(archive)
    if not content.localizers:
        raise WeightsError(f'{weights} holds no network that localises; give other weights')
    settings = content.localizers[0]
    voxels = max((_voxels(path, content.voxel_mm) for path in images), default=0.0)
    per_voxel = _APPLIED * settings.features[0] / settings.block**3 + _VOLUMES
    return _BASE_GB + voxels * per_voxel / 1e9


def _voxels(path: Path, voxel_mm: float) -> float:
    try:
        shape, affine, _ = read_geometry(path)
    except (ImageError, OSError):
        return 0.0
    return float((voxel_sizes(affine) * shape).prod() / voxel_mm**3)
