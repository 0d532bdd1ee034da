"""How much memory a training of the locus coeruleus takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib

from tmsprep.imaging.errors import ImageError
from tmsprep.imaging.read import read_geometry
from tmsprep.learning.coeruleus_recipes import CoeruleusRecipe

_BASE_GB = 0.6
"""Of a process with Torch and Nipype (measured)."""

_KEPT = 5
"""Bytes per voxel and person: intensities and labels."""

_MAPS = 23.0
"""Copies of the finest level's features that a step keeps: 2.2 GB in all were measured for
1.3 million voxels with recipe duennwald2021, and 0.5 GB with quick, for which this is too much."""


def training_gb(images: Sequence[Path], voxel_mm: float, recipe: CoeruleusRecipe) -> float:
    """Estimate what a training needs at most, GB of 10^9 bytes, from the headers alone.

    Parameters
    ----------
    images : sequence of Path
        Of everybody; those that cannot be read do not count.
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


def _voxels(path: Path, voxel_mm: float) -> float:
    try:
        shape, affine, _ = read_geometry(path)
    except (ImageError, OSError):
        return 0.0
    size = nib.affines.voxel_sizes(affine)
    return float((size * shape).prod() / voxel_mm**3)
