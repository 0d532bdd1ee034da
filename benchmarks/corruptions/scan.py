"""One scan with what is known about it, before and after it is spoilt on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field

import nibabel as nib
import numpy as np

from tmsprep.points import PointSet


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan as it came.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        3D T1w.
    points : PointSet
        Known places, mm, RAS+, in the image's scanner frame; missing allowed.
    brain : numpy.ndarray
        Boolean, the image's shape: where the brain is.
    """

    image: nib.Nifti1Image
    points: PointSet
    brain: np.ndarray

    @property
    def data(self) -> np.ndarray:
        """Intensities, float32, the image's shape."""
        return np.asanyarray(self.image.dataobj, dtype=np.float32)

    def along(self, direction: np.ndarray) -> np.ndarray:
        """Position of every voxel along a direction.

        Parameters
        ----------
        direction : numpy.ndarray
            Shape (3,), unit vector, RAS+.

        Returns
        -------
        numpy.ndarray
            The image's shape, float32, mm from the origin of the scanner frame.
        """
        steps = direction @ self.image.affine[:3, :3]
        origin = float(direction @ self.image.affine[:3, 3])
        axes = np.ogrid[tuple(slice(n) for n in self.image.shape)]
        position = sum(step * axis for step, axis in zip(steps, axes, strict=True))
        return (position + origin).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Corrupted:
    """What has become of a scan.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        The spoilt image; it may have another grid.
    points : PointSet
        Where the known places are now, mm, RAS+, in its frame.
    motion : numpy.ndarray
        Shape (4, 4): from a place in the scan to where it is now, mm, RAS+. Its determinant is
        negative after a reflection, which leaves the names of points as they were.
    """

    image: nib.Nifti1Image
    points: PointSet
    motion: np.ndarray = field(default_factory=lambda: np.eye(4))
