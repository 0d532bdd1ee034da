"""The face in an image of a head, located by the points in it, for pictures without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.evaluation.head import MIN_POINTS, MeanHead
from tmsprep.points import PointSet

#: Direction from the brain to the face in a head whose axes run to the right, the front and the
#: top: 53 degrees below the horizon. In the mean head of 123 adults the plane at a right angle to
#: it that touches the brain from there passes above the eyes, below the orbital gyri and the
#: temporal poles, and behind the chin; steeper ones leave the eyes, flatter ones the chin.
TOWARDS_FACE = np.array([0.0, 0.604, -0.797])


@dataclass(frozen=True, eq=False)
class FacePlane:
    """A plane between brain and face.

    Parameters
    ----------
    normal : numpy.ndarray
        Shape (3,), unit vector towards the face, frame of the image (RAS+).
    offset : float
        A place with ``normal @ place > offset`` (mm) belongs to the face or the neck.
    """

    normal: np.ndarray
    offset: float


def face_plane(head: MeanHead, points: PointSet) -> FacePlane | None:
    """Lay the mean head over an image, and find the plane that touches its brain from the face.

    Parameters
    ----------
    head : MeanHead
        Its axes run to the right, the front and the top.
    points : PointSet
        Found in the image, mm, RAS+, without those that may be wrong.

    Returns
    -------
    FacePlane or None
        None if fewer than `MIN_POINTS` targets of the mean head were found.
    """
    if points.reindex(head.labels).found.sum() < MIN_POINTS:
        return None
    matrix, shift = head.onto(points)
    touching = float((head.grid[head.inside] @ TOWARDS_FACE).max())
    # The matrix is a rotation times a scale.
    turned = matrix @ TOWARDS_FACE
    scale = float(np.linalg.norm(turned))
    normal = turned / scale
    return FacePlane(normal, scale * touching + float(normal @ shift))


def without_face(data: np.ndarray, affine: np.ndarray, plane: FacePlane) -> np.ndarray:
    """Return a copy of an image with 0 in the face and the neck.

    Parameters
    ----------
    data : numpy.ndarray
        Shape (i, j, k).
    affine : numpy.ndarray
        Shape (4, 4), voxel to mm, RAS+.
    plane : FacePlane
        Where the face begins.
    """
    slopes = plane.normal @ affine[:3, :3]
    start = plane.normal @ affine[:3, 3] - plane.offset
    i, j, k = (slope * np.arange(n) for slope, n in zip(slopes, data.shape, strict=True))
    # Along the last axis one comparison of each voxel, without a grid of positions.
    beyond = (i[:, None, None] + j[:, None]) + (k + start) > 0
    return np.where(beyond, data.dtype.type(0), data)
