"""Rods with soft edges: nuclei, vessels and ribbons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

#: Distance from an end at which the signal falls from half to a quarter, mm.
_END_MM = 0.35

#: How much thinner the ends are than the middle.
_THIN_END = 0.6

#: Distance of the points whose mean is the signal of a voxel, mm; at least two along each edge.
_PART_MM = 1.0


@dataclass(frozen=True, eq=False)
class Rod:
    """A rod with a bent axis, an elliptic section and soft edges.

    Along its axis ``u`` runs from -1 (lower end) to 1 (upper end); the middle lies `bend` off the
    chord. Strength is 1 on the axis in the middle and 0.5 on the surface and at the ends (of what
    is left there).

    Parameters
    ----------
    centre : numpy.ndarray
        Middle of the chord, shape (3,), mm, RAS+.
    axes : numpy.ndarray
        Shape (3, 3), rows: unit vectors along the rod and along both widths.
    length : float
        Between the ends, mm.
    widths : tuple of float
        Full widths of the section in the middle, mm.
    bend : tuple of float
        Distance of the middle of the axis from the chord along both widths, mm.
    ends : tuple of float
        Share of the strength at the lower and upper end.
    """

    centre: np.ndarray
    axes: np.ndarray
    length: float
    widths: tuple[float, float]
    bend: tuple[float, float] = (0.0, 0.0)
    ends: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def between(
        cls, ends: np.ndarray, widths: tuple[float, float], across: np.ndarray, bend: float = 0.0
    ) -> Rod:
        """Rod between two points, shape (2, 3); its first width lies towards `across`."""
        chord = ends[1] - ends[0]
        length = float(np.linalg.norm(chord))
        return cls(ends.mean(axis=0), frame(chord, across), length, widths, (bend, 0.0))

    def line(self, nodes: int = 25) -> np.ndarray:
        """Points of the axis, shape (nodes, 3), from the lower to the upper end, mm."""
        u = np.linspace(-1, 1, nodes)[:, None]
        sideways = (1 - u**2) * (np.array(self.bend) @ self.axes[1:])
        return self.centre + u * self.length / 2 * self.axes[0] + sideways

    @property
    def centroid(self) -> np.ndarray:
        """Centre of mass of the shape, shape (3,), mm; strength does not weigh."""
        line = self.line(101)
        return np.average(line, axis=0, weights=_taper(np.linspace(-1, 1, 101) ** 2) ** 2)

    def coordinates(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``u``, and the distance from the axis, 1 on the surface, of points, shape (..., 3)."""
        return self._coordinates(np.moveaxis((points - self.centre) @ self.axes.T, -1, 0))

    def _coordinates(self, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do the same from distances along the three axes, shape (3, ...)."""
        u = own[0] * (2 / self.length)
        squared = np.minimum(u * u, 1)
        arch = 1 - squared
        first = (own[1] - arch * self.bend[0]) * (2 / self.widths[0])
        second = (own[2] - arch * self.bend[1]) * (2 / self.widths[1])
        return u, np.sqrt(first * first + second * second) / _taper(squared)

    def strength(self, u: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Strength at coordinates as `coordinates` gives them: 0 to 1."""
        beyond = (np.abs(u) - 1) * (self.length / 2 / _END_MM)
        end = 1 / (1 + np.exp2(np.minimum(beyond, 30)))
        lower, upper = self.ends
        left = 1 - np.where(u > 0, 1 - upper, 1 - lower) * np.minimum(u * u, 1)
        squared = np.minimum(across, 3.0) ** 2
        return left * end * np.exp2(-squared * squared)

    def shares(
        self, shape: tuple[int, ...], affine: np.ndarray
    ) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
        """Strength in the voxels around the rod, and the share of each that is inside of it.

        Parameters
        ----------
        shape : tuple of int
            Voxels of the grid.
        affine : numpy.ndarray
            Shape (4, 4), voxel indices to mm, RAS+.

        Returns
        -------
        tuple
            Box of voxels, and two arrays of its shape.
        """
        inverse = np.linalg.inv(affine)
        voxels = apply_affine(inverse, self.line())
        margin = np.ceil((max(self.widths) + 1) / voxel_sizes(affine).min()) + 1
        low = np.floor(voxels.min(axis=0) - margin).astype(int).clip(0, shape)
        high = np.ceil(voxels.max(axis=0) + margin + 1).astype(int).clip(0, shape)
        box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
        size = float(voxel_sizes(affine).max())
        count = max(2, int(np.ceil(size / _PART_MM)))
        parts = (np.arange(count) + 0.5) / count - 0.5
        own = self._own(box, affine)
        u, across = self._coordinates(own)
        # Where the strength is under 1 %, but for half the diagonal of a voxel.
        reach = 1.6 + 1.75 * size / min(self.widths)
        across *= _taper(np.minimum(u * u, 1))
        near = (across < reach) & (np.abs(u) < 1 + 2 * (2 + size) / self.length)
        strength, inside = np.zeros(near.shape, np.float32), np.zeros(near.shape, np.float32)
        kept = own[:, near]
        turned = (self.axes @ affine[:3, :3]).astype(np.float32)
        for part in product(parts, repeat=3):
            u, across = self._coordinates(kept + (turned @ np.float32(part))[:, None])
            strength[near] += self.strength(u, across)
            inside[near] += (np.abs(u) <= 1) & (across <= 1)
        return box, strength / count**3, inside / count**3

    def _own(self, box: tuple[slice, ...], affine: np.ndarray) -> np.ndarray:
        """Distances of the voxels of a box from the middle along the three axes, (3, ...), mm."""
        turned = self.axes @ affine[:3, :3]
        start = self.axes @ (affine[:3, 3] - self.centre)
        steps = [np.arange(s.start, s.stop, dtype=np.float32) for s in box]
        return np.stack(
            [
                np.float32(start[axis])
                + np.float32(turned[axis, 0]) * steps[0][:, None, None]
                + np.float32(turned[axis, 1]) * steps[1][:, None]
                + np.float32(turned[axis, 2]) * steps[2]
                for axis in range(3)
            ]
        )


def _taper(squared: np.ndarray) -> np.ndarray:
    """Thickness along the rod, 1 in the middle, at ``u`` squared, 1 at most."""
    return 1 - _THIN_END * squared * squared


def frame(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Three unit vectors, rows: along, the part of `across` square to it, and their product."""
    first = along / np.linalg.norm(along)
    second = across - first * (across @ first)
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])
