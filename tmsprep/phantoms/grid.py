"""The voxel grid of a scan, and a template-space volume sampled on it."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from tmsprep.phantoms.deformation import SmoothMap

# How far the interpolated inverse may be from the true one, mm. Our choice.
MAX_RESIDUAL = 0.01

# Distance of the places where the inverse is found by iteration, mm; between them it is a cubic
# spline, which is exact enough because the map's bumps are at least 20 mm wide. Our choice.
_NODE_SPACING = 4.0

# World axis and sign of nibabel's letters.
_AXES = {'R': (0, 1), 'L': (0, -1), 'A': (1, 1), 'P': (1, -1), 'S': (2, 1), 'I': (2, -1)}


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and affine (mm, RAS+) of an image."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @classmethod
    def around(
        cls,
        centre: np.ndarray,
        *,
        fov: tuple[float, float, float],
        voxel_size: tuple[float, float, float],
        axcodes: str = 'RAS',
        oblique: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Grid:
        """Lay a grid around a point.

        Parameters
        ----------
        centre : numpy.ndarray
            Middle of the field of view, shape (3,), mm, RAS+.
        fov : tuple of float
            Extent from left to right, back to front and bottom to top, mm.
        voxel_size : tuple of float
            Along the axes of the array, in the order of `axcodes`, mm.
        axcodes : str
            Three letters such as 'RAS' or 'PSR': where each axis of the array runs to.
        oblique : tuple of float
            Rotation of the grid about the scanner's x, y and z axes, degrees.

        Raises
        ------
        ValueError
            If `axcodes` does not name three axes, or a voxel size is not positive.
        """
        if min(voxel_size) <= 0:
            raise ValueError(f'voxel sizes must be positive, not {voxel_size}')
        axes = [_AXES.get(code, (None, 0))[0] for code in axcodes]
        if sorted(axes, key=str) != [0, 1, 2]:
            raise ValueError(f'{axcodes!r} does not name three axes, as RAS and PSR do')
        signs = [_AXES[code][1] for code in axcodes]
        directions = np.eye(3)[:, axes] * signs * voxel_size
        shape = tuple(round(fov[axis] / size) for axis, size in zip(axes, voxel_size, strict=True))
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler('xyz', oblique, degrees=True).as_matrix() @ directions
        affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        return cls(shape, affine)

    def world(self, first: int, last: int) -> np.ndarray:
        """Centres of the voxels of slabs `first` to `last` - 1 of axis 0, (n, 3), mm, RAS+."""
        slabs = np.mgrid[first:last, 0 : self.shape[1], 0 : self.shape[2]].reshape(3, -1)
        return slabs.T @ self.affine[:3, :3].T + self.affine[:3, 3]


def template_places(mapping: SmoothMap, grid: Grid) -> np.ndarray:
    """Where in the template each voxel of the grid comes from.

    Returns
    -------
    numpy.ndarray
        Shape ``(*grid.shape, 3)``, float32, mm, RAS+ of the template.

    Raises
    ------
    RuntimeError
        If a voxel is mapped back further than `MAX_RESIDUAL` from where it is.
    """
    steps = np.maximum(1, _NODE_SPACING // nib.affines.voxel_sizes(grid.affine)).astype(int)
    nodes = [
        np.arange(-(-(size - 1) // step) + 1) * step
        for size, step in zip(grid.shape, steps, strict=True)
    ]
    voxels = np.stack(np.meshgrid(*nodes, indexing='ij'), axis=-1).reshape(-1, 3)
    places = mapping.inverse(nib.affines.apply_affine(grid.affine, voxels))
    places = places.astype(np.float32).reshape(*(len(n) for n in nodes), 3)
    for axis, size in enumerate(grid.shape):
        # Interpolation is linear in the values at the nodes, so it is one small matrix per axis.
        spline = make_interp_spline(nodes[axis], np.eye(len(nodes[axis])), k=3)
        weights = spline(np.arange(size)).astype(np.float32)  # (size, nodes)
        places = np.moveaxis(np.tensordot(weights, places, axes=(1, axis)), 0, axis)
    worst = inversion_residual(mapping, grid, places)
    if worst > MAX_RESIDUAL:
        raise RuntimeError(f'the head map was inverted to {worst:.3f} mm only')
    return places


def inversion_residual(mapping: SmoothMap, grid: Grid, places: np.ndarray) -> float:
    """Largest distance, mm, between a voxel and where `places` is mapped to."""
    return max(
        float(np.abs(mapping.forward(slab.reshape(-1, 3)) - grid.world(i, i + 1)).max())
        for i, slab in enumerate(places)
    )


def sample(
    volume: np.ndarray, affine: np.ndarray, places: np.ndarray, *, order: int = 3
) -> np.ndarray:
    """Values of a template-space volume at `places`, 0 outside it.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (i, j, k).
    affine : numpy.ndarray
        Of `volume`, shape (4, 4), mm, RAS+ of the template.
    places : numpy.ndarray
        Shape (..., 3), mm, RAS+ of the template.
    order : int
        Of the spline.
    """
    inverse = np.linalg.inv(affine).astype(np.float32)
    values = np.empty(places.shape[:-1], np.float32)
    for slab, out in zip(places, values, strict=True):
        voxels = slab @ inverse[:3, :3].T + inverse[:3, 3]
        map_coordinates(
            volume, np.moveaxis(voxels, -1, 0), output=out, order=order, prefilter=False
        )
    return values


def voxel_blur(grid: Grid) -> tuple[float, float, float]:
    """How much a 1 mm volume must be blurred to look as if scanned with the voxels of a grid.

    A box as wide as a voxel of v mm has a variance of v^2 / 12 mm^2; what exceeds that of the
    volume's own voxels is given as a Gaussian. Rotations of the grid are neglected.

    Returns
    -------
    tuple of float
        Standard deviation along x, y and z, mm.
    """
    sizes = nib.affines.voxel_sizes(grid.affine)
    axes = nib.orientations.io_orientation(grid.affine)[:, 0].astype(int)
    sigma = np.zeros(3)
    sigma[axes] = np.sqrt(np.maximum(sizes**2 - 1, 0) / 12)
    return tuple(sigma.round(6).tolist())
