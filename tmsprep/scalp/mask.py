"""Which voxels of a T1w image belong to the head."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    binary_opening,
    label,
    uniform_filter,
)

#: Tissue begins at this share of Otsu's threshold between air and tissue if air is dark. In the
#: images at hand (four scanners) the scalp has 0.3 to 3 times that threshold.
TISSUE = 0.2

#: The same where air is noisy, at most: above it, holes would open in a dark scalp.
TISSUE_IN_NOISE = 0.4

#: Tissue is so many times as bright as 95 % of the voxels of air. Air has 0.05 to 0.12 of Otsu's
#: threshold in the images at hand.
NOISE_FACTOR = 2.0

#: Fewer voxels of air than this share have a value: it was set to 0, and what is left is no noise.
_NOISY_AIR = 0.01

#: Edge of the box around bright voxels that does not count as air, voxels of 2 mm.
_NEAR = 11

#: Least size of a piece of the head, relative to the largest: a thick dark skull may part brain
#: and scalp, but what is left of a nose after defacing is no head.
_PIECE = 0.03

#: Closing of the mask, voxels of 2 mm: furrows of the skin and the rims of ears.
_CLOSING = 3

#: Opening of the mask, voxels of 2 mm: specks of noise at the skin, straps, and the nose's tip.
_OPENING = 2

#: Empty voxels laid around the grid, so that a head that is cut by it has a surface there.
PAD = 4


def head_mask(coarse: np.ndarray, threshold: float) -> np.ndarray:
    """Find the voxels of the head: brighter than air, closed, without holes, in large pieces.

    Parameters
    ----------
    coarse : numpy.ndarray
        Shape (n, m, k), intensities on a grid of about 2 mm; 0 outside the field of view.
    threshold : float
        See `tissue_threshold`.

    Returns
    -------
    numpy.ndarray
        Boolean, larger by `PAD` voxels at each end of each axis.

    Raises
    ------
    ValueError
        If nothing is brighter than air.
    """
    bright = np.pad(coarse > threshold, PAD)
    # Closed first: the skin alone is thinner than an opening spares, over a dark galea or skull.
    solid = binary_fill_holes(binary_closing(bright, iterations=_CLOSING))
    pieces, count = label(binary_opening(solid, iterations=_OPENING))
    if not count:
        raise ValueError('nothing in the image is brighter than air')
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= _PIECE * sizes.max())[pieces]


def tissue_threshold(coarse: np.ndarray) -> float:
    """Intensity from which on a voxel is tissue, not air.

    Parameters
    ----------
    coarse : numpy.ndarray
        As for `head_mask`.

    Raises
    ------
    ValueError
        If the image is empty or constant.
    """
    known = coarse[coarse > 0]
    if not known.size or known.min() == known.max():
        raise ValueError('the image is empty or constant')
    # Vessels and fat would draw the threshold up.
    middle = otsu(np.minimum(known, np.percentile(known[::7], 99)))
    near = uniform_filter((coarse > TISSUE_IN_NOISE * middle).astype(np.float32), _NEAR) > 1e-4
    air = coarse[~near]
    noise = air[air > 0]
    if noise.size <= _NOISY_AIR * air.size:
        return TISSUE * middle
    level = NOISE_FACTOR * float(np.percentile(noise, 95))
    return float(np.clip(level, TISSUE * middle, TISSUE_IN_NOISE * middle))


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """Threshold that parts values into two classes of least variance (Otsu 1979).

    Examples
    --------
    >>> values = np.array([1.0, 1, 2, 2, 9, 9, 10, 10])
    >>> 2 < otsu(values) < 9
    True
    """
    counts, edges = np.histogram(values, bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below, moment = np.cumsum(counts), np.cumsum(counts * centres)
    between = np.square(moment[-1] * below - moment * below[-1])
    weights = below * (below[-1] - below)
    between = np.divide(between, weights, out=np.zeros(bins), where=weights > 0)
    best = np.flatnonzero(between == between.max())
    return float(centres[best].mean())
