"""Corruptions of the position or size of the head in the same field of view."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from tmsprep.imaging.conform import as_image
from tmsprep.points import PointSet

from corruptions.scan import Corrupted, Scan, random_direction

#: Motions are drawn, up to this many, until all points stay this far inside the field of view.
_ROOM_MM, _DRAWS = 15.0, 200


def rotate(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Rotate the head about the middle of its brain.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Angle in degrees.
    seed : int
        Random seed of the axis.
    """

    def draw(rng: np.random.Generator) -> np.ndarray:
        turn = Rotation.from_rotvec(np.radians(strength) * random_direction(rng))
        return about(middle(scan), turn.as_matrix())

    return moved(scan, _first_that_fits(scan, _draws(draw, seed)))


def shift(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Move the head along a line.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Distance in mm.
    seed : int
        Random seed of the direction.
    """

    def draw(rng: np.random.Generator) -> np.ndarray:
        motion = np.eye(4)
        motion[:3, 3] = strength * random_direction(rng)
        return motion

    return moved(scan, _first_that_fits(scan, _draws(draw, seed)))


def resize(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Make the head larger (even seeds) or smaller, about the middle of its brain.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Change of its lengths in percent.
    seed : int
        Chooses larger or smaller.
    """
    sign = 1 if seed % 2 == 0 else -1
    return moved(scan, about(middle(scan), (1 + sign * strength / 100) * np.eye(3)))


def mirror(scan: Scan, strength: float = 1.0, seed: int = 0) -> Corrupted:
    """Exchange left and right by reversing the order of voxels; nothing is interpolated.

    The points are mirrored too and keep their names: a left target is now on the right side.
    `swap_sides` renames them.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Ignored.
    seed : int
        Ignored, as nothing is random.
    """
    affine = scan.image.affine
    axis = int(np.abs(affine[0, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, scan.image.shape[axis] - 1
    motion = affine @ flip @ np.linalg.inv(affine)
    data = np.ascontiguousarray(np.flip(scan.data, axis))
    return Corrupted(as_image(data, affine), scan.points.transformed(motion), motion)


def swap_sides(points: PointSet, partners: dict[str, str]) -> PointSet:
    """Rename points after a reflection.

    Parameters
    ----------
    points : PointSet
        As `mirror` leaves them.
    partners : dict
        Name of the same target in the other hemisphere, by name. A target without one becomes
        missing, as it does not exist in the mirror image.
    """
    return PointSet.from_mapping(
        {label: points[partners[label]] for label in points.labels if label in partners},
        points.labels,
    )


def _draws(draw: Callable[[np.random.Generator], np.ndarray], seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    return (draw(rng) for _ in range(_DRAWS))


def _first_that_fits(scan: Scan, motions: Iterator[np.ndarray]) -> np.ndarray:
    """Return the first motion that keeps all points in view, else the best one."""
    best, most = np.eye(4), -np.inf
    for motion in motions:
        room = _room(scan.image, scan.points.transformed(motion))
        if room >= _ROOM_MM:
            return motion
        if room > most:
            best, most = motion, room
    return best


def _room(image: nib.Nifti1Image, points: PointSet) -> float:
    """Smallest distance in mm of a known point from the faces of the volume, inside > 0."""
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    voxels = points.transformed(np.linalg.inv(image.affine)).coordinates[points.found]
    below, above = voxels + 0.5, np.array(image.shape) - 0.5 - voxels
    return float((np.minimum(below, above) * spacing).min())


def middle(scan: Scan) -> np.ndarray:
    """Return the centre of the brain, shape (3,), mm, RAS+."""
    return apply_affine(scan.image.affine, np.argwhere(scan.brain).mean(axis=0))


def about(centre: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the motion, shape (4, 4), that applies a matrix about a fixed point in mm, RAS+."""
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = matrix, centre - matrix @ centre
    return motion


def moved(scan: Scan, motion: np.ndarray) -> Corrupted:
    """Resample by cubic splines on the scan's own grid; outside its field of view it is 0."""
    affine, data = scan.image.affine, scan.data
    source = np.linalg.inv(affine) @ np.linalg.inv(motion) @ affine
    moved = affine_transform(data, source[:3, :3], source[:3, 3], order=3)
    # Splines overshoot.
    moved = moved.clip(data.min(), data.max())
    return Corrupted(as_image(moved, affine), scan.points.transformed(motion), motion)
