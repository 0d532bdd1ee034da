"""Noise of full range outside the head, as in the uniform image of MP2RAGE."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ['suppress_noise']

#: Percentile of the faces of the field of view that stands for air; some may be padding.
_AIR_PERCENTILE = 60

#: Level from which air is too bright, where the 5th percentile of the image is 0 and the 95th 1.
#: Uniform noise over the range of the image has 0.5; up to 0.35 the points of the network move by
#: under 1 mm.
_BRIGHT_AIR = 0.4

#: Standard deviation between neighbouring voxels on the faces, in the same unit, from which bright
#: air is noise. Usual: up to 0.02. Uniform noise has 0.3.
_NOISE = 0.05

#: The same from which noise can be told from the fine structure of a head. Below, it has been
#: interpolated.
_SEPARABLE = 0.15

#: Width (sd) of the neighbourhood of a voxel in which its noise is measured, mm.
_NEIGHBOURHOOD_MM = 3.0

#: Thickness of the border in which air is measured, as a share of each axis.
_BORDER = 0.04

#: Smallest volume of a head or a brain, mL.
_SMALLEST_ML = 700.0

_FOUND = 'around the head is noise as bright as tissue, as in a uniform image of MP2RAGE'

_REMEDY = (
    "give the image with suppressed background (from the scanner, or by O'Brien's robust "
    'combination), or choose another by --bids-filter-file'
)


def suppress_noise(
    data: np.ndarray, size_mm: tuple[float, float, float]
) -> tuple[np.ndarray, list[str]]:
    """Set what lies outside the head to the minimum, if it is noise that is as bright as tissue.

    The head is the largest part of the image where the variance between neighbours is under half
    of that at the faces of the field of view, with its holes filled.

    Parameters
    ----------
    data : numpy.ndarray
        Shape (n, m, k), float32, finite.
    size_mm : tuple of float
        Voxel sizes, mm.

    Returns
    -------
    data : numpy.ndarray
        The input itself if nothing was replaced.
    findings : list of str
        What was found, with a remedy; empty for a usual image.
    """
    # In double precision, as the difference of two huge numbers may be beyond single precision.
    low, high = np.percentile(data[::3, ::3, ::3].astype(np.float64), [5, 95])
    faces = np.concatenate([np.ravel(data.take(i, axis)) for axis in range(3) for i in (0, -1)])
    air = np.percentile(faces.astype(np.float64), _AIR_PERCENTILE)
    if high <= low or air - low < _BRIGHT_AIR * (high - low):
        return data, []
    scaled = ((data - low) / (high - low)).astype(np.float32)
    variance = _variance(scaled, size_mm)
    noise = float(np.percentile(variance[_border(data.shape)], _AIR_PERCENTILE))
    if noise < _NOISE**2:
        return data, []
    head = _largest_part(variance < noise / 2)
    if noise < _SEPARABLE**2 or head.sum() * np.prod(size_mm) / 1000 < _SMALLEST_ML:
        return data, [f'{_FOUND}: {_REMEDY}']
    return np.where(head, data, data.min()), [f'{_FOUND}; treated as air. Better {_REMEDY}']


def _variance(data: np.ndarray, size_mm: tuple[float, float, float]) -> np.ndarray:
    """Variance of voxels about the mean of their neighbours, averaged in a neighbourhood."""
    rough = data - ndimage.uniform_filter(data, 3)
    widths = [_NEIGHBOURHOOD_MM / size for size in size_mm]
    return ndimage.gaussian_filter(rough * rough, widths)


def _border(shape: tuple[int, ...]) -> np.ndarray:
    border = np.ones(shape, bool)
    widths = [max(1, round(_BORDER * n)) for n in shape]
    border[tuple(slice(width, -width) for width in widths)] = False
    return border


def _largest_part(mask: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes((labels == sizes.argmax()) & mask)
