"""Corruptions in which a part of the head is missing or slices are thick."""

from __future__ import annotations

from itertools import product

import numpy as np

from tmsprep.imaging.conform import as_image

from corruptions.scan import Corrupted, Scan

_DOWN, _FORWARD = np.array([0.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0])
_TOWARDS_FACE = np.array([0.0, 1.0, -1.0]) / np.sqrt(2)


def thicken_slices(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Average the image over thick slices along one of its axes, as if acquired so without gaps.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Thickness in mm, at least that of the scan's own voxels. The result has voxels of this
        size along the axis; a remainder at the ends, together less than one slice, is lost.
    seed : int
        The axis is the seed modulo 3.
    """
    axis = seed % 3
    affine = scan.image.affine.copy()
    width = float(np.linalg.norm(affine[:3, axis]))
    length = scan.image.shape[axis]
    count = int(length * width / strength + 1e-6)
    start = (length * width - count * strength) / 2
    edges = start + strength * np.arange(count + 1)  # (slices + 1,), mm from the first face
    voxels = width * np.arange(length + 1)
    overlap = np.minimum(edges[1:, None], voxels[1:]) - np.maximum(edges[:-1, None], voxels[:-1])
    weights = overlap.clip(0) / strength  # (slices, voxels)
    data = np.moveaxis(np.tensordot(weights, scan.data, (1, axis)), 0, axis)
    affine[:3, 3] += affine[:3, axis] * ((start + strength / 2) / width - 0.5)
    affine[:3, axis] *= strength / width
    return Corrupted(as_image(data.astype(np.float32), affine), scan.points)


def crop_field_of_view(scan: Scan, strength: float, seed: int) -> Corrupted:
    """End the field of view near the brain: below (no neck), in front (no face), or both.

    The image is cropped along its own axes, as by the planning of the scan. The vertex stays.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Margin in mm beyond the brain's lowest or foremost voxel; negative cuts into the brain.
    seed : int
        Modulo 3 it chooses the side: below, in front, both.
    """
    directions = ((_DOWN,), (_FORWARD,), (_DOWN, _FORWARD))[seed % 3]
    box = [slice(0, n) for n in scan.image.shape]
    for direction in directions:
        steps = direction @ scan.image.affine[:3, :3]
        axis = int(np.abs(steps).argmax())
        occupied = np.flatnonzero(scan.brain.any(axis=tuple({0, 1, 2} - {axis})))
        extra = round(strength / np.linalg.norm(scan.image.affine[:3, axis]))
        if steps[axis] > 0:
            box[axis] = slice(box[axis].start, min(box[axis].stop, occupied[-1] + 1 + extra))
        else:
            box[axis] = slice(max(box[axis].start, occupied[0] - extra), box[axis].stop)
    affine = scan.image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return Corrupted(as_image(scan.data[tuple(box)].copy(), affine), scan.points)


def deface(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Set everything in front of and below an oblique plane to 0, at 45 degrees to both axes.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Distance between brain and plane in mm; negative cuts into the brain.
    seed : int
        Ignored, as nothing is random.
    """
    return _without(scan, [_TOWARDS_FACE], strength)


def remove_corners(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Set two corners of the volume to 0, each beyond an oblique plane.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Distance between brain and planes in mm; negative cuts into the brain.
    seed : int
        Random seed of the corners and the slopes of the planes.
    """
    rng = np.random.default_rng(seed)
    corners = np.array(list(product((-1.0, 1.0), repeat=3)))
    chosen = corners[rng.choice(8, 2, replace=False)]
    normals = chosen * rng.uniform(0.5, 1.5, (2, 3))
    return _without(scan, list(normals / np.linalg.norm(normals, axis=1)[:, None]), strength)


def _without(scan: Scan, normals: list[np.ndarray], margin_mm: float) -> Corrupted:
    """Set voxels to 0 that lie more than a margin beyond the brain in one of some directions."""
    data = scan.data.copy()
    for normal in normals:
        position = scan.along(normal)
        data[position > position[scan.brain].max() + margin_mm] = 0
    return Corrupted(as_image(data, scan.image.affine), scan.points)
