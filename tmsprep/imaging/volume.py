"""What networks see of a conformed volume: intensities, resolutions and coordinates."""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine


def percentile_window(
    data: np.ndarray, lower: float = 5.0, upper: float = 95.0
) -> tuple[float, float]:
    """Return the intensities that stand for minimum and maximum (Baxter et al. 2021, 2.1).

    Parameters
    ----------
    data : numpy.ndarray
        All voxels of the field of view, without padding.
    lower, upper : float
        Percentiles, 0 <= lower < upper <= 100.

    Returns
    -------
    tuple of float
        The intensities at the two percentiles.

    Raises
    ------
    ValueError
        If the percentiles are out of order or no intensity lies above the lower one.
    """
    if not 0 <= lower < upper <= 100:
        raise ValueError(f'need 0 <= lower < upper <= 100, not {lower} and {upper}')
    low, high = (float(v) for v in np.percentile(data, [lower, upper]))
    if high <= low:
        # A tightly masked brain in a large field of view fills less than 5 % of it.
        high = float(data.max())
    if high <= low:
        raise ValueError('the image is constant: it has no contrast to normalise')
    return low, high


def normalise(data: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map the ends of a window to 0 and 1, linearly and without clipping; float32."""
    low, high = window
    return (data.astype(np.float32, copy=False) - np.float32(low)) / np.float32(high - low)


def halve(volume: np.ndarray) -> np.ndarray:
    """Average 2 x 2 x 2 blocks of voxels.

    Raises
    ------
    ValueError
        If an axis has an odd number of voxels.
    """
    if any(n % 2 for n in volume.shape):
        raise ValueError(f'average pooling by two needs even sizes, not {volume.shape}')
    pooled = volume[::2] + volume[1::2]
    pooled = pooled[:, ::2] + pooled[:, 1::2]
    pooled = pooled[:, :, ::2] + pooled[:, :, 1::2]
    pooled *= 0.125
    return pooled


def average_pyramid(volume: np.ndarray, levels: int = 6) -> list[np.ndarray]:
    """Build an average-pooling pyramid, finest level first (Baxter et al. 2021, 2.2).

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, n, n), floating point.
    levels : int
        Number of resolutions; from 1 mm voxels, 6 levels are 1, 2, 4, 8, 16 and 32 mm.

    Returns
    -------
    list of numpy.ndarray
        Level ``k`` has ``n / 2**k`` voxels along each axis; level 0 is `volume` itself.
    """
    pyramid = [volume]
    while len(pyramid) < levels:
        pyramid.append(halve(pyramid[-1]))
    return pyramid


def to_volume_mm(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Convert world mm into mm from the outer corner of the first voxel.

    All levels of a pyramid share that corner, so a position means the same at each of them.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (..., 3), mm, RAS+.
    affine : numpy.ndarray
        Shape (4, 4), of a volume with voxels of 1 mm; as in NIfTI, index 0 is a voxel's centre.

    Returns
    -------
    numpy.ndarray
        Shape (..., 3), mm along the volume's axes.

    Examples
    --------
    The first voxel of a conformed volume, whose centre is half a millimetre from the corner:

    >>> affine = np.array([[-1, 0, 0, 10], [0, -1, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1.0]])
    >>> to_volume_mm(np.array([10.0, 20, 30]), affine)
    array([0.5, 0.5, 0.5])
    >>> to_world_mm(np.array([0.5, 0.5, 5.5]), affine)
    array([10., 20., 35.])
    """
    return apply_affine(np.linalg.inv(affine), points) + 0.5


def to_world_mm(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Convert mm from the outer corner into world mm, RAS+: the inverse of `to_volume_mm`."""
    # Not `apply_affine`: for more than two dimensions its last digit may differ.
    return (points - 0.5) @ affine[:3, :3].T + affine[:3, 3]
