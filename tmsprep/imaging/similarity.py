"""The similarity, rigid or affine transform between two sets of corresponding points."""

from __future__ import annotations

import numpy as np


def similarity(
    source: np.ndarray, destination: np.ndarray, *, scaled: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation with scale, and shift, that move points nearest to others (least squares).

    Umeyama 1991, equations 40 to 43 (doi:10.1109/34.88573). An affine fitted to a dozen points
    several millimetres off would shear; this cannot.

    Parameters
    ----------
    source, destination : numpy.ndarray
        Shape (n, 3), mm, corresponding points row by row.
    scaled : bool
        Whether the size may change; without, the transform is rigid.

    Returns
    -------
    matrix : numpy.ndarray
        Shape (3, 3): ``destination = source @ matrix.T + shift``.
    shift : numpy.ndarray
        Shape (3,), mm. With fewer than three points or points on a line, the matrix is the
        identity and the shift alone is fitted.

    Examples
    --------
    Points are doubled in size, turned from x to y, and moved by 5 mm along z:

    >>> source = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> destination = np.array([[0.0, 0, 5], [0, 2, 5], [-2, 0, 5], [0, 0, 7]])
    >>> matrix, shift = similarity(source, destination)
    >>> (matrix.round(9) + 0.0).tolist(), (shift.round(9) + 0.0).tolist()
    ([[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.0]], [0.0, 0.0, 5.0])
    """
    centre, target = source.mean(axis=0), destination.mean(axis=0)
    u, values, vt = np.linalg.svd((destination - target).T @ (source - centre))
    matrix = np.eye(3)
    if values[1] > 1e-6 * max(values[0], 1.0):
        signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        scale = (values * signs).sum() / np.square(source - centre).sum() if scaled else 1.0
        matrix = scale * (u * signs) @ vt
    return matrix, target - matrix @ centre


def affine_fit(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    """Fit the affine that moves points nearest to others (least squares).

    Parameters
    ----------
    source, destination : numpy.ndarray
        Shape (n, 3), mm, row by row.

    Returns
    -------
    numpy.ndarray
        Shape (4, 4).
    """
    homogeneous = np.column_stack([source, np.ones(len(source))])
    solution = np.linalg.lstsq(homogeneous, destination.astype(np.float64), rcond=None)[0]
    return np.vstack([solution.T, [0, 0, 0, 1]])
