"""The pose of a coil on the scalp: tangential, its handle at a stated angle to the midline."""

from __future__ import annotations

import numpy as np

#: Distance of the coil's bottom from the scalp, mm: hair (the default of SimNIBS).
COIL_DISTANCE_MM = 4.0

#: Smallest part of a unit normal across the left-right axis with which planes parallel to the
#: mid-sagittal plane still cut the coil's plane in a clear direction: the coil lies within 80
#: degrees of upright. On a cheek it is no longer clear where the midline would run.
_CLEAR = np.sin(np.radians(10))


def handle_direction(
    normal: np.ndarray, rightwards: np.ndarray, degrees: float, side: float
) -> np.ndarray:
    """Direction in which the handle of a coil points.

    The angle is measured in the plane of the coil, as seen from above it, from the line in which
    that plane cuts planes parallel to the mid-sagittal one. Along this line, backwards over the
    vertex is 0; 90 is away from the midline.

    Parameters
    ----------
    normal : numpy.ndarray
        Shape (3,), unit, outwards.
    rightwards : numpy.ndarray
        Shape (3,), unit: normal of the mid-sagittal plane, to the participant's right.
    degrees : float
        The angle.
    side : float
        -1 on the left, otherwise on the right.

    Returns
    -------
    numpy.ndarray
        Shape (3,), unit, perpendicular to the normal; NaN where the normal is so nearly along
        `rightwards` that the line is not clear.

    Examples
    --------
    At the vertex, 45 degrees on the left: backwards and to the left.

    >>> up, right = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
    >>> handle_direction(up, right, 45, -1).round(3)
    array([-0.707, -0.707,  0.   ])

    On the forehead, 0 points up, along the midline:

    >>> handle_direction(np.array([0.0, 1, 0]), right, 0, 1) + 0.0
    array([0., 0., 1.])
    """
    backwards = np.cross(rightwards, normal)
    size = np.linalg.norm(backwards)
    if not size > _CLEAR:
        return np.full(3, np.nan)
    backwards /= size
    lateral = np.cross(normal, backwards) * (-1.0 if side < 0 else 1.0)
    angle = np.radians(degrees)
    return np.cos(angle) * backwards + np.sin(angle) * lateral


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
