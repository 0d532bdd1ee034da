"""Whole volumes with their points and masks, as the locus coeruleus networks learn from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tmsprep.atomic import atomic_path
from tmsprep.evaluation.masks import centres_of_mass
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import read_mask, resample_labels
from tmsprep.imaging.read import read_image
from tmsprep.imaging.volume import normalise, percentile_window
from tmsprep.points import PointSet

LABELS = ('LLC', 'RLC')
"""Targets in the order of the networks' maps; the masks' labels are 1 and 2."""


@dataclass(frozen=True)
class LabelledVolume:
    """Where one person's training material is.

    Parameters
    ----------
    name : str
        Unique; names the cache.
    image : Path
        Neuromelanin-sensitive T1w.
    points : PointSet, optional
        LLC and RLC, mm, RAS+, in the image's scanner frame; missing allowed.
    mask : Path, optional
        Labels 1 (left) and 2 (right) in the image's scanner frame, at any resolution. Without
        `points` the targets are its centres of mass (Duennwald et al. 2021, section 2.3).
    """

    name: str
    image: Path
    points: PointSet | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Volume:
    """One person in the isotropic conformed volume.

    Parameters
    ----------
    name : str
        As in `LabelledVolume`.
    intensities : torch.Tensor
        Shape (n, m, k), float32; the 5th and 95th percentiles are 0 and 1.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    points : torch.Tensor
        Shape (2, 3), voxel indices of LLC and RLC, NaN where missing.
    labels : torch.Tensor
        Shape (n, m, k), uint8: 0, 1 (left), 2 (right); of shape (0,) without a mask.
    """

    name: str
    intensities: torch.Tensor
    affine: np.ndarray
    points: torch.Tensor
    labels: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))

    @property
    def voxel_mm(self) -> float:
        """Edge of a voxel, mm."""
        return float(np.linalg.norm(self.affine[:3, 0]))


def load_volumes(
    people: Iterable[LabelledVolume], cache: Path, voxel_mm: float = 0.75
) -> list[Volume]:
    """Prepare everyone, or take them from `cache` where an earlier call has.

    Parameters
    ----------
    people : iterable of LabelledVolume
        Whom to load.
    cache : Path
        Folder for about 5 bytes per voxel and person; a changed image or mask is prepared again.
    voxel_mm : float
        Edge of the isotropic voxels.

    Raises
    ------
    ImageError
        As `read_image`.
    ValueError
        If a mask holds other labels than 0, 1 and 2; the message names the file.
    """
    return [_load(person, Path(cache), voxel_mm) for person in people]


def _load(person: LabelledVolume, cache: Path, voxel_mm: float) -> Volume:
    path = cache / f'{person.name}_{_fingerprint(person, voxel_mm)}.npz'
    if not path.is_file():
        prepared = _prepare(person, voxel_mm)
        with atomic_path(path) as partial:
            np.savez(partial, **prepared)
    with np.load(path) as known:
        points = known['points'] if person.points is None else _given(person, known['affine'])
        return Volume(
            person.name,
            torch.from_numpy(known['intensities']),
            known['affine'],
            torch.from_numpy(points.astype(np.float32)),
            torch.from_numpy(known['labels']),
        )


def _fingerprint(person: LabelledVolume, voxel_mm: float) -> str:
    """Eight letters that change with the files; their content is not read."""
    parts = [repr(float(voxel_mm))]
    for path in (person.image, person.mask):
        if path is not None and Path(path).is_file():
            state = Path(path).stat()
            parts += [str(path), str(state.st_size), str(state.st_mtime_ns)]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:8]


def _prepare(person: LabelledVolume, voxel_mm: float) -> dict[str, np.ndarray]:
    conformed = conform_isotropic(read_image(person.image), voxel_mm)
    data = conformed.get_fdata(dtype=np.float32)
    points, labels = np.full((2, 3), np.nan), np.empty(0, np.uint8)
    if person.mask is not None:
        mask, affine = read_mask(person.mask)
        to_volume = np.linalg.inv(conformed.affine) @ affine
        points = centres_of_mass(mask, to_volume)
        labels = resample_labels(mask, np.linalg.inv(to_volume), data.shape)
    return {
        'intensities': normalise(data, percentile_window(data)),
        'affine': conformed.affine,
        'points': points,
        'labels': labels,
    }


def _given(person: LabelledVolume, affine: np.ndarray) -> np.ndarray:
    return person.points.reindex(LABELS).transformed(np.linalg.inv(affine)).coordinates
