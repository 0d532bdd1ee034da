"""The outer surface of the head in a T1w image: points, normals, and the edge along a ray."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from tmsprep.imaging.volume import halve
from tmsprep.scalp.mask import PAD, head_mask, tissue_threshold

#: Smoothing of the mask before its surface is drawn, voxels of 2 mm.
SMOOTHING = 1.5

#: Radius of the patch of scalp to which a coil is tangential, mm: about that of the middle of a
#: coil, which does not follow wrinkles.
NORMAL_MM = 10.0

#: Radius of the bundle of rays along which the edge of the scalp is measured, mm.
BUNDLE_MM = 2.0

#: Skin is seen this far inside of where tissue begins, mm: it is 2 to 3 mm thick, and an edge is
#: blurred over a voxel.
SKIN_MM = 2.0

#: The edge is looked for so far outside and inside of the drawn surface, mm.
REACH_MM = 6.0

#: An edge further than this from the middle of those around it is that of an ear, a strap or hair,
#: mm: on a ball of 50 mm, edges are 1 mm apart.
_STEPS_OUT_MM = 3.0

#: So many edges of 13 tell how the scalp lies.
_FEWEST_EDGES = 8

#: Length of a ray from the middle of the head, mm.
RAY_MM = 180.0

#: Distance of samples along a ray, mm.
_STEP_MM = 0.5


@dataclass(frozen=True, eq=False)
class HeadSurface:
    """The outer surface of a head.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+: where edges of a grid of 2 mm cross the surface (the vertices of
        marching cubes).
    normals : numpy.ndarray
        Shape (n, 3), unit, outwards.
    voxels, affine : numpy.ndarray
        The conformed image, 1 mm, in which edges are measured.
    threshold : float
        Intensity from which on a voxel is tissue, not air.
    field, field_affine : numpy.ndarray
        The smoothed mask, 2 mm, whose middle level the surface is.
    volume_ml : float
        Of the head in the field of view.
    """

    points: np.ndarray
    normals: np.ndarray
    voxels: np.ndarray
    affine: np.ndarray
    threshold: float
    field: np.ndarray
    field_affine: np.ndarray
    volume_ml: float

    @cached_property
    def tree(self) -> cKDTree:
        """The points, indexed by place."""
        return cKDTree(self.points)

    def nearest(self, place: np.ndarray) -> np.ndarray:
        """Point of the surface nearest to a place, shape (3,), mm, RAS+."""
        return self.points[self.tree.query(place)[1]]

    def normal(self, place: np.ndarray, radius_mm: float = NORMAL_MM) -> np.ndarray:
        """Outward normal of the plane through the surface around a place, shape (3,), unit.

        Parameters
        ----------
        place : numpy.ndarray
            Shape (3,), mm, RAS+, near the surface.
        radius_mm : float
            Of the ball in which the plane is fitted, by least squares.
        """
        near = self.tree.query_ball_point(place, radius_mm)
        if len(near) < 3:
            return self.normals[self.tree.query(place)[1]]
        _, axes = np.linalg.eigh(np.cov(self.points[near].T))
        outwards = self.normals[near].sum(axis=0) @ axes[:, 0]
        return axes[:, 0] * np.copysign(1.0, outwards)

    def bend(self, place: np.ndarray, radius_mm: float) -> float:
        """Distance of the surface around a place from the plane through it, RMS, mm.

        Parameters
        ----------
        place, radius_mm
            As for `normal`.

        Returns
        -------
        float
            Within 20 mm, 0.6 on a ball of 90 mm, but 0.5 where it touches a plane of the grid,
            whose steps are 2 mm; NaN without a surface.
        """
        near = self.tree.query_ball_point(place, radius_mm)
        if len(near) < 3:
            return np.nan
        return float(np.sqrt(max(np.linalg.eigvalsh(np.cov(self.points[near].T))[0], 0.0)))

    def edges(self, places: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Move places along a normal to the edge of the scalp in the image, shape (n, 3), mm.

        The edge is where a bundle of rays from outside passes the middle between air and skin,
        whatever the gain of the coil is there and whatever lies below.

        Parameters
        ----------
        places : numpy.ndarray
            Shape (n, 3), mm, RAS+, near the drawn surface.
        normal : numpy.ndarray
            Shape (3,), unit, outwards.

        Returns
        -------
        numpy.ndarray
            Shape (n, 3), mm, RAS+; NaN where there is no edge within `REACH_MM`.
        """
        along = np.arange(REACH_MM, -REACH_MM - _STEP_MM / 2, -_STEP_MM)
        rays = (
            places[:, None, None] + _ring(normal, BUNDLE_MM, 6)[:, None] + along[:, None] * normal
        )
        voxel = np.moveaxis(apply_affine(np.linalg.inv(self.affine), rays), -1, 0)
        profiles = map_coordinates(self.voxels, voxel, order=1).mean(axis=1)
        heights = np.array([self._edge_height(profile, along) for profile in profiles])
        return places + heights[:, None] * normal

    def _edge_height(self, profile: np.ndarray, along: np.ndarray) -> float:
        """Find the edge in one profile from outside to inside, at the heights `along`."""
        onset = int(np.argmax(profile >= self.threshold))
        if onset == 0:
            return np.nan
        skin = profile[min(onset + round(SKIN_MM / _STEP_MM), len(profile) - 1)]
        level = (profile[along >= REACH_MM - 2].mean() + skin) / 2
        first = max(int(np.argmax(profile >= level)), 1)
        before, after = profile[first - 1], profile[first]
        return float(along[first - 1] - (level - before) / (after - before) * _STEP_MM)

    def touching_normal(self, place: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Outward normal of the plane through the edges of the scalp around a place, shape (3,).

        More exact than `normal`, whose surface has the steps of a grid of 2 mm.

        Parameters
        ----------
        place, normal : numpy.ndarray
            Shape (3,): near the surface, and its rough normal.
        """
        ring = _ring(normal, NORMAL_MM, 12)
        edges = self.edges(place + ring, normal)
        heights = (edges - place) @ normal
        if np.isfinite(heights).sum() < _FEWEST_EDGES:
            return normal
        near = np.abs(heights - np.nanmedian(heights)) < _STEPS_OUT_MM
        if near.sum() < _FEWEST_EDGES:
            return normal
        design = np.column_stack([ring[near], np.ones(near.sum())])
        slope = np.linalg.lstsq(design, heights[near], rcond=None)[0][:3]
        tilted = normal - (slope - normal * (slope @ normal))
        return tilted / np.linalg.norm(tilted)

    def outermost(self, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Where rays from a place inside the head leave it for good.

        Parameters
        ----------
        origin : numpy.ndarray
            Shape (3,), mm, RAS+.
        directions : numpy.ndarray
            Shape (n, 3), unit.

        Returns
        -------
        numpy.ndarray
            Shape (n, 3), mm, RAS+; NaN for a ray that is in the head nowhere.
        """
        reach = np.arange(0.0, RAY_MM)
        rays = origin + reach[:, None, None] * directions
        voxel = np.moveaxis(apply_affine(np.linalg.inv(self.field_affine), rays), -1, 0)
        seen = map_coordinates(self.field, voxel, order=1) - 0.5
        inside = seen > 0
        last = len(reach) - 1 - np.argmax(inside[::-1], axis=0)
        column = np.arange(len(directions))
        high, low = seen[last, column], seen[np.minimum(last + 1, len(reach) - 1), column]
        with np.errstate(invalid='ignore', divide='ignore'):
            length = np.where(inside.any(axis=0), reach[last] + high / (high - low), np.nan)
        return origin + length[:, None] * directions


def _ring(normal: np.ndarray, radius: float, count: int) -> np.ndarray:
    """Offsets in a plane, shape (count + 1, 3), mm: one in the middle of a ring."""
    first = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    first /= np.linalg.norm(first)
    angles = np.arange(count) * 2 * np.pi / count
    around = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), np.cross(normal, first))
    return np.vstack([np.zeros(3), radius * around])


def head_surface(image: nib.Nifti1Image) -> HeadSurface:
    """Draw the surface of the head in a conformed image.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        Voxels of 1 mm, even sizes; see `tmsprep.imaging.conform`.

    Raises
    ------
    ValueError
        If the image is on another grid, or nothing is brighter than air.
    """
    if not np.allclose(np.linalg.norm(image.affine[:3, :3], axis=0), 1, atol=1e-3):
        raise ValueError('the voxels are not 1 mm large')
    voxels = np.asanyarray(image.dataobj, dtype=np.float32)
    affine = image.affine @ np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = apply_affine(image.affine, [0.5 - 2 * PAD] * 3)
    coarse = halve(voxels)
    threshold = tissue_threshold(coarse)
    mask = head_mask(coarse, threshold)
    field = gaussian_filter(mask.astype(np.float32), SMOOTHING)
    points, normals = level_points(field, affine)
    volume = float(mask.sum()) * 0.008
    return HeadSurface(points, normals, voxels, image.affine, threshold, field, affine, volume)


def level_points(
    field: np.ndarray, affine: np.ndarray, level: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Find where the edges of a grid cross a level, and the normals of the level there.

    Parameters
    ----------
    field : numpy.ndarray
        Shape (n, m, k), higher inside.
    affine : numpy.ndarray
        Shape (4, 4), voxel to mm, RAS+; any, oblique, anisotropic or left-handed.
    level : float
        The level.

    Returns
    -------
    points, normals : numpy.ndarray
        Shape (n, 3) each: mm, RAS+, and unit vectors down the field, made in world space.
    """
    inside = field > level
    points, slopes = [], []
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        here = np.argwhere(np.diff(inside, axis=axis))
        there = here + step
        low, high = field[tuple(here.T)], field[tuple(there.T)]
        share = ((level - low) / (high - low))[:, None]
        points.append(here + share * step)
        slopes.append((1 - share) * _gradient(field, here) + share * _gradient(field, there))
    # A gradient is a covector: it moves with the inverse transpose.
    normals = -np.concatenate(slopes) @ np.linalg.inv(affine[:3, :3])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return apply_affine(affine, np.concatenate(points)), normals


def _gradient(field: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Central differences at voxels, shape (n, 3), per voxel."""
    slopes = []
    for axis in range(3):
        up, down = index.copy(), index.copy()
        up[:, axis] = np.minimum(up[:, axis] + 1, field.shape[axis] - 1)
        down[:, axis] = np.maximum(down[:, axis] - 1, 0)
        slopes.append((field[tuple(up.T)] - field[tuple(down.T)]) / (up - down)[:, axis])
    return np.stack(slopes, axis=1)
