"""Nasion, inion and preauricular points on the surface of a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull

from tmsprep.evaluation.head import MIN_POINTS
from tmsprep.evaluation.status import edge_distance
from tmsprep.imaging.similarity import similarity
from tmsprep.points import PointSet
from tmsprep.protocols.protocol import FIDUCIALS
from tmsprep.scalp.checks import CUT_MM, MISSING_MM, MeanScalp
from tmsprep.scalp.surface import HeadSurface

#: Heights above and below the expected nasion between which the root of the nose is looked for,
#: mm: from the middle of the bridge to the forehead.
NASION_WINDOW_MM = (-28.0, 32.0)

#: Least depth of the root of the nose behind the line from bridge to forehead, mm. Training
#: participants: 6 to 12.
NASION_DEPTH_MM = 3.0

#: A nasion further from the expected place is none. Training participants: up to 14 mm.
NASION_MM = 20.0

#: Scalp further inside that of the mean head is missing there, mm. Over the muscles of the neck it
#: lies up to 12 mm inside in the training participants.
_DEEP_MM = {'left': MISSING_MM, 'right': MISSING_MM, 'inion': 2 * MISSING_MM}


class NotInView(ValueError):
    """A head that does not show what is to be measured; the message says what."""


class Fiducials(NamedTuple):
    """Landmarks of the 10-20 system; each of shape (3,), mm, RAS+, on the scalp.

    Parameters
    ----------
    nasion, inion, left, right : numpy.ndarray
        Root of the nose, bump at the back, points in front of the ears.
    """

    nasion: np.ndarray
    inion: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """A place in the middle of the head, from which its surface is seen everywhere."""
        return (self.nasion + self.inion + self.left + self.right) / 4 + 20 * self.up

    @property
    def up(self) -> np.ndarray:
        """Unit vector to the top of the head."""
        up = np.cross(self.right - self.left, self.nasion - self.inion)
        return up / np.linalg.norm(up)


def find_fiducials(
    surface: HeadSurface,
    points: PointSet,
    mean: MeanScalp,
    expected: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    affine: np.ndarray,
) -> Fiducials:
    """Carry landmarks over from the mean head and find their places on a scalp.

    The nasion is the deepest point of the profile between bridge and forehead. The others have no
    such mark on the skin and are laid onto it where they lie in the mean head.

    Parameters
    ----------
    surface : HeadSurface
        Of the head.
    points : PointSet
        Targets that tell how the head lies, mm, RAS+.
    mean : MeanScalp
        Scalp of the mean head.
    expected : mapping
        Each of `tmsprep.protocols.protocol.FIDUCIALS` in its frame, shape (3,), mm.
    shape, affine : tuple of int, numpy.ndarray
        Of the image, for the edge of the field of view.

    Raises
    ------
    NotInView
        If one of them is not in the image.
    """
    given = points.reindex(mean.head.labels)
    if given.found.sum() < MIN_POINTS:
        raise NotInView('too few targets were found to tell how the head lies')
    landmarks = mean.head.landmarks[given.found]
    matrix, shift = similarity(landmarks, given.coordinates[given.found])
    rough = Fiducials(*(matrix @ np.array(expected[name]) + shift for name in FIDUCIALS))
    laid = _onto_scalp(rough, surface)
    found = Fiducials(_nasion(rough, surface), *laid[1:])
    places = PointSet(tuple(FIDUCIALS), np.array(found))
    margins = edge_distance(places, shape, affine)
    offsets = mean.offsets(places.coordinates, points)
    for name, margin, offset in zip(FIDUCIALS, margins, offsets, strict=True):
        if not margin >= CUT_MM:
            raise NotInView(f'{FIDUCIALS[name]} is not in the field of view')
        if name != 'nasion' and not offset >= -_DEEP_MM[name]:
            raise NotInView(f'no scalp is seen at {FIDUCIALS[name]}: the image is defaced or cut')
    return found


def _onto_scalp(rough: Fiducials, surface: HeadSurface) -> np.ndarray:
    """Lay landmarks onto the scalp along rays from between the ears; shape (4, 3)."""
    rays = np.array(rough) - rough.centre
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return surface.outermost(rough.centre, rays)


def _nasion(rough: Fiducials, surface: HeadSurface) -> np.ndarray:
    """Find the deepest point of the profile behind the line from the bridge to the forehead."""
    across = rough.right - rough.left
    across /= np.linalg.norm(across)
    forwards = np.cross(rough.up, across)
    origin = rough.nasion - 80 * forwards
    angles = np.radians(np.arange(-35, 35.1, 0.5))
    rays = np.outer(np.cos(angles), forwards) + np.outer(np.sin(angles), rough.up)
    # Three neighbouring profiles, so that no voxel of skin decides.
    sides = [surface.outermost(origin + x * across, rays) - x * across for x in (-2, 0, 2)]
    profile = np.mean(sides, axis=0)
    flat = (profile - rough.nasion) @ np.stack([forwards, rough.up], axis=1)
    low, high = NASION_WINDOW_MM
    seen = np.isfinite(flat).all(axis=1) & (flat[:, 1] > low) & (flat[:, 1] < high)
    missing = NotInView('the root of the nose is not seen: the image is defaced or cut')
    if seen.sum() < 20:
        raise missing
    profile, flat = profile[seen], flat[seen]
    facets = ConvexHull(flat).equations
    front = facets[facets[:, 0] > 1e-6]
    depth = (-(flat @ front[:, :2].T + front[:, 2]) / front[:, 0]).min(axis=1)
    deepest = int(depth.argmax())
    if depth[deepest] < NASION_DEPTH_MM or np.linalg.norm(flat[deepest]) > NASION_MM:
        raise missing
    return profile[deepest]
