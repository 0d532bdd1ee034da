"""The same targets in two scans of one participant."""

from __future__ import annotations

import numpy as np

from tmsprep.imaging.similarity import similarity
from tmsprep.points import PointSet

#: Fewest points for a rigid fit: of three, a fit with six degrees of freedom leaves little.
MIN_POINTS = 4


def rigid_residuals(first: PointSet, second: PointSet) -> np.ndarray:
    """Distances of the same targets in two scans that lie in different frames.

    The scanner frames of two scans have nothing in common but the participant, so coordinates
    cannot be subtracted. The points of the second scan are laid over those of the first by the
    rigid transform with the least squares (Umeyama 1991, without scale); what is left is a
    distance. As the fit takes up a part of it, distances are too small by a factor of about
    ``sqrt(1 - 2 / n)`` for n points, 0.90 for eleven.

    Parameters
    ----------
    first, second : PointSet
        mm, each in the frame of its scan.

    Returns
    -------
    numpy.ndarray
        mm, one per point of `first`; NaN where a point is missing in either scan, and everywhere
        if fewer than `MIN_POINTS` are in both.

    Examples
    --------
    The second scan is turned by a quarter and moved; nothing is left:

    >>> first = PointSet(tuple('abcd'), [[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]])
    >>> second = PointSet(tuple('abcd'), [[5, 5, 5], [5, 15, 5], [-5, 5, 5], [5, 5, 15]])
    >>> (rigid_residuals(first, second).round(9) + 0.0).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    other = second.reindex(first.labels)
    both = first.found & other.found
    residuals = np.full(len(first), np.nan)
    if both.sum() < MIN_POINTS:
        return residuals
    source, destination = other.coordinates[both], first.coordinates[both]
    matrix, shift = similarity(source, destination, scaled=False)
    residuals[both] = np.linalg.norm(source @ matrix.T + shift - destination, axis=1)
    return residuals
