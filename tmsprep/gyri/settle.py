"""Move points to the middle of the grey matter of the gyrus in which they are expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter, map_coordinates

from tmsprep.gyri.frame import SIDES, VOXEL_MM
from tmsprep.gyri.labels import NAMES, OUTSIDE
from tmsprep.gyri.probabilities import Parcellation

#: No point is moved further than this, mm.
REACH_MM = 5.0

#: mm between the places that are looked at: finer than what the network's voxels of 2 mm tell.
_STEP_MM = 0.5

#: A gyrus of which no place within reach has this probability is not there: the point stays.
_LEAST = 0.3

#: How strongly places near the surface of the brain are avoided, and over how many mm. The network
#: saw labels with voxels of 2 mm, whose surface lies up to a millimetre too far out: nearly all
#: points that were not in their gyrus were outside the brain, none in white matter. Chosen on the
#: validation set of the networks and on eight scans with manual labels.
_AVOID, _SURFACE_MM = 2.0, 1.4

#: Probability below which places differ no more, so that far from the gyrus the distance decides.
_FLOOR = 1e-3


def settle(
    parcellation: Parcellation | None,
    points: np.ndarray,
    expected: Sequence[tuple[str, str]],
    sd_mm: float,
) -> np.ndarray:
    """Move each point to the most probable place, given how far points are usually off.

    The place maximises ``log p(x) + 2 log q(x) - |x - point|^2 / (2 sd_mm^2)``, where p is the
    probability that x lies in the expected gyrus, and q that it lies inside the brain, smoothed:
    with points that are normally distributed around their true places, and these equally frequent
    throughout the gyrus, that is, but for q, the maximum a posteriori. In the middle of the ribbon
    p is highest, so a point that is a millimetre beside it comes back.

    Parameters
    ----------
    parcellation : Parcellation or None
        Of the image; without one nothing moves.
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+, scanner frame; NaN where missing.
    expected : sequence of tuple
        Side ('L', 'R') and gyrus of each point; a point moves only if both are given.
    sd_mm : float
        How far points may be off along each axis, mm; above 0. The larger, the more the
        parcellation counts.

    Returns
    -------
    numpy.ndarray
        Shape (n, 3), mm.
    """
    moved = points.copy()
    if parcellation is None:
        return moved
    steps = np.arange(-REACH_MM, REACH_MM + _STEP_MM / 2, _STEP_MM)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), axis=-1).reshape(-1, 3)
    squares = np.square(offsets).sum(axis=1)
    # Nearest first: of equally good places the nearest is taken.
    order = np.argsort(squares, kind='stable')[: (squares <= REACH_MM**2).sum()]
    offsets, penalty = offsets[order], squares[order] / (2 * sd_mm**2)
    for i in np.flatnonzero(np.isfinite(points).all(axis=1)):
        side, gyrus = expected[i]
        if side not in SIDES or not gyrus:
            continue
        places = points[i] + offsets
        index = apply_affine(np.linalg.inv(parcellation.affines[side]), places).T
        maps = parcellation.probabilities[side]
        chance = map_coordinates(maps[NAMES.index(gyrus)], index, order=1, mode='constant')
        brain = _inside(maps[NAMES.index(OUTSIDE)], index)
        if chance.max() >= _LEAST:
            score = np.log(chance + _FLOOR) + _AVOID * np.log(brain + _FLOOR) - penalty
            moved[i] = places[score.argmax()]
    return moved


def _inside(outside: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Smoothed probability of being inside the brain at voxel indices, shape (3, n)."""
    sd = _SURFACE_MM / VOXEL_MM
    # What the filter sees from the voxels around the places: it is cut off at four deviations.
    margin = int(np.ceil(4 * sd)) + 1
    low = np.clip(np.floor(index.min(axis=1)).astype(int) - margin, 0, outside.shape)
    high = np.clip(np.ceil(index.max(axis=1)).astype(int) + margin + 1, low, outside.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    if (low == high).any():
        return np.zeros(index.shape[1])
    smooth = 1 - gaussian_filter(outside[box], sd)
    return map_coordinates(smooth, index - low[:, None], order=1, mode='constant')
