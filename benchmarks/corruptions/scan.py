"""A scan with its known points, before and after a corruption."""

from __future__ import annotations

from dataclasses import dataclass, field

import nibabel as nib
import numpy as np

from tmsprep.points import PointSet


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan before any corruption.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        3D T1w.
    points : PointSet
        Known points, mm, RAS+, in the scanner frame of the image; some may be missing.
    brain : numpy.ndarray
        Brain mask, boolean, shape of the image.
    """

    image: nib.Nifti1Image
    points: PointSet
    brain: np.ndarray

    @property
    def data(self) -> np.ndarray:
        """Intensities, float32, shape of the image."""
        return np.asanyarray(self.image.dataobj, dtype=np.float32)

    def along(self, direction: np.ndarray) -> np.ndarray:
        """Return the position of every voxel along a direction.

        Parameters
        ----------
        direction : numpy.ndarray
            Shape (3,), unit vector, RAS+.

        Returns
        -------
        numpy.ndarray
            Shape of the image, float32, mm from the origin of the scanner frame.
        """
        steps = direction @ self.image.affine[:3, :3]
        origin = float(direction @ self.image.affine[:3, 3])
        axes = np.ogrid[tuple(slice(n) for n in self.image.shape)]
        position = sum(step * axis for step, axis in zip(steps, axes, strict=True))
        return (position + origin).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A scan after a corruption.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        The corrupted image; its grid may differ from that of the scan.
    points : PointSet
        The known points, moved with the head, mm, RAS+, in the frame of `image`.
    motion : numpy.ndarray
        Motion of the head, shape (4, 4), mm, RAS+ of the scan to mm, RAS+ of `image`. Its
        determinant is negative after a reflection, which does not rename the points.
    """

    image: nib.Nifti1Image
    points: PointSet
    motion: np.ndarray = field(default_factory=lambda: np.eye(4))


def random_direction(rng: np.random.Generator) -> np.ndarray:
    """Return a unit vector, shape (3,), uniformly distributed over all directions."""
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)
