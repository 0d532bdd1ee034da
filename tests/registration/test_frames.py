from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tmsprep.registration.frames import (
    flip_matrix,
    flip_points,
    from_ants,
    read_linear,
    to_ants,
    write_linear,
)


def test_flip_points() -> None:
    np.testing.assert_array_equal(flip_points(np.array([[1.0, 2.0, 3.0]])), [[-1, -2, 3]])


def test_flip_matrix() -> None:
    shift = np.eye(4)
    shift[:3, 3] = [5, 6, 7]
    np.testing.assert_array_equal(flip_matrix(shift)[:3, 3], [-5, -6, 7])


@pytest.mark.parametrize('angles', [(0, 0, 0), (20, -35, 50), (90, 0, 180)])
def test_ants_round_trip(angles: tuple) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler('xyz', angles, degrees=True).as_matrix() * [1, 2, 3]
    affine[:3, 0] *= -1
    affine[:3, 3] = [11, -22, 33]
    data = np.zeros((5, 6, 7), dtype=np.float32)
    data[1, 2, 3] = 9
    converted = to_ants(nib.Nifti1Image(data, affine))

    import ants

    world = affine @ [1, 2, 3, 1]
    place = ants.transform_index_to_physical_point(converted, (1, 2, 3))
    np.testing.assert_allclose(place, [-world[0], -world[1], world[2]], atol=1e-4)
    assert converted.numpy()[1, 2, 3] == 9
    back = from_ants(converted)
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(back.get_fdata(), data)


def test_shear() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.1
    with pytest.raises(ValueError, match='sheared'):
        to_ants(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), affine))


def test_linear_round_trip(tmp_path) -> None:
    matrix = np.array([[1.1, 0.2, 0, 5], [-0.1, 0.9, 0.3, -6], [0, 0.1, 1.2, 7], [0, 0, 0, 1]])
    path = write_linear(matrix, tmp_path / 'a.mat')
    np.testing.assert_allclose(read_linear(path), matrix, atol=1e-6)
