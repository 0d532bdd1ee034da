"""How much repeated predictions scatter."""

from __future__ import annotations

import numpy as np


def dispersion(predictions: np.ndarray) -> np.ndarray:
    """Mean distance of repeated predictions from their mean.

    Baxter et al. 2021, equation 3: ``D = 1/N sum_r |P_r - 1/N sum_n P_n|``. Values for different
    numbers of repetitions are not comparable: with N independent repetitions the expectation is
    ``sqrt((N - 1) / N)`` of that around the true mean.

    Parameters
    ----------
    predictions : numpy.ndarray
        Shape (repetitions, points, 3), mm.

    Returns
    -------
    numpy.ndarray
        Shape (points,), mm; 0 for a single repetition.
    """
    centre = predictions.mean(axis=0)
    return np.linalg.norm(predictions - centre, axis=-1).mean(axis=0)
