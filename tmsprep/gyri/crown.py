"""Crowns of gyri in a label volume, and the point on a crown that belongs to a start.

The crown of a gyrus is the part of its grey matter that lies nearest to the hull of the brain. A
point on it keeps the height along the gyrus that the start gives, and takes the middle of the grey
matter in the other two directions, as far as possible from all borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, map_coordinates

#: Radius of the closing that turns a brain mask into its hull, mm: it bridges sulci and the
#: interhemispheric fissure, and follows the shape of the lobes.
CLOSING_MM = 12.0

#: Step of the grid on which a gyrus is sampled, mm.
_STEP_MM = 1.0

#: How far beyond the reach of a start its gyrus is sampled, mm.
_MARGIN_MM = 10.0

#: Step towards the axis of the crown at which it is found, and the largest number of steps.
_CONVERGED_MM, _STEPS = 0.05, 50

#: Variance of the crown along a direction, as a share of that of the kernel, below which the
#: direction leads across the gyrus, and above which it leads along it. A border through the middle
#: of the kernel leaves 0.36, a crown twice as wide as the standard deviation 0.29, and one four
#: times as wide 0.77. On a phantom a start 5 mm across then gives the same point to 0.3 mm.
_NARROW = (0.6, 0.95)

#: Share of the grey matter around a place that lies above the level of its crown.
_OUTERMOST = 0.1

#: Power of the weights of the last mean: high enough that it is the place of the largest weight,
#: low enough that it lies between the voxels.
_SHARPNESS = 6.0


@dataclass(frozen=True)
class CrownRule:
    """Sizes of the neighbourhoods that a point on a crown is computed from, all in mm.

    Parameters
    ----------
    reach : float
        Farthest that a start may be from the grey matter of its gyrus.
    across : float
        Standard deviation of the kernel that finds the axis of the crown. About half the width
        of a crown: a smaller one follows the border, a larger one leaves the height of the start.
    cap : float
        Depth below the level of the crown at which the weight of its grey matter has fallen to
        0.6, where its axis is found. Deeper parts are the walls of the sulci.
    depth : float
        The same where the point is found.
    mass : float
        Standard deviation of the Gaussian that measures how much of the grey matter around a
        place belongs to the gyrus.
    hold : float
        Standard deviation of the distance to which the point may leave the axis.
    """

    reach: float = 12.0
    across: float = 5.0
    cap: float = 1.5
    depth: float = 2.5
    mass: float = 2.0
    hold: float = 3.0


def hull_depth(
    brain: np.ndarray, affine: np.ndarray, closing_mm: float = CLOSING_MM
) -> np.ndarray:
    """Measure how deep each voxel lies below the hull of the brain.

    Parameters
    ----------
    brain : numpy.ndarray
        Shape (a, b, c), bool.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, without shear.
    closing_mm : float
        Radius of the closing that makes the hull.

    Returns
    -------
    numpy.ndarray
        Float32, mm from the centre of the voxel to the surface of the hull; 0 outside.
    """
    depth = np.zeros(brain.shape, np.float32)
    if not brain.any():
        return depth
    sizes = voxel_sizes(affine)
    box = find_objects(brain.astype(np.uint8))[0]
    # The closed mask must not touch the border of the array.
    margins = np.ceil(closing_mm / sizes).astype(int) + 2
    padded = np.pad(brain[box], [(m, m) for m in margins])
    near = distance_transform_edt(~padded, sizes) <= closing_mm
    hull = (distance_transform_edt(near, sizes) > closing_mm) | padded
    # From the centre of the nearest voxel outside to its near face.
    deep = np.maximum(distance_transform_edt(hull, sizes) - sizes.mean() / 2, 0)
    inner = tuple(slice(m, -m) for m in margins)
    # A closed box stays the same, so the hull lies in the box of the brain.
    depth[box] = deep[inner]
    return depth


def height_depth(shape: tuple[int, ...], affine: np.ndarray, outwards: np.ndarray) -> np.ndarray:
    """Measure depth against a direction, for a gyrus whose crown does not face the hull.

    Parameters
    ----------
    shape : tuple of int
        Shape of the label volume.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    outwards : numpy.ndarray
        Shape (3,), RAS+: the direction that the crown faces.

    Returns
    -------
    numpy.ndarray
        Float32 of `shape`, mm: grows by 1 per mm against the direction, from an arbitrary zero.
    """
    unit = np.asarray(outwards, dtype=np.float64) / np.linalg.norm(outwards)
    steps = -unit @ affine[:3, :3]
    a, b, c = (step * np.arange(n) for step, n in zip(steps, shape, strict=True))
    return (a[:, None, None] + b[:, None] + c).astype(np.float32)


def crown_point(
    gyrus: np.ndarray,
    depth: np.ndarray,
    affine: np.ndarray,
    start: np.ndarray,
    rule: CrownRule | None = None,
) -> np.ndarray:
    """Return the point in the middle of a gyrus' crown at the height of a start.

    First the start is moved to the axis of the crown: to the mean of the crown around it, in the
    two directions across the gyrus only (subspace-constrained mean shift, Ozertem and Erdogmus
    2011, jmlr.org/papers/v12/ozertem11a.html). Then the place near there is taken that has most
    of the grey matter of this gyrus around it.

    Parameters
    ----------
    gyrus : numpy.ndarray
        Shape (a, b, c), bool: grey matter of the gyrus, on one side.
    depth : numpy.ndarray
        Shape (a, b, c), mm: `hull_depth`, or `height_depth`.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    start : numpy.ndarray
        Shape (3,), mm, RAS+.
    rule : CrownRule or None
        Sizes of the neighbourhoods; None for those of the class.

    Returns
    -------
    numpy.ndarray
        Shape (3,), mm, RAS+; NaN if the start is farther than `CrownRule.reach` from the gyrus.
    """
    rule = rule or CrownRule()
    voxels = np.argwhere(gyrus)
    nowhere = np.full(3, np.nan)
    if not len(voxels) or not np.isfinite(start).all():
        return nowhere
    places = apply_affine(affine, voxels)
    if np.linalg.norm(places - start, axis=1).min() > rule.reach:
        return nowhere
    offsets, share, mass, depths = _sample(gyrus, depth, affine, start, rule)
    inside = share > 0
    axis = _axis(offsets[inside], share[inside], depths[inside], rule)
    level = crown_level(offsets[inside], share[inside], depths[inside], axis, 2 * rule.across)
    weight = mass * _crown_weight(depths, level, rule) * _kernel(offsets, axis, rule.hold)
    weight = np.where((share >= 0.5) & _holds(gyrus, affine, offsets + start), weight, 0)
    if not weight.any():
        return nowhere
    # Relative to the largest, as the power would underflow.
    best = offsets[weight.argmax()]
    weight = (weight / weight.max()) ** _SHARPNESS * _kernel(offsets, best, rule.mass)
    point = start + weight @ offsets / weight.sum()
    # The mean of a thin or hollow piece may lie beside it.
    return point if _holds(gyrus, affine, point) else np.asarray(start + best)


def crown_level(
    places: np.ndarray, share: np.ndarray, depths: np.ndarray, centre: np.ndarray, scale_mm: float
) -> float:
    """Return the depth of the outermost tenth of the grey matter around a place.

    Parameters
    ----------
    places : numpy.ndarray
        Shape (n, 3), mm.
    share : numpy.ndarray
        Shape (n,), 0 to 1: how much of each place is grey matter of the gyrus.
    depths : numpy.ndarray
        Shape (n,), mm.
    centre : numpy.ndarray
        Shape (3,), mm.
    scale_mm : float
        Standard deviation of the kernel around the centre.
    """
    weights = share * _kernel(places, centre, scale_mm)
    order = np.argsort(depths, kind='stable')
    below = np.cumsum(weights[order])
    return float(np.interp(_OUTERMOST * below[-1], below, depths[order]))


def _sample(
    gyrus: np.ndarray, depth: np.ndarray, affine: np.ndarray, start: np.ndarray, rule: CrownRule
) -> tuple[np.ndarray, ...]:
    """Sample on a grid of 1 mm: offsets from the start, share of the gyrus, its mass, depth.

    The grid is symmetric about the start, so that a mirrored image gives the mirrored point.
    """
    half = int(np.ceil((rule.reach + _MARGIN_MM) / _STEP_MM))
    steps = _STEP_MM * np.arange(-half, half + 1)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), axis=-1)
    indices = np.moveaxis(apply_affine(np.linalg.inv(affine), offsets + start), -1, 0)
    low = np.clip(np.floor(indices.min(axis=(1, 2, 3))).astype(int), 0, gyrus.shape)
    high = np.clip(np.ceil(indices.max(axis=(1, 2, 3))).astype(int) + 1, low, gyrus.shape)
    box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    indices -= low[:, None, None, None]
    share = map_coordinates(gyrus[box].astype(np.float32), indices, order=1, mode='constant')
    mass = gaussian_filter(share, rule.mass / _STEP_MM, mode='constant')
    depths = map_coordinates(depth[box], indices, order=1, mode='nearest')
    return offsets.reshape(-1, 3), share.ravel(), mass.ravel(), depths.ravel()


def _holds(mask: np.ndarray, affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether the voxels at points belong to a mask."""
    indices = np.rint(apply_affine(np.linalg.inv(affine), points)).astype(int)
    inside = ((indices >= 0) & (indices < mask.shape)).all(axis=-1)
    indices[~inside] = 0
    return inside & mask[tuple(np.moveaxis(indices, -1, 0))]


def _axis(
    places: np.ndarray, share: np.ndarray, depths: np.ndarray, rule: CrownRule
) -> np.ndarray:
    """Move the origin across the gyrus onto the axis of its crown."""
    nearest = places[np.argmin(np.square(places).sum(axis=1) - 4 * np.log(share))]
    # A start outside the gyrus would see none of it in a narrow kernel.
    centre = nearest.astype(np.float64)
    for _ in range(_STEPS):
        level = crown_level(places, share, depths, centre, 2 * rule.across)
        cap = np.exp(-0.5 * np.square(np.maximum(depths - level, 0) / rule.cap))
        weights = share * cap * _kernel(places, centre, rule.across)
        weights /= weights.sum()
        mean = weights @ places
        spread = (places - mean).T @ ((places - mean) * weights[:, None])
        # The start, at the origin, decides along the gyrus.
        new = mean - _along(spread, rule.across) @ mean
        moved = np.linalg.norm(new - centre)
        centre = new
        if moved < _CONVERGED_MM:
            break
    return centre


def _along(spread: np.ndarray, scale_mm: float) -> np.ndarray:
    """Matrix that keeps the directions in which the gyrus fills its neighbourhood.

    Where the gyrus is as long as the kernel, the variance is that of the kernel; across a narrow
    one it is smaller. A function of the matrix, so that nothing jumps where two directions are
    alike.
    """
    values, vectors = np.linalg.eigh(spread)
    low, high = _NARROW
    share = np.clip((values / scale_mm**2 - low) / (high - low), 0, 1)
    return (vectors * (share**2 * (3 - 2 * share))) @ vectors.T


def _crown_weight(depths: np.ndarray, level: float, rule: CrownRule) -> np.ndarray:
    return np.exp(-0.5 * np.square(np.maximum(depths - level, 0) / rule.depth))


def _kernel(places: np.ndarray, centre: np.ndarray, scale_mm: float) -> np.ndarray:
    away = places - centre
    return np.exp(-0.5 * np.einsum('ij,ij->i', away, away) / scale_mm**2)
