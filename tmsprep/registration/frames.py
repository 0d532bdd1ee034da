"""Conversion between nibabel's RAS+ and ANTs' LPS, the only place where signs are flipped."""

from __future__ import annotations

from pathlib import Path

import ants
import nibabel as nib
import numpy as np

# RAS+ to LPS and back: the matrix is its own inverse.
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
# Largest cosine between two voxel axes that counts as a right angle.
_SHEAR_TOLERANCE = 1e-4


def flip_points(coordinates: np.ndarray) -> np.ndarray:
    """Convert points from RAS+ to LPS, or from LPS to RAS+; shape (n, 3), mm.

    Examples
    --------
    >>> flip_points([[1.0, 2.0, 3.0]])
    array([[-1., -2.,  3.]])
    """
    return np.asarray(coordinates, dtype=np.float64) * np.diag(_FLIP)[:3]


def flip_matrix(matrix: np.ndarray) -> np.ndarray:
    """Convert a 4 x 4 transform between RAS+ worlds to one between LPS worlds, or back.

    Examples
    --------
    A shift to the right is negative in LPS:

    >>> flip_matrix(np.array([[1.0, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]))[:3, 3]
    array([-5., -6.,  7.])
    """
    return _FLIP @ matrix @ _FLIP


def to_ants(image: nib.spatialimages.SpatialImage) -> ants.ANTsImage:
    """Convert an image to ANTs, with origin, spacing and direction computed from its affine.

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
    affine = _FLIP @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise ValueError('the affine is sheared; resample the image to orthogonal axes first')
    data = np.ascontiguousarray(image.dataobj, dtype=np.float32)
    return ants.from_numpy(data, tuple(affine[:3, 3]), tuple(spacing), direction)


def from_ants(image: ants.ANTsImage) -> nib.Nifti1Image:
    """Convert an image from ANTs: float32, affine in RAS+."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    affine[:3, 3] = image.origin
    return nib.Nifti1Image(image.numpy().astype(np.float32), _FLIP @ affine)


def write_linear(matrix: np.ndarray, path: Path) -> Path:
    """Write the matrix that moves fixed to moving points as an ITK affine (``.mat``).

    Parameters
    ----------
    matrix : numpy.ndarray
        Shape (4, 4), mm, RAS+: from the fixed to the moving image's world, the direction in which
        ITK stores every transform.
    path : Path
        File name that ends in ``.mat``.

    Examples
    --------
    The point (1, 2, 3) of the fixed image is at (6, 2, 3) in the moving one:

    >>> from tempfile import TemporaryDirectory
    >>> shift = np.eye(4)
    >>> shift[0, 3] = 5
    >>> with TemporaryDirectory() as folder:
    ...     matrix = read_linear(write_linear(shift, Path(folder) / 'shift.mat'))
    >>> (matrix @ [1, 2, 3, 1]).tolist()
    [6.0, 2.0, 3.0, 1.0]
    """
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
    transform = ants.read_transform(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.parameters[:9], (3, 3))
    centre = np.asarray(transform.fixed_parameters, dtype=np.float64)
    # ITK: y = A (x - c) + c + t
    matrix[:3, 3] = transform.parameters[9:12] + centre - matrix[:3, :3] @ centre
    return flip_matrix(matrix)
