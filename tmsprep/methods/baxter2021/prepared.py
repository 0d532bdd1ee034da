"""Annotated images as networks see them, kept on disk and read piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy.spatial import ConvexHull

from tmsprep.atomic import atomic_path
from tmsprep.imaging.conform import CONFORMED_SIZE, conform, resample_mask, voxels_in_grid
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.placement import misplaced
from tmsprep.imaging.read import ImageError, load_nifti, read_image
from tmsprep.imaging.volume import (
    average_pyramid,
    halve,
    normalise,
    percentile_window,
    to_volume_mm,
)
from tmsprep.learning.examples import Example
from tmsprep.points import PointSet

N_LEVELS = 6


@dataclass(frozen=True)
class PreparedImage:
    """One image on the conformed grid: mm from the corner of the volume, along L, P, S.

    Parameters
    ----------
    name : str
        Name of the example.
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


def load_prepared(examples: Iterable[Example], cache: Path) -> list[PreparedImage]:
    """Prepare images, or read from `cache` what an earlier call prepared.

    Parameters
    ----------
    examples : iterable of Example
        Images with points; a mask is above 0 inside the brain.
    cache : Path
        Directory for about 90 MB per image.
    """
    return [_load(example, Path(cache)) for example in examples]


def conformed_affine(name: str, cache: Path) -> np.ndarray:
    """Affine of the conformed volume of an example that was prepared, shape (4, 4)."""
    with np.load(cache / f'{name}.npz') as known:
        return known['affine']


def _load(example: Example, cache: Path) -> PreparedImage:
    path = cache / f'{example.name}.npy'
    details = cache / f'{example.name}.npz'
    if not details.is_file():
        _prepare(example, path, details)
    flat = torch.from_numpy(np.load(path, mmap_mode='c'))
    with np.load(details) as known:
        given = PointSet((), np.empty((0, 3))) if example.points is None else example.points
        points = to_volume_mm(given.coordinates, known['affine'])
        hull = torch.from_numpy(known['hull'])
    pyramid, rest = _unpack(flat, range(N_LEVELS))
    stripped = _unpack(rest, range(1, N_LEVELS))[0] if len(hull) else ()
    return PreparedImage(example.name, pyramid, torch.from_numpy(points).float(), stripped, hull)


def _prepare(example: Example, path: Path, details: Path) -> None:
    image = mend_image(read_image(example.image), example.image).image
    conformed = conform(image)
    volume = normalise(
        conformed.get_fdata(dtype=np.float32), percentile_window(voxels_in_grid(image, conformed))
    )
    levels = average_pyramid(volume, N_LEVELS)
    hull = np.empty((0, 3), np.float32)
    if example.mask is not None:
        mask = nib.funcs.squeeze_image(load_nifti(example.mask))
        if reason := misplaced(mask, image.shape, image.affine):
            raise ImageError(
                f'{example.mask}: no mask of {example.image}: {reason}. Remove or replace it.'
            )
        inside = resample_mask(mask, conformed).get_fdata(dtype=np.float32)
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
