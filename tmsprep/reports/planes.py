"""Slices through an image along the planes of its world, whatever the order of its voxel axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.spatialimages import SpatialImage
from scipy import ndimage

#: Names of the negative and positive ends of the world axes x, y, z (RAS+).
AXIS_ENDS = (('L', 'R'), ('P', 'A'), ('I', 'S'))

#: Below this distance from the vertex there is neck, not brain.
HEAD_HEIGHT_MM = 180.0

#: Voxels kept around a cubic sample: the influence of an edge on the spline falls as 0.27 ** n,
#: and a picture has 256 levels.
_SPLINE_MARGIN = 6


@dataclass(frozen=True)
class View:
    """Which world axes (0 = x, 1 = y, 2 = z) run across, up and through a slice."""

    name: str
    across: int
    up: int
    through: int


VIEWS = (View('axial', 0, 1, 2), View('coronal', 0, 2, 1), View('sagittal', 1, 2, 0))


@dataclass(frozen=True, eq=False)
class Plane:
    """A slice sampled in world coordinates.

    Parameters
    ----------
    data : numpy.ndarray
        Shape (rows, columns); zero outside the image.
    across, up : numpy.ndarray
        Shapes (columns,) and (rows,): mm RAS+ of the sample centres, increasing.
    """

    data: np.ndarray
    across: np.ndarray
    up: np.ndarray


@dataclass(frozen=True, eq=False)
class Volume:
    """An image in memory with what every figure of it needs; build it once per image.

    Parameters
    ----------
    data : numpy.ndarray
        Shape (i, j, k), float32, finite.
    affine : numpy.ndarray
        Shape (4, 4), voxel index to mm RAS+.
    window : tuple of float
        Intensities shown as black and as white.
    box : numpy.ndarray
        Shape (2, 3): least and greatest mm RAS+ of the head.
    """

    data: np.ndarray
    affine: np.ndarray
    window: tuple[float, float]
    box: np.ndarray

    @classmethod
    def from_image(cls, image: SpatialImage | Volume) -> Volume:
        """Read an image; a `Volume` is returned as it is.

        Raises
        ------
        ValueError
            If the image has not three dimensions or its affine cannot be inverted.
        """
        if isinstance(image, Volume):
            return image
        data = np.asarray(image.dataobj, dtype=np.float32)
        data = data.reshape(data.shape[:3]) if data.size == np.prod(data.shape[:3]) else data
        if data.ndim != 3:
            raise ValueError(f'a figure needs a three-dimensional image, not {data.shape}')
        affine = np.asarray(image.affine, dtype=np.float64)
        if not np.isfinite(affine).all() or np.linalg.det(affine) == 0:
            raise ValueError('a figure needs an image whose affine can be inverted')
        if not np.isfinite(data).all():
            data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
        thin = data[tuple(slice(None, None, max(1, n // 96)) for n in data.shape)]
        low, high = np.percentile(thin, (2.0, 99.9))
        window = (float(low), float(high if high > low else low + 1.0))
        return cls(data, affine, window, _head_box(data, affine, window))

    def grid(
        self, first: np.ndarray, steps: np.ndarray, shape: tuple[int, ...], *, order: int = 1
    ) -> np.ndarray:
        """Interpolate on a grid of world positions.

        Parameters
        ----------
        first : numpy.ndarray
            Shape (3,), mm RAS+: where the grid begins.
        steps : numpy.ndarray
            Shape (3, 3); row i is the step along the grid's axis i in mm RAS+.
        shape : tuple of int
            Three numbers: samples along each axis of the grid.
        order : int
            1 is linear, 3 a cubic spline.

        Returns
        -------
        numpy.ndarray
            Of that shape, float32; zero outside the image.
        """
        to_voxel = np.linalg.inv(self.affine)
        matrix = to_voxel[:3, :3] @ steps.T
        start = to_voxel[:3, :3] @ first + to_voxel[:3, 3]
        spans = matrix * (np.array(shape) - 1)
        low = np.floor(start + np.minimum(spans, 0).sum(axis=1)).astype(int) - _SPLINE_MARGIN
        high = np.ceil(start + np.maximum(spans, 0).sum(axis=1)).astype(int) + _SPLINE_MARGIN + 1
        low, high = np.clip(low, 0, self.data.shape), np.clip(high, 0, self.data.shape)
        if (high <= low).any():
            return np.zeros(shape, dtype=np.float32)
        block = self.data[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
        return ndimage.affine_transform(
            block, matrix, start - low, output_shape=shape, order=order
        )

    def resample(self, box: np.ndarray, spacing: float) -> np.ndarray:
        """Interpolate linearly on a grid along the world axes.

        Parameters
        ----------
        box : numpy.ndarray
            Shape (2, 3), mm RAS+: where the grid begins and the end that it does not pass.
        spacing : float
            Distance of the samples in mm.

        Returns
        -------
        numpy.ndarray
            Shape (x, y, z), float32; zero outside the image.
        """
        first = box[0] + spacing / 2
        shape = tuple(np.ceil((box[1] - first) / spacing).astype(int))
        return self.grid(first, spacing * np.eye(3), shape)


def sample_plane(
    volume: Volume,
    view: View,
    at: float,
    across: tuple[float, float],
    up: tuple[float, float],
    *,
    spacing: float = 1.0,
    order: int = 1,
) -> Plane:
    """Sample a world plane.

    Parameters
    ----------
    volume : Volume
        The image.
    view : View
        The plane's orientation.
    at : float
        Position of the plane on the axis through it, mm RAS+.
    across, up : tuple of float
        Least and greatest mm RAS+ covered in the plane.
    spacing : float
        Distance of the samples in mm.
    order : int
        Order of the interpolation, see `Volume.grid`.
    """
    columns = np.arange(across[0] + spacing / 2, across[1], spacing)
    rows = np.arange(up[0] + spacing / 2, up[1], spacing)
    first = np.empty(3)
    first[[view.across, view.up, view.through]] = columns[0], rows[0], at
    steps = spacing * np.eye(3)[[view.up, view.across, view.through]]
    data = volume.grid(first, steps, (len(rows), len(columns), 1), order=order)
    return Plane(data[..., 0], columns, rows)


def plane_in_box(
    volume: Volume, view: View, at: float, box: np.ndarray, *, spacing: float = 1.0
) -> Plane:
    """Sample the part of a world plane that lies in a box, shape (2, 3), mm RAS+."""
    across, up = box[:, view.across], box[:, view.up]
    return sample_plane(volume, view, at, tuple(across), tuple(up), spacing=spacing)


def bounding_box(foreground: np.ndarray, affine: np.ndarray) -> np.ndarray | None:
    """Return a world box that holds the true voxels, shape (2, 3), mm RAS+; None if none is true.

    It is the tightest one when voxel and world axes are parallel.
    """
    ranges = []
    for axis in range(3):
        true = np.flatnonzero(foreground.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(true):
            return None
        ranges.append((true[0], true[-1]))
    corners = np.stack(np.meshgrid(*ranges), axis=-1).reshape(-1, 3)
    world = corners @ affine[:3, :3].T + affine[:3, 3]
    return np.stack([world.min(axis=0), world.max(axis=0)])


def _head_box(data: np.ndarray, affine: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    step = np.array([max(1, n // 64) for n in data.shape])
    thin = data[tuple(slice(None, None, n) for n in step)]
    index = np.argwhere(thin > window[0] + 0.15 * (window[1] - window[0])) * step
    if len(index):
        world = index @ affine[:3, :3].T + affine[:3, 3]
        # The outermost half per cent is noise in the air and what else lies in the scanner.
        box = np.percentile(world, (0.5, 99.5), axis=0)
    else:
        box = bounding_box(np.ones(data.shape, dtype=bool), affine)
    box = box + np.array([[-10.0], [10.0]])
    box[0, 2] = max(box[0, 2], box[1, 2] - HEAD_HEIGHT_MM)
    return box
