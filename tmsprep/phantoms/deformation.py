"""A smooth map from the template to an individual head that is invertible by construction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

#: Upper bound of the displacement's change per mm: below 1 the map cannot fold, and below 0.5
#: every step of the inversion at least halves the error.
LIPSCHITZ = 0.4

#: Largest slope of a Gaussian of height 1 and width 1: exp(-1/2).
_STEEPEST = np.exp(-0.5)

#: Centroid of the template's brain, mm, RAS+: the fixed point of rotation and scaling.
BRAIN_CENTRE = np.array([0.0, -22.0, 9.5])


@dataclass(frozen=True, eq=False)
class SmoothMap:
    """Map from the template to one head: Gaussian displacements, then an affine.

    ``forward(x) = A(x + sum_k d_k exp(-|x - c_k|^2 / (2 s_k^2)))``

    Parameters
    ----------
    affine : numpy.ndarray
        The matrix of A, shape (4, 4), mm, RAS+, template to scanner.
    centres : numpy.ndarray
        c, shape (k, 3), mm, RAS+ of the template.
    displacements : numpy.ndarray
        d, shape (k, 3), mm.
    widths : numpy.ndarray
        s, shape (k,), mm.

    Raises
    ------
    ValueError
        If the displacements are too steep for the map to be certainly invertible.
    """

    affine: np.ndarray
    centres: np.ndarray
    displacements: np.ndarray
    widths: np.ndarray

    def __post_init__(self) -> None:
        steepness = _steepness(self.displacements, self.widths)
        if steepness > LIPSCHITZ * (1 + 1e-9):
            raise ValueError(f'displacements change by up to {steepness:.2f} mm per mm')

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """Sum of the Gaussian displacements at template points, shape (n, 3), mm."""
        squared = (
            np.sum(points**2, axis=1)[:, None]
            - 2 * points @ self.centres.T
            + np.sum(self.centres**2, axis=1)
        )  # (n, k)
        return np.exp(-squared / (2 * self.widths**2)) @ self.displacements

    def forward(self, points: np.ndarray) -> np.ndarray:
        """Template points to points of the head, shape (n, 3), mm, RAS+; exact."""
        return apply_affine(self.affine, points + self.displacement(points))

    def inverse(self, points: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
        """Points of the head to template points, shape (n, 3), mm, RAS+.

        The fixed-point iteration x <- A^-1(y) - displacement(x) reduces the error by a factor of
        `LIPSCHITZ` or less in each step; it stops when no point moves more than `tolerance` mm.
        """
        target = apply_affine(np.linalg.inv(self.affine), points)
        found, step = target, np.inf
        while step > tolerance:
            closer = target - self.displacement(found)
            step = np.abs(closer - found).max(initial=0.0)
            found = closer
        return found


def random_map(seed: int, *, bumps: int = 6) -> SmoothMap:
    """Draw the map of one head.

    The template's brain is larger than most (1.9 litres), hence scales of 0.86 to 1.02, which give
    the 1.2 to 1.7 litres of adults; rotations are up to 5 degrees about each axis, shifts up to 15
    mm, displacements 2 to 5 mm high and 20 to 35 mm wide.

    Parameters
    ----------
    seed : int
        Random seed; the same seed gives the same map.
    bumps : int
        Number of Gaussian displacements.
    """
    rng = np.random.default_rng([seed, 1])
    centres = BRAIN_CENTRE + rng.uniform(-1, 1, (bumps, 3)) * [60, 75, 60]
    directions = rng.standard_normal((bumps, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    displacements = directions * rng.uniform(2, 5, (bumps, 1))
    widths = rng.uniform(20, 35, bumps)
    displacements *= min(1.0, LIPSCHITZ / _steepness(displacements, widths))
    return SmoothMap(_random_affine(rng), centres, displacements, widths)


def _random_affine(rng: np.random.Generator) -> np.ndarray:
    """Draw rotation, scaling and shift about the brain's centre, shape (4, 4)."""
    rotation = Rotation.from_euler('xyz', rng.uniform(-5, 5, 3), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(rng.uniform([0.86, 0.92, 0.87], [0.96, 1.02, 0.97]))
    shift = rng.uniform(-1, 1, 3) * 15 / np.sqrt(3)
    affine[:3, 3] = BRAIN_CENTRE + shift - affine[:3, :3] @ BRAIN_CENTRE
    return affine


def _steepness(displacements: np.ndarray, widths: np.ndarray) -> float:
    """Upper bound of the displacement's Lipschitz constant."""
    return float(np.sum(_STEEPEST * np.linalg.norm(displacements, axis=1) / widths))
