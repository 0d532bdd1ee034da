"""Overlap of two masks, and centres of mass of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.affines import apply_affine


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice similarity, ``2 TP / (2 TP + FP + FN)`` (Duennwald et al. 2021, section 2.3).

    Parameters
    ----------
    first, second : numpy.ndarray
        Masks of one shape on one grid; nonzero is inside. Of labels, give one side:
        ``labels == 1``.

    Returns
    -------
    float
        0 to 1, the same for either order. NaN if both masks are empty: there is nothing to agree
        on.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> dice(np.array([1, 1, 0]), np.array([0, 1, 0]))
    0.6666666666666666
    """
    first, second = _masks(first, second)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2 * np.count_nonzero(first & second) / total) if total else float('nan')


def false_discovery_rate(predicted: np.ndarray, manual: np.ndarray) -> float:
    """Share of the predicted voxels that are not in the rater's mask, ``FP / (FP + TP)``.

    Duennwald et al. 2021, section 2.3.

    Parameters
    ----------
    predicted, manual : numpy.ndarray
        As for `dice`.

    Returns
    -------
    float
        0 to 1; NaN if nothing is predicted.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted, manual = _masks(predicted, manual)
    found = np.count_nonzero(predicted)
    return float(np.count_nonzero(predicted & ~manual) / found) if found else float('nan')


def _masks(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first) != 0, np.asarray(second) != 0
    if first.shape != second.shape:
        raise ValueError(f'masks of different shapes, {first.shape} and {second.shape}')
    return first, second


def centres_of_mass(
    labels: np.ndarray, affine: np.ndarray, values: Sequence[int] = (1, 2)
) -> np.ndarray:
    """Mean position of the voxels of each label.

    Duennwald et al. 2021, section 2.3, train on and measure from the centres of mass of the
    rater's masks.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k), whole numbers.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices (0 is the centre of the first voxel) to mm, RAS+.
    values : sequence of int
        Labels to locate, for instance of the left and the right side.

    Returns
    -------
    numpy.ndarray
        Shape (len(values), 3), mm, RAS+; NaN for a label without voxels.
    """
    centres = np.full((len(values), 3), np.nan)
    for row, value in zip(centres, values, strict=True):
        voxels = np.argwhere(labels == value)
        if len(voxels):
            row[:] = apply_affine(affine, voxels.mean(axis=0))
    return centres
