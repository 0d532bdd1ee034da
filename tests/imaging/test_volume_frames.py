from __future__ import annotations

import numpy as np

from tmsprep.imaging.frames import to_volume_mm, to_world_mm


def test_frames_are_inverse() -> None:
    # The centre of the first voxel is half a mm from the corner of the volume.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    np.testing.assert_allclose(to_volume_mm(np.array([[10.0, 20, 30]]), affine), [[0.5] * 3])
    points = np.array([[1.0, 2, 3], [-40, 5, 77]])
    np.testing.assert_allclose(to_world_mm(to_volume_mm(points, affine), affine), points)
