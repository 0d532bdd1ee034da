"""The same image at several resolutions."""

from __future__ import annotations

import numpy as np


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
    """Average-pooling pyramid, finest first (Baxter et al. 2021, section 2.2).

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, n, n), floating point.
    levels : int
        Number of resolutions; 6 from a 1 mm volume are 1, 2, 4, 8, 16 and 32 mm.

    Returns
    -------
    list of numpy.ndarray
        Level ``k`` has shape ``n / 2**k``; level 0 is the input itself.
    """
    pyramid = [volume]
    while len(pyramid) < levels:
        pyramid.append(halve(pyramid[-1]))
    return pyramid
