"""Gyri in a T1w image, by a small network that sees one hemisphere at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from tmsprep.gyri.frame import SIDES, grid_affine, grid_points, onto
from tmsprep.gyri.labels import CLASSES, NAMES
from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.volume import halve, to_volume_mm
from tmsprep.networks.archive import (
    Archive,
    WeightsError,
    as_tensors,
    open_archive,
    write_archive,
)
from tmsprep.networks.crops import sample
from tmsprep.networks.settings import UNetSettings, check_labels, check_texts, settings_from
from tmsprep.networks.unet import UNet
from tmsprep.points import PointSet

#: Kind of the weights, see `open_archive`.
GYRI_KIND = 'tmsprep-gyri-1'

#: Fewer points than this do not say how a head lies.
MIN_POINTS = 4


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
    """

    network: GyrusNet
    labels: tuple[str, ...]
    landmarks: np.ndarray
    card: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Parcellation:
    """Probabilities of the classes in both hemispheres of one image.

    Parameters
    ----------
    probabilities : mapping
        Side ('L', 'R') to an array of shape (classes, 40, 64, 64), float32.
    affines : mapping
        Side to the affine, shape (4, 4), from voxel indices to scanner mm, RAS+.
    """

    probabilities: Mapping[str, np.ndarray]
    affines: Mapping[str, np.ndarray]

    def at(self, side: str, places: np.ndarray) -> np.ndarray:
        """Interpolate the probabilities at places.

        Parameters
        ----------
        side : str
            Hemisphere from which the places are seen: 'L' or 'R'.
        places : numpy.ndarray
            Shape (n, 3), mm, RAS+, scanner frame.

        Returns
        -------
        numpy.ndarray
            Shape (n, classes); NaN outside the grid.
        """
        index = apply_affine(np.linalg.inv(self.affines[side]), places).T
        maps = [
            map_coordinates(one, index, order=1, mode='constant', cval=np.nan)
            for one in self.probabilities[side]
        ]
        return np.stack(maps, axis=1)


def parcellate(
    conformed: nib.Nifti1Image, points: PointSet, parcellator: Parcellator
) -> Parcellation | None:
    """Find the gyri of both hemispheres.

    Parameters
    ----------
    conformed : nibabel.Nifti1Image
        Result of `tmsprep.imaging.conform`; any intensity scale.
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
    given = points.reindex(parcellator.labels)
    if given.found.sum() < MIN_POINTS:
        return None
    transform = onto(parcellator.landmarks, given.coordinates)
    affines = {side: transform @ grid_affine(side) for side in SIDES}
    volume = torch.from_numpy(halve(conformed.get_fdata(dtype=np.float32)))
    seen = []
    for side in SIDES:
        positions = to_volume_mm(grid_points(affines[side]), conformed.affine)
        seen.append(sample(volume, torch.from_numpy(positions).float(), float(CONFORMED_SIZE)))
    with torch.inference_mode():
        shares = parcellator.network(torch.stack(seen)).softmax(dim=1).numpy()
    return Parcellation(dict(zip(SIDES, shares, strict=True)), affines)


def save_parcellation(
    path: Path,
    network: GyrusNet,
    labels: tuple[str, ...],
    landmarks: np.ndarray,
    card: Mapping[str, str],
) -> Path:
    """Write a network with weights in half precision; see `Parcellator`."""
    metadata = {
        'settings': json.dumps(network.settings.as_dict()),
        'classes': json.dumps(NAMES),
        'labels': json.dumps(labels),
        'landmarks': json.dumps(np.asarray(landmarks, float).tolist()),
        'card': json.dumps(dict(card)),
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
    return Parcellator(network.eval(), labels, landmarks, check_texts(archive))


def check_gyri(archive: Archive) -> tuple[UNetSettings, tuple[str, ...], np.ndarray]:
    """Return the shape of a parcellation network, its targets and landmarks.

    Raises
    ------
    WeightsError
        If the file does not fit together; the message names it.
    """
    settings = settings_from(archive, UNetSettings, archive.value('settings'))
    archive.check_shapes(settings.parameter_shapes(len(CLASSES)))
    labels = check_labels(archive)
    try:
        landmarks = np.asarray(archive.value('landmarks'), dtype=float)
    except (TypeError, ValueError) as error:
        raise WeightsError(f'{archive.path}: its landmarks are damaged; get it again') from error
    if landmarks.shape != (len(labels), 3) or not np.isfinite(landmarks).all():
        raise WeightsError(f'{archive.path}: its landmarks do not fit its targets; get it again')
    if archive.value('classes') != list(NAMES):
        raise WeightsError(f'{archive.path} tells other gyri apart than this version; get another')
    return settings, labels, landmarks
