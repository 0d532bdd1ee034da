"""Curved rods, thinner at their ends, painted into volumes: nuclei and vessels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

# Nodes of a centreline: segments of about half a millimetre. Our choice.
_NODES = 25


@dataclass(frozen=True, eq=False)
class Rod:
    """A tube around a curve.

    Parameters
    ----------
    line : numpy.ndarray
        Nodes of the centreline, shape (n, 3), mm, RAS+.
    radii : numpy.ndarray
        Radius at each node, shape (n,), mm; linear between nodes.
    """

    line: np.ndarray
    radii: np.ndarray

    @classmethod
    def spindle(
        cls,
        centre: np.ndarray,
        direction: np.ndarray,
        *,
        length: float,
        thickness: float,
        bend: np.ndarray | None = None,
    ) -> Rod:
        """Make a rod that is thickest in its middle and round at its ends.

        The radius at a fraction u of the length, from -1 to 1, is
        ``thickness / 2 * sqrt(1 - u^4)``; the centreline is a parabola.

        Parameters
        ----------
        centre : numpy.ndarray
            Middle of the chord, shape (3,), mm, RAS+.
        direction : numpy.ndarray
            Unit vector of the chord, shape (3,), from node 0 to the last.
        length, thickness : float
            Of the chord, and across the middle, mm.
        bend : numpy.ndarray, optional
            Shape (3,), mm: how far the middle of the line lies from the chord.
        """
        u = np.linspace(-1, 1, _NODES)[:, None]
        line = centre + u * length / 2 * direction
        if bend is not None:
            line = line + (1 - u**2) * bend
        return cls(line, thickness / 2 * np.sqrt(1 - u[:, 0] ** 4))

    @property
    def centroid(self) -> np.ndarray:
        """Centre of mass, shape (3,), mm: the line's, weighted by the cross-section's area."""
        steps = np.linalg.norm(np.diff(self.line, axis=0), axis=1)
        lengths = np.zeros(len(self.line))
        lengths[:-1] += steps / 2
        lengths[1:] += steps / 2
        return np.average(self.line, axis=0, weights=lengths * self.radii**2)

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How deep points lie below the rod's surface, shape (n,), mm, negative outside.

        Parameters
        ----------
        points : numpy.ndarray
            Shape (n, 3), mm, RAS+.
        """
        deepest = np.full(len(points), -np.inf)
        for a, b, r, q in zip(self.line, self.line[1:], self.radii, self.radii[1:], strict=False):
            along = (points - a) @ (b - a) / np.sum((b - a) ** 2)
            along = along.clip(0, 1)
            distance = np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)
            np.maximum(deepest, r + along * (q - r) - distance, out=deepest)
        return deepest

    def paint(self, volume: np.ndarray, affine: np.ndarray, level: float) -> None:
        """Mix the rod into a volume, with an edge as wide as a voxel (partial volume).

        Parameters
        ----------
        volume : numpy.ndarray
            Shape (n, m, k), floating point; changed in place.
        affine : numpy.ndarray
            Of `volume`, shape (4, 4), mm, RAS+.
        level : float
            Signal within.
        """
        box, depth = self._near(volume.shape, affine)
        share = (depth / voxel_sizes(affine).min() + 0.5).clip(0, 1)
        volume[box] += (share * (level - volume[box])).astype(volume.dtype)

    def label(self, labels: np.ndarray, affine: np.ndarray, value: int) -> None:
        """Write a value into every voxel whose centre lies within the rod.

        Parameters
        ----------
        labels : numpy.ndarray
            Shape (n, m, k), integer; changed in place.
        affine : numpy.ndarray
            Of `labels`, shape (4, 4), mm, RAS+.
        value : int
            The label.
        """
        box, depth = self._near(labels.shape, affine)
        labels[box][depth >= 0] = value

    def _near(
        self, shape: tuple[int, ...], affine: np.ndarray
    ) -> tuple[tuple[slice, ...], np.ndarray]:
        """Box of voxels around the rod, and how deep each of them lies in it."""
        voxels = apply_affine(np.linalg.inv(affine), self.line)
        margin = np.ceil(self.radii.max() / voxel_sizes(affine).min()) + 1
        low = np.floor(voxels.min(axis=0) - margin).astype(int).clip(0, shape)
        high = np.ceil(voxels.max(axis=0) + margin + 1).astype(int).clip(0, shape)
        box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
        index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing='ij'))
        points = apply_affine(affine, index.reshape(3, -1).T)
        return box, self.depth(points).reshape(index.shape[1:])
