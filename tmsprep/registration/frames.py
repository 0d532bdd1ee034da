"""Between nibabel's world (RAS+) and the one of ANTs (LPS); nothing else in the package flips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    import ants

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ to LPS and back; it is its own inverse."""

_SHEAR_TOLERANCE = 1e-4
"""Largest cosine between two voxel axes that counts as a right angle (our choice)."""


def flip_points(coordinates: np.ndarray) -> np.ndarray:
    """Turn points from RAS+ to LPS, or from LPS to RAS+; shape (n, 3), mm."""
    return np.asarray(coordinates, dtype=np.float64) * np.diag(_FLIP)[:3]


def flip_matrix(matrix: np.ndarray) -> np.ndarray:
    """Write a 4 x 4 map between two RAS+ worlds as the same map between LPS worlds, or back."""
    return _FLIP @ matrix @ _FLIP


def to_ants(image: nib.spatialimages.SpatialImage) -> ants.ANTsImage:
    """Give an image to ANTs with origin, spacing and direction computed from its affine.

    ANTs' own readers choose between qform and sform silently; this uses ``image.affine`` only.

    Parameters
    ----------
    image : nibabel spatial image
        Three-dimensional; any axis order and obliqueness.

    Raises
    ------
    ValueError
        If the affine is sheared: ITK's direction matrix cannot hold it.
    """
    import ants

    affine = _FLIP @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise ValueError('the affine is sheared; resample the image to orthogonal axes first')
    data = np.ascontiguousarray(image.dataobj, dtype=np.float32)
    return ants.from_numpy(data, tuple(affine[:3, 3]), tuple(spacing), direction)


def from_ants(image: ants.ANTsImage) -> nib.Nifti1Image:
    """Take an image back from ANTs: float32, affine in RAS+."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    affine[:3, 3] = image.origin
    return nib.Nifti1Image(image.numpy().astype(np.float32), _FLIP @ affine)


def write_linear(matrix: np.ndarray, path: Path) -> Path:
    """Write an ITK affine (``.mat``) from the 4 x 4 RAS+ matrix that moves fixed to moving points.

    Parameters
    ----------
    matrix : numpy.ndarray
        Shape (4, 4), mm; column vectors of the fixed image's world go in, the moving image's
        come out. That is the direction in which ITK stores every transform.
    path : Path
        Ends in ``.mat``.
    """
    import ants

    lps = flip_matrix(matrix)
    transform = ants.create_ants_transform(
        transform_type='AffineTransform',
        precision='double',
        dimension=3,
        matrix=lps[:3, :3],
        offset=lps[:3, 3],
    )
    ants.write_transform(transform, str(path))
    return Path(path)


def read_linear(path: Path) -> np.ndarray:
    """Read an ITK affine as the 4 x 4 RAS+ matrix that moves fixed to moving points."""
    import ants

    transform = ants.read_transform(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.parameters[:9], (3, 3))
    centre = np.asarray(transform.fixed_parameters, dtype=np.float64)
    # ITK: y = A (x - c) + c + t
    matrix[:3, 3] = transform.parameters[9:12] + centre - matrix[:3, :3] @ centre
    return flip_matrix(matrix)
