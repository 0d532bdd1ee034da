"""Move points to the middle of the grey matter of the gyrus in which they are expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from tmsprep.gyri.frame import SIDES
from tmsprep.gyri.labels import NAMES
from tmsprep.gyri.probabilities import Parcellation

#: No point is moved further than this, mm.
REACH_MM = 5.0

#: mm between the places that are looked at: finer than what the network's voxels of 2 mm tell.
_STEP_MM = 0.5

#: A gyrus of which no place within reach has this probability is not there: the point stays.
_LEAST = 0.3

#: Probability below which places differ no more, so that far from the gyrus the distance decides.
_FLOOR = 1e-3


def settle(
    parcellation: Parcellation | None,
    points: np.ndarray,
    expected: Sequence[tuple[str, str]],
    sd_mm: float,
) -> np.ndarray:
    """Move each point to the most probable place, given how far points are usually off.

    The place maximises ``log p(x) - |x - point|^2 / (2 sd_mm^2)``, where p is the probability that
    x lies in the expected gyrus: with points that are normally distributed around their true
    places, and these equally frequent throughout the gyrus, that is the maximum a posteriori. In
    the middle of the ribbon p is highest, so a point that is a millimetre beside it comes back.

    Parameters
    ----------
    parcellation : Parcellation or None
        Of the image; without one nothing moves.
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+, scanner frame; NaN where missing.
    expected : sequence of tuple
        Side ('L', 'R') and gyrus of each point; a point moves only if both are given.
    sd_mm : float
        How far points are off along each axis, mm; above 0.

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
        share = parcellation.probabilities[side][NAMES.index(gyrus)]
        chance = map_coordinates(share, index, order=1, mode='constant')
        if chance.max() >= _LEAST:
            moved[i] = places[np.argmax(np.log(chance + _FLOOR) - penalty)]
    return moved
