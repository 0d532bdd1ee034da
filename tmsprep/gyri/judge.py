"""Which gyrus a point lies in, how deep below its crown, and whether it is the expected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import map_coordinates

from tmsprep.evaluation.status import GYRUS_UNKNOWN, WRONG_GYRUS
from tmsprep.gyri.crown import crown_level
from tmsprep.gyri.frame import SIDES, VOXEL_MM
from tmsprep.gyri.labels import GYRI, NAMES, OTHER_CORTEX
from tmsprep.gyri.limits import Limits
from tmsprep.gyri.probabilities import Parcellation

#: A point is judged by the cortex within this distance, nearer parts counting more: it may lie a
#: millimetre beside the ribbon of grey matter, in white matter or fluid.
BALL_MM = 4.0

#: Standard deviation of the weights of that cortex.
_WEIGHT_MM = 2.0

#: Standard deviation of the kernel that measures where the crown of a gyrus lies, see
#: `crown_level`, and the radius at which it is cut off: wide enough that a point at the bottom of
#: a sulcus is measured from the crown beside it.
_CROWN_MM, _CROWN_REACH_MM = 10.0, 25.0

#: Gyri inside the Sylvian fissure, whose crowns face upwards instead of the hull of the brain.
_FACING_UP = ('transverse temporal gyrus', 'planum temporale', 'planum polare')

_CORTEX = (*GYRI, OTHER_CORTEX)
_CORTEX_INDEX = [NAMES.index(name) for name in _CORTEX]
_SIDE_WORDS = {'L': 'left', 'R': 'right'}


@dataclass(frozen=True)
class Place:
    """Where a point lies.

    Parameters
    ----------
    gyrus : str
        Name of the gyrus, one of `GYRI` or `OTHER_CORTEX`; '' where there is no cortex.
    side : str
        'L' or 'R'; '' without a gyrus.
    probability : float
        Of that gyrus, 0 to 1; NaN outside of both grids.
    expected_probability : float
        The same of the expected gyrus; NaN if none is expected.
    depth_mm : float
        Below the crown of the gyrus, 0 above it; NaN without a gyrus.
    distance_mm : float
        From the expected gyrus, 0 in it; NaN if none is expected, or it is nowhere.
    """

    gyrus: str
    side: str
    probability: float
    expected_probability: float
    depth_mm: float
    distance_mm: float

    @property
    def name(self) -> str:
        """Side and gyrus in words; '' where there is no cortex."""
        return f'{_SIDE_WORDS[self.side]} {self.gyrus}' if self.gyrus else ''


#: Of a point of which nothing is known.
NOWHERE = Place('', '', *[float('nan')] * 4)


def place_points(
    parcellation: Parcellation | None,
    points: np.ndarray,
    expected: Sequence[tuple[str, str]],
) -> list[Place]:
    """Find the gyrus that each point lies in.

    Both hemispheres are looked at: a point beyond the midline lies in a gyrus of the other one.

    Parameters
    ----------
    parcellation : Parcellation or None
        Of the image; None if it has none, then nothing is known of any point.
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+, scanner frame; NaN where missing.
    expected : sequence of tuple
        For each point the side ('L', 'R'; else either) and the gyrus where it should lie ('' if it
        may lie anywhere).

    Returns
    -------
    list of Place
        One per point.
    """
    places = [NOWHERE] * len(points)
    found = np.isfinite(points).all(axis=1)
    if parcellation is None or not found.any():
        return places
    shares = _shares(parcellation, points[found])
    for i, own in zip(np.flatnonzero(found), shares, strict=True):
        places[i] = _place(parcellation, points[i], own, expected[i])
    return places


def doubt(place: Place, expected: tuple[str, str], limits: Limits) -> str:
    """Say what is doubtful about a point: `WRONG_GYRUS`, `GYRUS_UNKNOWN`, or '' if nothing is.

    Parameters
    ----------
    place : Place
        Of a point that was found.
    expected : tuple of str
        Side and gyrus where it should lie; nothing is doubtful if the gyrus is ''.
    limits : Limits
        Of the network.
    """
    if not expected[1] or place.expected_probability >= limits.sure:
        return ''
    if np.isnan(place.expected_probability) or np.isnan(place.distance_mm):
        return GYRUS_UNKNOWN
    elsewhere = (
        place.probability >= limits.other if place.gyrus else place.distance_mm > limits.far_mm
    )
    wrong = elsewhere and place.expected_probability < limits.wrong
    return WRONG_GYRUS if wrong else GYRUS_UNKNOWN


def _shares(parcellation: Parcellation, points: np.ndarray) -> np.ndarray:
    """Share of the ball around each point that each gyrus fills, seen from each side.

    Shape (n, 2, gyri); NaN where the ball lies outside of the grid.
    """
    steps = np.arange(-BALL_MM, BALL_MM + 1)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), axis=-1).reshape(-1, 3)
    away = np.square(offsets).sum(axis=1)
    inside = away <= BALL_MM**2
    offsets, weights = offsets[inside], np.exp(-away[inside] / (2 * _WEIGHT_MM**2))
    positions = (points[:, None] + offsets).reshape(-1, 3)
    seen = []
    for side in SIDES:
        shares = parcellation.at(side, positions)[:, _CORTEX_INDEX]
        shares = shares.reshape(len(points), len(offsets), -1)
        within = np.isfinite(shares) * weights[:, None]
        total = within.sum(axis=1)
        # Where half of the ball is outside, the point itself is.
        total[total < weights.sum() / 2] = np.nan
        seen.append((np.nan_to_num(shares) * within).sum(axis=1) / total)
    return np.stack(seen, axis=1)


def _place(
    parcellation: Parcellation,
    point: np.ndarray,
    shares: np.ndarray,
    expected: tuple[str, str],
) -> Place:
    """Name the gyrus of one point by the shares of the ball around it, shape (2, gyri)."""
    if np.isnan(shares).all():
        return NOWHERE
    shares = np.nan_to_num(shares)
    cortex, least = float(shares.sum()), parcellation.limits.cortex
    # Where there is little cortex, a trace of a gyrus is no certainty.
    shares = shares / max(cortex, least)
    side, index = np.unravel_index(shares.argmax(), shares.shape)
    chance, distance = np.nan, np.nan
    if expected[1]:
        wanted = [expected[0]] if expected[0] in SIDES else SIDES
        column = shares[:, _CORTEX.index(expected[1])]
        chance = sum(float(column[SIDES.index(one)]) for one in wanted)
        distance = _distance(parcellation, point, wanted, expected[1])
    probability = float(shares.max())
    if cortex < least:
        return Place('', '', probability, chance, np.nan, distance)
    gyrus, where = _CORTEX[index], SIDES[side]
    depth = _depth(parcellation, point, where, gyrus)
    return Place(gyrus, where, probability, chance, depth, distance)


def _distance(
    parcellation: Parcellation, point: np.ndarray, sides: Sequence[str], gyrus: str
) -> float:
    """Distance of a point from voxels that are more likely than not a gyrus; NaN if none is."""
    nearest = np.nan
    for side in sides:
        affine = parcellation.affines[side]
        voxels = _voxels(parcellation.probabilities[side][NAMES.index(gyrus)])
        if len(voxels):
            nearest = np.fmin(nearest, face_distances(voxels, affine, point).min())
    return float(nearest)


def face_distances(voxels: np.ndarray, affine: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Distance of a point from voxels, from their faces rather than their centres; 0 inside.

    Parameters
    ----------
    voxels : numpy.ndarray
        Shape (n, 3), voxel indices.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    point : numpy.ndarray
        Shape (3,), mm, RAS+.

    Examples
    --------
    >>> voxels = np.array([[0, 0, 0], [3, 0, 0]])
    >>> face_distances(voxels, np.diag([2.0, 2, 2, 1]), np.array([2.0, 0, 0.9])).tolist()
    [1.0, 3.0]
    """
    index = apply_affine(np.linalg.inv(affine), point)
    away = np.maximum(np.abs(voxels - index) - 0.5, 0) * voxel_sizes(affine)
    return np.linalg.norm(away, axis=1)


def _depth(parcellation: Parcellation, point: np.ndarray, side: str, gyrus: str) -> float:
    """Depth of a point below the surface of the outermost tenth of a gyrus around it, mm."""
    affine = parcellation.affines[side]
    share = parcellation.probabilities[side][NAMES.index(gyrus)]
    facing_up = gyrus in _FACING_UP
    depths = parcellation.height_depths(side) if facing_up else parcellation.hull_depths[side]
    voxels = _voxels(share)
    places = apply_affine(affine, voxels)
    near = np.linalg.norm(places - point, axis=1) < _CROWN_REACH_MM
    if not near.any():
        return float('nan')
    voxels, places = voxels[near], places[near]
    index = tuple(voxels.T)
    level = crown_level(places, share[index], depths[index], point, _CROWN_MM)
    where = apply_affine(np.linalg.inv(affine), point)[:, None]
    own = float(map_coordinates(depths, where, order=1, mode='nearest')[0])
    # The level is that of the centres of voxels.
    return max(own - level + VOXEL_MM / 2, 0.0)


def _voxels(share: np.ndarray) -> np.ndarray:
    """Voxels that are more likely than not a gyrus, shape (n, 3); faster than `numpy.argwhere`."""
    return np.stack(np.unravel_index(np.flatnonzero(share > 0.5), share.shape), axis=1)
