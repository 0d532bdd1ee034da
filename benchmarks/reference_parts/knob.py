"""The hand knob: where the front wall of the central sulcus bulges to the back."""

from __future__ import annotations

import numpy as np

#: The knob lies this much nearer to the midline in the depth of the sulcus than on the crown, mm:
#: the gyrus stands upright on the hull. Mean of the training participants.
ABOVE_MM = 5.0

#: How far from the expected height the knob may be, and the standard deviation of that, mm:
#: published hotspots of hand muscles are up to 8 mm apart.
REACH_MM, PRIOR_MM = 12.0, 5.0

#: Smoothing of the wall's profile, and the bulge that makes a height e times as likely, mm.
_KERNEL_MM, _BULGE_MM = 3.0, 0.7

#: Fewest voxels of the wall, and least weight of them at each height.
_FEWEST, _LEAST = 50, 1.0


def to_knob(wall: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the way from a start to the height of the knob.

    The wall's profile, its mean position to the front at each distance from the midline, is
    compared with a straight line fitted to it. The knob is the mean height, weighted by how far
    the wall lies behind the line and by how near it is to what is expected; a mean rather than the
    largest bulge, as that may jump from one to the next.

    Parameters
    ----------
    wall : numpy.ndarray
        Shape (n, 3), mm, RAS+, in the frame of the template: voxels of the precentral gyrus on the
        central sulcus.
    start : numpy.ndarray
        Shape (3,), in the same frame: a point on the crown above the expected knob.

    Returns
    -------
    numpy.ndarray
        Shape (3,), mm, along the sulcus in the axial plane; 0 where the wall does not reach.
    """
    nothing = np.zeros(3)
    if len(wall) < _FEWEST or not np.isfinite(start).all():
        return nothing
    side = np.sign(start[0])
    steps = np.arange(-REACH_MM, REACH_MM + 1)
    heights = side * start[0] - ABOVE_MM + steps
    weights = np.exp(-0.5 * np.square((heights[:, None] - side * wall[:, 0]) / _KERNEL_MM))
    total = weights.sum(axis=1)
    if total.min() < _LEAST:
        return nothing
    profile = weights @ wall[:, 1] / total
    slope, middle = np.polyfit(steps, profile, 1)
    behind = middle + slope * steps - profile
    chance = np.exp(behind / _BULGE_MM - 0.5 * np.square(steps / PRIOR_MM))
    shift = chance @ steps / chance.sum()
    return np.asarray(shift * np.array([side, slope, 0.0]))
