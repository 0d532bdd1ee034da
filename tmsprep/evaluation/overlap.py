"""How well two masks agree."""

from __future__ import annotations

import numpy as np


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice similarity, ``2 TP / (2 TP + FP + FN)`` (Duennwald et al. 2021, section 2.3).

    Parameters
    ----------
    first, second : numpy.ndarray
        Masks of one shape on one grid; what is not 0 is inside. Of labels, give one side:
        ``labels == 1``.

    Returns
    -------
    float
        0 to 1, the same for either order. NaN if both masks are empty: there is nothing that
        they could agree on.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    first, second = _masks(first, second)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(first & second) / total if total else float('nan')


def false_discovery_rate(predicted: np.ndarray, manual: np.ndarray) -> float:
    """Share of the predicted voxels that the rater's mask has not, ``FP / (FP + TP)``.

    Duennwald et al. 2021, section 2.3.

    Parameters
    ----------
    predicted, manual : numpy.ndarray
        As for `dice`.

    Returns
    -------
    float
        0 to 1; NaN if nothing is predicted, since nothing was discovered then, rightly or not.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted, manual = _masks(predicted, manual)
    found = np.count_nonzero(predicted)
    return np.count_nonzero(predicted & ~manual) / found if found else float('nan')


def _masks(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first) != 0, np.asarray(second) != 0
    if first.shape != second.shape:
        raise ValueError(f'masks of different shapes, {first.shape} and {second.shape}')
    return first, second
