"""Masks, and whole volumes with their points and labels as the networks are trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tmsprep.atomic import atomic_path
from tmsprep.evaluation.masks import centres_of_mass
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import resample_labels
from tmsprep.imaging.read import load_nifti, read_image
from tmsprep.imaging.volume import normalise, percentile_window
from tmsprep.learning.examples import Example
from tmsprep.protocols import Protocol


@dataclass(frozen=True)
class Volume:
    """One image on the isotropic grid.

    Parameters
    ----------
    name : str
        Name of the example.
    intensities : torch.Tensor
        Shape (n, m, k), float32; the 5th and 95th percentiles are 0 and 1.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    points : torch.Tensor
        Shape (2, 3), voxel indices of left and right, NaN where missing.
    labels : torch.Tensor
        Shape (n, m, k), uint8: 0, 1 (left), 2 (right); of shape (0,) without a mask.
    """

    name: str
    intensities: torch.Tensor
    affine: np.ndarray
    points: torch.Tensor
    labels: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        n, m, k = self.intensities.shape
        return n, m, k

    @property
    def voxel_mm(self) -> float:
        """Edge of a voxel, mm."""
        return float(np.linalg.norm(self.affine[:3, 0]))


def load_volumes(examples: Iterable[Example], cache: Path, protocol: Protocol) -> list[Volume]:
    """Prepare images, or read from `cache` what an earlier call prepared.

    Parameters
    ----------
    examples : iterable of Example
        Images with a mask (labels 1, left, and 2, right, at any resolution) or points. Without
        points the targets are the mask's centres of mass (Duennwald et al. 2021, section 2.3).
    cache : Path
        Directory for about 5 bytes per voxel and image, for images and masks of this content
        alone.
    protocol : Protocol
        Targets, left then right, and edge of the isotropic voxels.

    Raises
    ------
    ImageError
        As `read_image`.
    ValueError
        If a mask holds other labels than 0, 1 and 2; the message names the file.
    """
    return [_load(example, Path(cache), protocol) for example in examples]


def _load(example: Example, cache: Path, protocol: Protocol) -> Volume:
    path = cache / f'{example.name}.npz'
    if not path.is_file():
        prepared = _prepare(example, protocol.voxel_mm)
        with atomic_path(path) as partial:
            np.savez(partial, allow_pickle=False, **prepared)
    with np.load(path) as known:
        points = known['points']
        if example.points is not None:
            to_voxels = np.linalg.inv(known['affine'])
            points = example.points.reindex(protocol.labels).transformed(to_voxels).coordinates
        return Volume(
            example.name,
            torch.from_numpy(known['intensities']),
            known['affine'],
            torch.from_numpy(points.astype(np.float32)),
            torch.from_numpy(known['labels']),
        )


def _prepare(example: Example, voxel_mm: float) -> dict[str, np.ndarray]:
    image = mend_image(read_image(example.image), example.image, whole_head=False).image
    conformed = conform_isotropic(image, voxel_mm)
    data = conformed.get_fdata(dtype=np.float32)
    points, labels = np.full((2, 3), np.nan), np.empty(0, np.uint8)
    if example.mask is not None:
        mask, affine = read_mask(example.mask)
        to_volume = np.linalg.inv(conformed.affine) @ affine
        points = centres_of_mass(mask, to_volume)
        labels = resample_labels(mask, np.linalg.inv(to_volume), data.shape)
    return {
        'intensities': normalise(data, percentile_window(data)),
        'affine': conformed.affine,
        'points': points,
        'labels': labels,
    }


def read_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a mask of the locus coeruleus.

    Returns
    -------
    labels : numpy.ndarray
        Shape (n, m, k), uint8.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.

    Raises
    ------
    ImageError
        If the file is missing, damaged or not NIfTI.
    ValueError
        If it is not three-dimensional or has labels other than 0, 1 and 2.
    """
    image = load_nifti(path)
    labels = np.asanyarray(image.dataobj)
    if labels.ndim != 3 or not np.isin(labels, (0, 1, 2)).all():
        raise ValueError(
            f'{path}: a mask of the locus coeruleus has three dimensions and the labels 0, 1 '
            '(left) and 2 (right). Save it again with these.'
        )
    return labels.astype(np.uint8), image.affine


def read_labels(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Read one file with both sides, or a left and a right one.

    Returns
    -------
    labels : numpy.ndarray
        Shape (n, m, k), uint8: 1 left, 2 right.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.

    Raises
    ------
    ImageError
        If a file is missing, damaged or not NIfTI.
    ValueError
        If a file is no mask, or if two files differ in their grid or have voxels in common.
    """
    if len(paths) == 1:
        return read_mask(paths[0])
    left, right = (load_nifti(path) for path in paths)
    if left.shape != right.shape or not np.allclose(left.affine, right.affine, atol=1e-3):
        raise ValueError(
            f'{paths[1]}: lies on another grid than {paths[0].name}. Write both on one grid.'
        )
    sides = [np.asanyarray(image.dataobj) > 0 for image in (left, right)]
    both = np.count_nonzero(sides[0] & sides[1])
    if both:
        raise ValueError(
            f'{paths[1]}: {both} voxels are marked in {paths[0].name} too. A voxel belongs to one '
            'side; correct one of the files.'
        )
    return (sides[0] + 2 * sides[1]).astype(np.uint8), left.affine
