"""Starting transforms of a registration: candidates, scored by mutual information."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, from_matvec
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from tmsprep.imaging.similarity import similarity
from tmsprep.points import PointSet
from tmsprep.registration.brain import Brain

#: Voxel size of the grid on which candidates are scored: a few milliseconds each.
SEARCH_SPACING_MM = 6

# Degrees about the left-right axis, as heads nod most, and about the other two axes.
_PITCH = (0, -15, 15, -30, 30, -45, 45)
_ROLL_AND_YAW = (0, -15, 15, -30, 30)

_BINS = 32
_SCALE_BOUNDS = (0.8, 1.2)


@dataclass(frozen=True, eq=False)
class Start:
    """Candidate for the initial transform.

    Parameters
    ----------
    name : str
        'points', or 'centre of mass' with the rotation in degrees.
    matrix : numpy.ndarray
        Shape (4, 4), RAS+ mm; moves points of the atlas to the subject.
    similarity : float
        Mutual information in nats on the grid of the atlas.
    """

    name: str
    matrix: np.ndarray
    similarity: float


def best_start(atlas: Brain, subject: Brain, guess: np.ndarray | None = None) -> Start:
    """Align the centres of mass in many rotations, add a guess if given, and take the best.

    Parameters
    ----------
    atlas, subject : Brain
        Both on grids of `SEARCH_SPACING_MM`.
    guess : numpy.ndarray or None
        Shape (4, 4), atlas to subject, for instance from `fit_similarity`.
    """
    candidates = list(_rotations(atlas, subject))
    if guess is not None:
        candidates.insert(0, ('points', guess))
    fixed, moving = _binned(atlas), np.asarray(subject.image.dataobj)
    top = moving.max()
    starts = []
    for name, matrix in candidates:
        voxels = np.linalg.inv(subject.image.affine) @ matrix @ atlas.image.affine
        moved = affine_transform(
            moving, voxels[:3, :3], voxels[:3, 3], output_shape=fixed.shape, order=1
        )
        starts.append(Start(name, matrix, mutual_information(fixed, _bin(moved, top))))
    return max(starts, key=lambda start: start.similarity)


def fit_similarity(atlas: PointSet, subject: PointSet) -> np.ndarray | None:
    """Fit rotation, scale and shift from the atlas to the subject.

    Parameters
    ----------
    atlas, subject : PointSet
        mm, RAS+; the `similarity` is fitted to the points that are known in both.

    Returns
    -------
    numpy.ndarray or None
        Shape (4, 4), RAS+ mm; None if fewer than four points are known in both.
    """
    other = subject.reindex(atlas.labels)
    known = atlas.found & other.found
    if known.sum() < 4:
        return None
    matrix, shift = similarity(atlas.coordinates[known], other.coordinates[known])
    return from_matvec(matrix, shift)


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information in nats of two integer images with values in [0, 32)."""
    joint = np.bincount((first * _BINS + second).ravel(), minlength=_BINS**2)
    joint = joint.reshape(_BINS, _BINS) / joint.sum()
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float(np.sum(joint[filled] * np.log(joint[filled] / product[filled])))


def _bin(data: np.ndarray, top: float) -> np.ndarray:
    return np.clip(data * (_BINS / top), 0, _BINS - 1).astype(np.intp)


def _binned(brain: Brain) -> np.ndarray:
    data = np.asarray(brain.image.dataobj)
    return _bin(data, data.max())


def _rotations(atlas: Brain, subject: Brain) -> Iterator[tuple[str, np.ndarray]]:
    """Align the centres of mass, with equal volumes, in every rotation of the search."""
    origin, volume = _centre_and_volume(atlas)
    centre, subject_volume = _centre_and_volume(subject)
    scale = np.clip(np.cbrt(subject_volume / volume), *_SCALE_BOUNDS)
    for angles in itertools.product(_PITCH, _ROLL_AND_YAW, _ROLL_AND_YAW):
        matrix = np.eye(4)
        matrix[:3, :3] = scale * Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
        matrix[:3, 3] = centre - matrix[:3, :3] @ origin
        yield 'centre of mass, rotated by {} {} {}'.format(*angles), matrix


def _centre_and_volume(brain: Brain) -> tuple[np.ndarray, float]:
    """Centre of mass of the mask in mm, RAS+, and its volume in mm^3."""
    share = np.asarray(brain.mask.dataobj, dtype=np.float64)
    voxels = np.array(
        [share.sum(axis=tuple({0, 1, 2} - {a})) @ np.arange(share.shape[a]) for a in range(3)]
    )
    affine = brain.mask.affine
    centre = apply_affine(affine, voxels / share.sum())
    return centre, share.sum() * abs(np.linalg.det(affine[:3, :3]))
