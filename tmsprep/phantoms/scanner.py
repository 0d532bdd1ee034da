"""A simulated scanner: its voxel grid, what it samples, its coil and its noise."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.interpolate import make_interp_spline
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from tmsprep.imaging.conform import as_image
from tmsprep.phantoms.deformation import SmoothMap

#: Signal of white matter in a stored image.
WHITE_MATTER = 1000

#: Largest accepted error of the interpolated inverse map, mm.
_MAX_RESIDUAL = 0.01

#: Distance between the points at which the inverse is found by iteration, mm. Between them it is a
#: cubic spline, which is accurate enough as the displacements are at least 20 mm wide.
_NODE_SPACING = 4.0

#: World axis and sign of nibabel's axis codes.
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
        """Make a grid around a point.

        Parameters
        ----------
        centre : numpy.ndarray
            Middle of the field of view, shape (3,), mm, RAS+.
        fov : tuple of float
            Extent from left to right, back to front and bottom to top, mm.
        voxel_size : tuple of float
            Along the axes of the array, in the order of `axcodes`, mm.
        axcodes : str
            Direction of each axis of the array, such as 'RAS' or 'PSR'.
        oblique : tuple of float
            Rotation of the grid about the scanner's x, y and z axes, degrees.

        Raises
        ------
        ValueError
            If `axcodes` does not name three axes, or a voxel size is not positive.
        """
        if min(voxel_size) <= 0:
            raise ValueError(f'voxel sizes must be positive, not {voxel_size}')
        if sorted(_AXES.get(code, (3, 0))[0] for code in axcodes) != [0, 1, 2]:
            raise ValueError(f'{axcodes!r} does not name three axes, as RAS and PSR do')
        axes = [_AXES[code][0] for code in axcodes]
        directions = np.eye(3)[:, axes] * [_AXES[code][1] for code in axcodes] * voxel_size
        i, j, k = (round(fov[axis] / size) for axis, size in zip(axes, voxel_size, strict=True))
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler('xyz', oblique, degrees=True).as_matrix() @ directions
        affine[:3, 3] = centre - affine[:3, :3] @ ((np.array([i, j, k]) - 1) / 2)
        return cls((i, j, k), affine)

    def world(self, first: int, last: int) -> np.ndarray:
        """Voxel centres of the slabs `first` to `last` - 1 of axis 0, (n, 3), mm, RAS+."""
        slabs = np.mgrid[first:last, 0 : self.shape[1], 0 : self.shape[2]].reshape(3, -1)
        return apply_affine(self.affine, slabs.T)


def template_places(mapping: SmoothMap, grid: Grid) -> np.ndarray:
    """Return the point of the template that is seen in each voxel of a grid.

    Returns
    -------
    numpy.ndarray
        Shape ``(*grid.shape, 3)``, float32, mm, RAS+ of the template.

    Raises
    ------
    RuntimeError
        If the map takes one of them further than 0.01 mm away from its voxel.
    """
    steps = np.maximum(1, _NODE_SPACING // voxel_sizes(grid.affine)).astype(int)
    nodes = [
        np.arange(-(-(size - 1) // step) + 1) * step
        for size, step in zip(grid.shape, steps, strict=True)
    ]
    voxels = np.stack(np.meshgrid(*nodes, indexing='ij'), axis=-1).reshape(-1, 3)
    places = mapping.inverse(apply_affine(grid.affine, voxels))
    places = places.astype(np.float32).reshape(*(len(n) for n in nodes), 3)
    for axis, size in enumerate(grid.shape):
        # Interpolation is linear in the values at the nodes, so it is one small matrix per axis.
        spline = make_interp_spline(nodes[axis], np.eye(len(nodes[axis])), k=3)
        weights = spline(np.arange(size)).astype(np.float32)  # (size, nodes)
        places = np.moveaxis(np.tensordot(weights, places, axes=(1, axis)), 0, axis)
    worst = inversion_residual(mapping, grid, places)
    if worst > _MAX_RESIDUAL:
        raise RuntimeError(f'the map was inverted with an error of {worst:.3f} mm')
    return places


def inversion_residual(mapping: SmoothMap, grid: Grid, places: np.ndarray) -> float:
    """Return the largest distance, mm, between a voxel and its place moved by the map."""
    return max(
        float(np.abs(mapping.forward(slab.reshape(-1, 3)) - grid.world(i, i + 1)).max())
        for i, slab in enumerate(places)
    )


def sample(
    volume: np.ndarray, affine: np.ndarray, places: np.ndarray, *, order: int = 3
) -> np.ndarray:
    """Return the values of a volume in template space at `places`, 0 outside it.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (i, j, k); spline coefficients if `order` is over 1.
    affine : numpy.ndarray
        Of `volume`, shape (4, 4), mm, RAS+ of the template.
    places : numpy.ndarray
        Shape (..., 3), mm, RAS+ of the template.
    order : int
        Order of the spline.
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
    """Return the blur that makes a 1 mm volume look as if scanned with the voxels of a grid.

    A box as wide as a voxel of v mm has a variance of v^2 / 12 mm^2; what exceeds that of the
    volume's own voxels becomes a Gaussian. Rotations of the grid are neglected.

    Returns
    -------
    tuple of float
        Standard deviation along x, y and z, mm.
    """
    sizes = voxel_sizes(grid.affine)
    axes = nib.orientations.io_orientation(grid.affine)[:, 0].astype(int)
    sigma = np.zeros(3)
    sigma[axes] = np.sqrt(np.maximum(sizes**2 - 1, 0) / 12)
    x, y, z = sigma.round(6).tolist()
    return x, y, z


def coil_sensitivity(
    grid: Grid, centre: np.ndarray, rng: np.random.Generator, *, strength: float = 0.15
) -> np.ndarray:
    """Smooth intensity field of a head coil at 3 T: brightest in the middle, dark in the neck.

    The logarithm is a quadratic polynomial of the scanner coordinates, in units of 100 mm from
    `centre`; its coefficients are not measured ones.

    Parameters
    ----------
    grid : Grid
        Grid of the scan.
    centre : numpy.ndarray
        Middle of the coil, shape (3,), mm, RAS+.
    rng : numpy.random.Generator
        Draws the coefficients.
    strength : float
        Standard deviation of the random coefficients; 0 gives a field of ones.

    Returns
    -------
    numpy.ndarray
        Shape `grid.shape`, float32, 1 at `centre`.
    """
    linear, bowl = rng.normal(0, strength, 3), -1.5 * strength
    curvature = rng.normal(0, strength / 2, (3, 3)) + bowl * np.eye(3)
    field = np.empty(grid.shape, np.float32)
    for i in range(grid.shape[0]):
        offset = (grid.world(i, i + 1) - centre) / 100  # (n, 3)
        logarithm = offset @ linear + np.einsum('ni,ij,nj->n', offset, curvature, offset)
        below = np.minimum(offset[:, 2] + 0.6, 0)
        field[i] = np.exp(logarithm - 4 * strength * below**2).reshape(grid.shape[1:])
    return field


def add_rician_noise(
    signal: np.ndarray, rng: np.random.Generator, *, deviation: float
) -> np.ndarray:
    """Return the magnitude of a signal with independent Gaussian noise in two channels.

    Parameters
    ----------
    signal : numpy.ndarray
        Any shape.
    rng : numpy.random.Generator
        Draws the noise.
    deviation : float
        Standard deviation in each channel, in the unit of `signal`.
    """
    real = rng.standard_normal(signal.shape, dtype=np.float32) * deviation + signal
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32) * deviation
    return np.hypot(real, imaginary)


def nifti(data: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """Wrap an array as a scanner would store it: qform and sform equal, codes 1, mm and s."""
    image = as_image(data, affine)
    image.header.set_xyzt_units('mm', 'sec')
    return image
