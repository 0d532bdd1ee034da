"""What the scanner adds: coil sensitivity and noise."""

from __future__ import annotations

import numpy as np

from tmsprep.phantoms.grid import Grid


def coil_sensitivity(
    grid: Grid, centre: np.ndarray, rng: np.random.Generator, *, strength: float = 0.15
) -> np.ndarray:
    """Smooth intensity field of a head coil at 3 T: brightest in the middle, dark in the neck.

    The logarithm is a quadratic polynomial of the scanner's coordinates, in units of 100 mm
    from `centre`; the coefficients are our choice.

    Parameters
    ----------
    grid : Grid
        Where to evaluate.
    centre : numpy.ndarray
        Middle of the coil, shape (3,), mm, RAS+.
    rng : numpy.random.Generator
        Draws the coefficients.
    strength : float
        Standard deviation of the random coefficients; 0 gives a field of ones.

    Returns
    -------
    numpy.ndarray
        Shape `grid.shape`, float32, 1 at `centre`.
    """
    linear, bowl = rng.normal(0, strength, 3), -1.5 * strength
    curvature = rng.normal(0, strength / 2, (3, 3)) + bowl * np.eye(3)
    field = np.empty(grid.shape, np.float32)
    for i in range(grid.shape[0]):
        offset = (grid.world(i, i + 1) - centre) / 100  # (n, 3)
        logarithm = offset @ linear + np.einsum('ni,ij,nj->n', offset, curvature, offset)
        below = np.minimum(offset[:, 2] + 0.6, 0)
        field[i] = np.exp(logarithm - 4 * strength * below**2).reshape(grid.shape[1:])
    return field


def add_rician_noise(
    signal: np.ndarray, rng: np.random.Generator, *, deviation: float
) -> np.ndarray:
    """Magnitude of a signal with independent Gaussian noise in both channels.

    Parameters
    ----------
    signal : numpy.ndarray
        Any shape.
    rng : numpy.random.Generator
        Draws the noise.
    deviation : float
        Of each channel, in the unit of `signal`.
    """
    real = rng.standard_normal(signal.shape, dtype=np.float32) * deviation + signal
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32) * deviation
    return np.hypot(real, imaginary)
