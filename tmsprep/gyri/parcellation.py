"""Gyri in a T1w image, by a small network that sees one hemisphere at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.affines import apply_affine

from tmsprep.gyri.frame import SHAPE, SIDES, grid_affine, grid_points, onto
from tmsprep.gyri.labels import CLASSES, NAMES
from tmsprep.gyri.limits import Limits
from tmsprep.gyri.probabilities import Parcellation
from tmsprep.gyri.weights import GYRI_KIND, MIN_POINTS, check_gyri, limits_of
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.volume import halve, normalise, to_volume_mm
from tmsprep.networks.archive import (
    as_tensors,
    open_archive,
    write_archive,
)
from tmsprep.networks.crops import sample
from tmsprep.networks.settings import UNetSettings, check_texts
from tmsprep.networks.unet import UNet
from tmsprep.points import PointSet


class GyrusNet(UNet):
    """U-Net from the intensities of a hemisphere to the log-odds of `CLASSES`."""

    def __init__(self, settings: UNetSettings):
        super().__init__(settings, len(CLASSES))

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Compute the log-odds of all classes.

        Parameters
        ----------
        volume : torch.Tensor
            Shape (batch, n, m, k), each a multiple of `multiple`; any intensity scale.

        Returns
        -------
        torch.Tensor
            Shape (batch, classes, n, m, k).
        """
        axes = (-3, -2, -1)
        # What is far brighter than the tissue (vessels, fat) would squeeze its contrast.
        volume = volume.clamp_max(3 * volume.mean(dim=axes, keepdim=True))
        volume = volume - volume.mean(dim=axes, keepdim=True)
        volume = volume / (volume.square().mean(dim=axes, keepdim=True).sqrt() + 1e-6)
        return self.maps(volume)


@dataclass(frozen=True, eq=False)
class Parcellator:
    """A network, and the landmarks by which it lays a head on its grid.

    Parameters
    ----------
    network : GyrusNet
        In evaluation mode.
    labels : tuple of str
        Targets that are the landmarks.
    landmarks : numpy.ndarray
        Shape (n, 3), mm, RAS+, MNI.
    card : mapping
        Where the weights come from.
    limits : Limits
        What its probabilities say about points.
    """

    network: GyrusNet
    labels: tuple[str, ...]
    landmarks: np.ndarray
    card: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)


def at_2mm(
    conformed: nib.Nifti1Image,
    window: tuple[float, float],
    box: tuple[slice, ...] = (slice(0, CONFORMED_SIZE // 2),) * 3,
) -> np.ndarray:
    """Normalise a conformed image and average blocks of 2 x 2 x 2 voxels, as in training.

    Parameters
    ----------
    conformed : nibabel.Nifti1Image
        Result of `tmsprep.imaging.conform`.
    window : tuple of float
        Intensities that become 0 and 1, see `tmsprep.imaging.volume.percentile_window`.
    box : tuple of slice
        Voxels of the result that are needed; the others are 0, and not read.

    Returns
    -------
    numpy.ndarray
        Shape (128, 128, 128).
    """
    # The mean of normalised voxels is the normalised mean, of an eighth as many voxels.
    volume = np.zeros((CONFORMED_SIZE // 2,) * 3, np.float32)
    fine = tuple(slice(2 * one.start, 2 * one.stop) for one in box)
    volume[box] = normalise(halve(np.asanyarray(conformed.dataobj, np.float32)[fine]), window)
    return volume


def parcellate_image(
    conformed: nib.Nifti1Image,
    window: tuple[float, float],
    points: PointSet,
    parcellator: Parcellator,
) -> Parcellation | None:
    """Find the gyri of both hemispheres; as `parcellate` of `at_2mm`, but reads less."""
    grids = _grids(points, parcellator)
    if not grids:
        return None
    volume = at_2mm(conformed, window, _box_of(grids, conformed.affine))
    return parcellate(volume, conformed.affine, points, parcellator)


def parcellate(
    volume: np.ndarray, affine: np.ndarray, points: PointSet, parcellator: Parcellator
) -> Parcellation | None:
    """Find the gyri of both hemispheres.

    Parameters
    ----------
    volume : numpy.ndarray
        Result of `at_2mm`.
    affine : numpy.ndarray
        Shape (4, 4): of the conformed image, whose voxels have 1 mm.
    points : PointSet
        Points found in it, mm, RAS+, scanner frame. They lay the head on the network's grid; a
        few millimetres do not matter.
    parcellator : Parcellator
        Network and landmarks.

    Returns
    -------
    Parcellation or None
        None with fewer than `MIN_POINTS` points.
    """
    affines = _grids(points, parcellator)
    if not affines:
        return None
    tensor, seen = torch.from_numpy(volume), []
    for side in SIDES:
        positions = torch.from_numpy(to_volume_mm(grid_points(affines[side]), affine)).float()
        # What is darker than the window is background, as in training.
        seen.append(sample(tensor, positions, float(CONFORMED_SIZE)).clamp_min(0))
    with torch.inference_mode():
        shares = parcellator.network(torch.stack(seen)).softmax(dim=1).numpy()
    return Parcellation(dict(zip(SIDES, shares, strict=True)), affines, parcellator.limits)


def _grids(points: PointSet, parcellator: Parcellator) -> dict[str, np.ndarray]:
    """Side to the affine of its grid, to scanner mm, RAS+; empty with too few points."""
    given = points.reindex(parcellator.labels)
    if given.found.sum() < MIN_POINTS:
        return {}
    transform = onto(parcellator.landmarks, given.coordinates)
    return {side: transform @ grid_affine(side) for side in SIDES}


def _box_of(grids: Mapping[str, np.ndarray], affine: np.ndarray) -> tuple[slice, ...]:
    """Voxels of 2 mm of a conformed image between which the voxels of grids lie."""
    corners = np.array(np.meshgrid(*([0, n - 1] for n in SHAPE))).reshape(3, -1).T
    places = np.concatenate([apply_affine(grid, corners) for grid in grids.values()])
    index = to_volume_mm(places, affine) / 2 - 0.5
    low = np.clip(np.floor(index.min(axis=0)), 0, CONFORMED_SIZE // 2).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, low, CONFORMED_SIZE // 2).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def save_parcellation(
    path: Path,
    network: GyrusNet,
    labels: tuple[str, ...],
    landmarks: np.ndarray,
    card: Mapping[str, str],
    limits: Limits | None = None,
) -> Path:
    """Write a network with weights in half precision; see `Parcellator`."""
    metadata = {
        'settings': json.dumps(network.settings.as_dict()),
        'classes': json.dumps(NAMES),
        'labels': json.dumps(labels),
        'landmarks': json.dumps(np.asarray(landmarks, float).tolist()),
        'card': json.dumps(dict(card)),
        'limits': json.dumps(asdict(limits or Limits())),
    }
    return write_archive(path, GYRI_KIND, network.state_dict(), metadata)


def load_parcellator(path: Path) -> Parcellator:
    """Read what `save_parcellation` wrote.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or of another kind; the message names it.
    """
    archive = open_archive(path, GYRI_KIND)
    settings, labels, landmarks = check_gyri(archive)
    network = GyrusNet(settings)
    network.load_state_dict(as_tensors(archive.arrays))
    return Parcellator(network.eval(), labels, landmarks, check_texts(archive), limits_of(archive))
