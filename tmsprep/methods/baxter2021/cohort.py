"""Annotated people as networks see them, kept on disk and read piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy.spatial import ConvexHull

from tmsprep.atomic import atomic_path
from tmsprep.imaging.conform import CONFORMED_SIZE, conform, resample_mask
from tmsprep.imaging.read import read_image
from tmsprep.imaging.volume import (
    average_pyramid,
    halve,
    normalise,
    percentile_window,
    to_volume_mm,
)
from tmsprep.points import PointSet

N_LEVELS = 6


@dataclass(frozen=True)
class Annotated:
    """Where one person's training material is.

    Parameters
    ----------
    name : str
        Unique; names the cache.
    image : Path
        T1w.
    points : PointSet
        mm, RAS+, in the T1w's scanner frame; missing allowed.
    mask : Path, optional
        Brain mask or parcellation, above 0 inside the brain.
    """

    name: str
    image: Path
    points: PointSet
    mask: Path | None = None


@dataclass(frozen=True)
class Person:
    """One person in the conformed frame: mm from the corner of the volume, along L, P, S.

    Parameters
    ----------
    name : str
        As in `Annotated`.
    pyramid : tuple of torch.Tensor
        Normalised intensities, finest level first; memory-mapped, only touched pages are read.
    points : torch.Tensor
        Shape (targets, 3), mm from the corner, NaN where missing.
    stripped : tuple of torch.Tensor
        The same pyramid with the brain alone, from 2 mm on; empty without a mask.
    hull : torch.Tensor
        Shape (vertices, 3): convex hull of the brain, mm from the corner; empty without a mask.
    """

    name: str
    pyramid: tuple[torch.Tensor, ...]
    points: torch.Tensor
    stripped: tuple[torch.Tensor, ...] = ()
    hull: torch.Tensor = field(default_factory=lambda: torch.empty(0, 3))


def load_cohort(people: Iterable[Annotated], cache: Path) -> list[Person]:
    """Prepare everyone, or take them from `cache` where an earlier call has.

    Parameters
    ----------
    people : iterable of Annotated
        Whom to load.
    cache : Path
        Folder for about 90 MB per person.
    """
    return [_load(person, Path(cache)) for person in people]


def _load(person: Annotated, cache: Path) -> Person:
    path = cache / f'{person.name}.npy'
    details = cache / f'{person.name}.npz'
    if not details.is_file():
        _prepare(person, path, details)
    flat = torch.from_numpy(np.load(path, mmap_mode='c'))
    known = np.load(details)
    points = to_volume_mm(person.points.coordinates, known['affine'])
    hull = torch.from_numpy(known['hull'])
    pyramid, rest = _unpack(flat, range(N_LEVELS))
    stripped = _unpack(rest, range(1, N_LEVELS))[0] if len(hull) else ()
    return Person(person.name, pyramid, torch.from_numpy(points).float(), stripped, hull)


def _prepare(person: Annotated, path: Path, details: Path) -> None:
    image = read_image(person.image)
    conformed = conform(image)
    volume = normalise(conformed.get_fdata(dtype=np.float32), percentile_window(image.dataobj))
    levels = average_pyramid(volume, N_LEVELS)
    hull = np.empty((0, 3), np.float32)
    if person.mask is not None:
        inside = resample_mask(nib.load(person.mask), conformed).get_fdata(dtype=np.float32)
        levels += average_pyramid(halve(volume * inside), N_LEVELS - 1)
        hull = _hull(inside)
    with atomic_path(path) as partial:
        np.save(partial, np.concatenate([level.ravel() for level in levels]))
    with atomic_path(details) as partial:
        np.savez(partial, affine=conformed.affine, hull=hull)


def _hull(inside: np.ndarray) -> np.ndarray:
    voxels = np.argwhere(inside[::4, ::4, ::4] > 0) * 4 + 0.5
    return voxels[ConvexHull(voxels).vertices].astype(np.float32)


def _unpack(
    flat: torch.Tensor, levels: Sequence[int]
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    pyramid = []
    for level in levels:
        n = CONFORMED_SIZE // 2**level
        pyramid.append(flat[: n**3].view(n, n, n))
        flat = flat[n**3 :]
    return tuple(pyramid), flat
