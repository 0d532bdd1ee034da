"""The pose of a coil on the scalp: tangential, its handle at a stated angle to the midline."""

from __future__ import annotations

import numpy as np

#: Distance of the coil's bottom from the scalp, mm: hair (the default of SimNIBS).
COIL_DISTANCE_MM = 4.0

#: Least share of the backward direction that lies in the plane of the coil: the coil is within 80
#: degrees of lying along the midline. Over a pole of the head it is not clear where backwards is.
_CLEAR = np.sin(np.radians(10))


def handle_direction(
    normal: np.ndarray, backwards: np.ndarray, degrees: float, side: float
) -> np.ndarray:
    """Direction in which the handle of a coil points.

    The angle is measured in the plane of the coil, seen from above it, against the backward
    direction of the head, laid into that plane: 0 is backwards, 90 away from the midline.

    Parameters
    ----------
    normal : numpy.ndarray
        Shape (3,), unit, outwards.
    backwards : numpy.ndarray
        Shape (3,), unit: from the front of the head to its back.
    degrees : float
        The angle.
    side : float
        -1 on the left, otherwise on the right.

    Returns
    -------
    numpy.ndarray
        Shape (3,), unit, perpendicular to the normal; NaN where the normal is nearly along
        `backwards`.

    Examples
    --------
    At the vertex, 45 degrees on the left: backwards and to the left.

    >>> up, back = np.array([0.0, 0, 1]), np.array([0.0, -1, 0])
    >>> handle_direction(up, back, 45, -1).round(3)
    array([-0.707, -0.707,  0.   ])

    Over the right ear, 90 degrees is away from the midline: down.

    >>> handle_direction(np.array([1.0, 0, 0]), back, 90, 1).round(3) + 0.0
    array([ 0.,  0., -1.])
    """
    along = backwards - normal * (backwards @ normal)
    size = np.linalg.norm(along)
    if not size > _CLEAR:
        return np.full(3, np.nan)
    along /= size
    lateral = np.cross(normal, along) * (-1.0 if side < 0 else 1.0)
    angle = np.radians(degrees)
    return np.cos(angle) * along + np.sin(angle) * lateral


def coil_pose(
    entry: np.ndarray,
    normal: np.ndarray,
    handle: np.ndarray,
    distance_mm: float = COIL_DISTANCE_MM,
) -> np.ndarray:
    """Pose of a coil in the convention of SimNIBS (`mesh_io.calc_matsimnibs`).

    Parameters
    ----------
    entry : numpy.ndarray
        Shape (3,), mm, RAS+: the place on the scalp under the middle of the coil.
    normal : numpy.ndarray
        Shape (3,), of the scalp, outwards.
    handle : numpy.ndarray
        Shape (3,): where the handle points; what is along the normal is left out.
    distance_mm : float
        Of the middle of the coil from `entry`, along the normal.

    Returns
    -------
    numpy.ndarray
        Shape (4, 4), mm, RAS+, a rotation and a shift: the coil's z points into the head, its y
        along the handle, x = y x z; the origin is the middle of the coil. NaN where a direction is
        missing, or the handle is along the normal.

    Examples
    --------
    >>> pose = coil_pose(np.array([0.0, 0, 90]), np.array([0.0, 0, 1]), np.array([0.0, -1, 0]))
    >>> pose.astype(int).tolist()
    [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 94], [0, 0, 0, 1]]
    """
    pose = np.full((4, 4), np.nan)
    outwards = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
    along = np.asarray(handle, dtype=np.float64) - outwards * (handle @ outwards)
    size = np.linalg.norm(along)
    if not (size > 1e-6 and np.isfinite(entry).all()):
        return pose
    y, z = along / size, -outwards
    pose[:3] = np.stack([np.cross(y, z), y, z, entry + distance_mm * outwards], axis=1)
    pose[3] = 0, 0, 0, 1
    return pose
