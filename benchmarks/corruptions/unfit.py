"""Images in which points cannot be trusted: what is no head, is not whole, or is not T1w.

Corruptions of `corruptions.catalogue` are what a localizer should cope with; those here are what a
judge should notice. Known points stay those of the untouched head, moved with it.
"""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tmsprep.imaging.conform import as_image

from corruptions.position import about, middle, moved
from corruptions.scan import Corrupted, Scan, random_direction

#: A voxel is air if its smoothed intensity is below this share of the bright tissue.
_AIR = 0.06


def _like(scan: Scan, data: np.ndarray) -> Corrupted:
    return Corrupted(as_image(np.asarray(data, np.float32), scan.image.affine), scan.points)


def _top(scan: Scan) -> float:
    """Intensity of bright tissue."""
    return float(np.percentile(scan.data, 99.5))


def _head(scan: Scan) -> np.ndarray:
    """Voxels that are not air, boolean."""
    bright = ndimage.gaussian_filter(scan.data, 1.5) > _AIR * _top(scan)
    return ndimage.binary_fill_holes(bright)


def noise(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Replace the image by Gaussian noise, smoothed by `strength` voxels (sd)."""
    values = np.random.default_rng(seed).standard_normal(scan.image.shape)
    return _like(scan, ndimage.gaussian_filter(values, strength))


def chequerboard(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Replace the image by cubes of `strength` voxels, bright and dark in turns."""
    cells = np.indices(scan.image.shape) // int(strength)
    return _like(scan, 1 + cells.sum(axis=0) % 2)


def dot(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Replace the image by a cube of `strength` bright voxels along each edge, on black."""
    data, side = np.zeros(scan.image.shape, np.float32), int(strength)
    start = np.random.default_rng(seed).integers(5, np.array(data.shape) - side - 5)
    data[tuple(slice(a, a + side) for a in start)] = 1
    return _like(scan, data)


def shape(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Replace the head by a sphere (1), a bottle (2) or a limb (3), with a little noise."""
    rng = np.random.default_rng(seed)
    middle = scan.image.affine[:3, :3] @ ((np.array(scan.image.shape) - 1) / 2)
    middle = middle + scan.image.affine[:3, 3]
    x, y, z = (scan.along(axis) - centre for axis, centre in zip(np.eye(3), middle, strict=True))
    if strength == 1:
        data = 1.0 * (x**2 + y**2 + z**2 < 85**2)
    elif strength == 2:
        data = 1.0 * ((x**2 + y**2 < 60**2) & (np.abs(z) < 90))
        data[(x**2 + y**2 < 20**2) & (z > 60) & (z < 100)] = 1
    else:
        data = 0.6 * (x**2 + (1.2 * y) ** 2 < 55**2)
        data[(x**2 + (1.2 * y) ** 2 < 55**2) & (x**2 + (1.2 * y) ** 2 > 47**2)] = 1.0
        data[(x - 12) ** 2 + y**2 < 14**2] = 0.2
    return _like(scan, (data + rng.normal(0, 0.02, data.shape)).clip(0))


def invert(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Invert the contrast of everything: shares of inverted and original, over 0.5."""
    top = _top(scan)
    data = scan.data.clip(0, top)
    return _like(scan, strength * (top - data) + (1 - strength) * data)


def t2_like(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Invert the contrast inside the head only, as in a T2w; share as in `invert`."""
    top, head = _top(scan), _head(scan)
    data = scan.data.clip(0, top)
    turned = strength * (1.1 * top - data) + (1 - strength) * data
    return _like(scan, np.where(head, turned, data))


def flair_like(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Brightest at the intensity of grey matter, as in a FLAIR; 1 is all of it."""
    tissue = scan.data[scan.brain]
    grey, white = np.percentile(tissue, [40, 90])
    bump = white * np.exp(-(((scan.data - grey) / (0.7 * (white - grey))) ** 2))
    return _like(scan, strength * bump + (1 - strength) * scan.data)


def ct_like(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Put a bright shell around a brain without contrast, with noise in shares of the brain."""
    rng = np.random.default_rng(seed)
    width = float(np.linalg.norm(scan.image.affine[:3, 0]))
    away = ndimage.distance_transform_edt(~scan.brain) * width
    data = np.where(_head(scan), 35.0, 0.0)
    data[scan.brain] = 40.0
    data[(away > 2) & (away < 9)] = 1000.0
    return _like(scan, (data + 40 * strength * rng.standard_normal(data.shape)).clip(0))


def half_head(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Set the given share of the brain's width, on one side, to 0 with all beyond it."""
    sign = 1.0 if seed % 2 == 0 else -1.0
    position = scan.along(np.array([sign, 0.0, 0.0]))
    inside = position[scan.brain]
    return _like(scan, np.where(position < inside.min() + strength * np.ptp(inside), 0, scan.data))


def cut_view(scan: Scan, strength: float, seed: int) -> Corrupted:
    """End the field of view inside the head, above, behind or at one side (by the seed).

    `strength` is what is lost of the brain, mm.
    """
    directions = np.array([[0, 0, 1.0], [0, -1.0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    direction = directions[seed % 4]
    steps = direction @ scan.image.affine[:3, :3]
    axis = int(np.abs(steps).argmax())
    filled = np.flatnonzero(scan.brain.any(axis=tuple({0, 1, 2} - {axis})))
    lost = round(strength / np.linalg.norm(scan.image.affine[:3, axis]))
    box = [slice(0, n) for n in scan.image.shape]
    box[axis] = slice(0, filled[-1] - lost) if steps[axis] > 0 else slice(filled[0] + lost, None)
    affine = scan.image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return Corrupted(as_image(scan.data[tuple(box)].copy(), affine), scan.points)


def wrap(scan: Scan, strength: float, seed: int) -> Corrupted:
    """End the field of view inside the head, and fold what is beyond it onto the far end.

    The view ends `strength` mm inside, behind, at one side or above, by the seed.
    """
    direction = np.array([[0, -1.0, 0], [1.0, 0, 0], [0, 0, 1.0]])[seed % 3]
    steps = direction @ scan.image.affine[:3, :3]
    axis = int(np.abs(steps).argmax())
    filled = np.flatnonzero(_head(scan).any(axis=tuple({0, 1, 2} - {axis})))
    lost = round(strength / np.linalg.norm(scan.image.affine[:3, axis]))
    data = np.moveaxis(scan.data, axis, 0)
    affine = scan.image.affine.copy()
    if steps[axis] > 0:
        end = filled[-1] - lost
        kept, beyond = data[:end].copy(), data[end : 2 * end]
        kept[: len(beyond)] += beyond
    else:
        start = filled[0] + lost
        kept, beyond = data[start:].copy(), data[max(0, 2 * start - len(data)) : start]
        kept[len(kept) - len(beyond) :] += beyond
        affine[:3, 3] += start * affine[:3, axis]
    return Corrupted(as_image(np.moveaxis(kept, 0, axis), affine), scan.points)


def ghosts(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Add the image, shifted by half the field of view along one axis, times `strength`."""
    axis = seed % 3
    shifted = np.roll(scan.data, scan.image.shape[axis] // 2, axis)
    return _like(scan, scan.data + strength * shifted)


def without_hemisphere(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Fill a share of one hemisphere, from its side, with the intensity of fluid."""
    sign = 1.0 if seed % 2 == 0 else -1.0
    position = scan.along(np.array([sign, 0.0, 0.0]))
    inside = position[scan.brain]
    lost = scan.brain & (position > np.median(inside) + (1 - strength) * np.ptp(inside) / 2)
    return _like(scan, np.where(lost, np.percentile(scan.data[scan.brain], 5), scan.data))


def lesion(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Fill a sphere of radius `strength` mm about one of the points with fluid."""
    known = scan.points.coordinates[scan.points.found]
    centre = known[np.random.default_rng(seed).integers(len(known))]
    away = sum((scan.along(a) - c) ** 2 for a, c in zip(np.eye(3), centre, strict=True))
    fluid = np.percentile(scan.data[scan.brain], 5)
    return _like(scan, np.where((away < strength**2) & _head(scan), fluid, scan.data))


def lost_slices(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Lose `strength` mm of slices in the middle of the brain; the rest moves together."""
    axis = int(np.abs(np.array([0, 0, 1.0]) @ scan.image.affine[:3, :3]).argmax())
    width = float(np.linalg.norm(scan.image.affine[:3, axis]))
    filled = np.flatnonzero(scan.brain.any(axis=tuple({0, 1, 2} - {axis})))
    middle, lost = int(filled.mean()), round(strength / width)
    data = np.delete(scan.data, np.arange(middle, middle + lost), axis)
    return Corrupted(as_image(data, scan.image.affine), scan.points)


def mixed_slices(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Store the slices in another order: 1 reversed, 2 even before odd, 3 halves exchanged."""
    axis = int(np.abs(np.array([0, 0, 1.0]) @ scan.image.affine[:3, :3]).argmax())
    count = np.arange(scan.image.shape[axis])
    half = len(count) // 2
    order = (count[::-1], np.r_[count[::2], count[1::2]], np.r_[count[half:], count[:half]])
    return _like(scan, np.take(scan.data, order[int(strength) - 1], axis))


def turn(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Turn the axes of the header about the middle of the view by an angle in degrees."""
    turned = Rotation.from_rotvec(
        np.radians(strength) * random_direction(np.random.default_rng(seed))
    )
    return _in_frame(scan, turned.as_matrix())


def exchange_axes(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Reflect the header: up for down (1), front for back (2), both (3, a rotation)."""
    signs = ((1, 1, -1), (1, -1, 1), (1, -1, -1))[int(strength) - 1]
    return _in_frame(scan, np.diag([float(sign) for sign in signs]))


def _in_frame(scan: Scan, matrix: np.ndarray) -> Corrupted:
    """Give the same voxels a header in which the head is moved."""
    centre = apply_affine(scan.image.affine, (np.array(scan.image.shape) - 1) / 2)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = matrix, centre - matrix @ centre
    affine = motion @ scan.image.affine
    return Corrupted(as_image(scan.data, affine), scan.points.transformed(motion), motion)


def hot_voxels(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Set a cube of voxels, `strength` along each edge, to 10^4 times the bright tissue."""
    data, side = scan.data.copy(), int(strength)
    start = np.random.default_rng(seed).integers(0, np.array(data.shape) - side)
    data[tuple(slice(a, a + side) for a in start)] = 1e4 * _top(scan)
    return _like(scan, data)


def padding(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Overwrite a share of the view at one end by the largest or smallest 16-bit integer."""
    data, axis = scan.data.copy(), seed % 3
    count = max(1, round(strength / 100 * data.shape[axis]))
    data[tuple(slice(count) if a == axis else slice(None) for a in range(3))] = (
        32767 if seed % 2 == 0 else -32768
    )
    return _like(scan, data)


def noisy_air(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Fill the air with noise up to a share of the bright tissue, as in MP2RAGE UNI images."""
    values = np.random.default_rng(seed).uniform(0, strength * _top(scan), scan.image.shape)
    return _like(scan, np.where(_head(scan), scan.data, values))


def stretch(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Give the header voxels too long along one axis, by `strength` percent."""
    matrix = np.eye(4)
    axis = seed % 3
    matrix[axis, axis] = 1 + strength / 100
    affine = matrix @ scan.image.affine
    return Corrupted(as_image(scan.data, affine), scan.points.transformed(matrix), matrix)


def small_head(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Scale the head about the middle of its brain by a factor."""
    return moved(scan, about(middle(scan), strength * np.eye(3)))
