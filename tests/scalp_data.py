from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.head import MeanHead
from tmsprep.imaging.conform import conform

CENTRE = np.array([3.0, -12.0, 20.0])
"""Middle of the spheres, mm."""

HEAD = ((90.0, 800.0), (84.0, 60.0), (75.0, 1000.0))
"""Radii in mm and intensities: scalp, skull and brain."""


def grid(
    voxel: Sequence[float] = (1, 1, 1),
    euler: Sequence[float] = (0, 0, 0),
    flip: float = 1,
    fov: float = 200.0,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape of a field of view around the spheres; `flip` -1 is left-handed."""
    affine = np.eye(4)
    turn = Rotation.from_euler('xyz', euler, degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(np.array(voxel) * [flip, 1, 1])
    shape = tuple(round(fov / size) for size in voxel)
    # No voxel lies in the very middle.
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape) - 1) / 2 + 0.3)
    return affine, shape


def spheres(
    affine: np.ndarray, shape: tuple[int, ...], layers: Sequence[tuple[float, float]] = HEAD
) -> nib.Nifti1Image:
    """Concentric spheres, with the partial volume of a voxel at each edge, on voxels of 1 mm."""
    # Turned grids have orthogonal axes, so squares add up along them.
    middle = apply_affine(np.linalg.inv(affine), CENTRE)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    x, y, z = (np.square((axes[i] - middle[i]) * sizes[i], dtype=np.float32) for i in range(3))
    radius = np.sqrt(x + y + z)
    edge = np.linalg.norm(affine[:3, :3], axis=0).mean()
    image = np.zeros(shape, np.float32)
    for size, intensity in layers:
        image += np.clip((size - radius) / edge + 0.5, 0, 1) * (intensity - image)
    result = nib.Nifti1Image(image, affine)
    return result if np.allclose(np.linalg.norm(affine[:3, :3], axis=0), 1) else conform(result)


def as_image(head: MeanHead) -> nib.Nifti1Image:
    """The mean head itself as an image, on voxels of 1 mm."""
    affine = head.affine @ np.diag([0.25, 0.25, 0.25, 1])
    shape = tuple(4 * (n - 1) for n in head.image.shape)
    data = 1000 * affine_transform(head.image, np.eye(3) / 4, output_shape=shape, order=1)
    return nib.Nifti1Image(data, affine)


def with_air(image: nib.Nifti1Image, voxels: int = 8) -> nib.Nifti1Image:
    """The same image with air around it, so that no part of it is at the edge."""
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1) * voxels
    return nib.Nifti1Image(np.pad(np.asarray(image.dataobj), voxels), affine)
