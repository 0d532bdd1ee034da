"""Approximate min-max normalisation of intensities."""

from __future__ import annotations

import numpy as np


def percentile_window(
    data: np.ndarray, lower: float = 5.0, upper: float = 95.0
) -> tuple[float, float]:
    """Intensities that stand for minimum and maximum (Baxter et al. 2021, section 2.1).

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
        # A tightly cut brain in a large field of view fills less than 5 % of it.
        high = float(data.max())
    if high <= low:
        raise ValueError('the image is constant: it has no contrast to normalise')
    return low, high


def normalise(data: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map the window's ends to 0 and 1, linearly and without clipping; float32."""
    low, high = window
    return (data.astype(np.float32, copy=False) - np.float32(low)) / np.float32(high - low)
