from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from tmsprep.registration.fields import displacement_field
from tmsprep.registration.guarded import TransformReader

GRID = np.array([[-3.0, 0, 0, 90], [0, 3, 0, -100], [0, 0, 3, -70], [0, 0, 0, 1]])
HERE = apply_affine(GRID, np.moveaxis(np.indices((60, 60, 50)), 0, -1))
POINTS = np.array([[10.0, 20, 30], [-40, 10, 5.5]])


def bend(points: np.ndarray) -> np.ndarray:
    """Where SimNIBS says that points lie in the other space."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([0.9 * y + 4, -x - 5, 1.1 * z + 0.001 * x**2], axis=-1)


def test_points_move(tmp_path: Path) -> None:
    """Through ITK they come to the place that the field names."""
    path, last = tmp_path / 'field.nii.gz', tmp_path / 'back.nii.gz'
    nib.save(displacement_field(nib.Nifti1Image(bend(HERE).astype(np.float32), GRID)), path)
    back = np.stack([-(HERE[..., 1] + 5), (HERE[..., 0] - 4) / 0.9, HERE[..., 2]], axis=-1)
    nib.save(displacement_field(nib.Nifti1Image(back.astype(np.float32), GRID)), last)
    with TransformReader() as reader:
        # Within the error of linear interpolation of x^2 over 3 mm.
        np.testing.assert_allclose(reader.move(POINTS, path), bend(POINTS), atol=2e-3)
        both = reader.compose([path, last], tmp_path / 'both.h5')
        x, y, z = bend(POINTS).T
        expected = np.column_stack([-(y + 5), (x - 4) / 0.9, z])
        np.testing.assert_allclose(reader.move(POINTS, both), expected, atol=2e-3)
        np.testing.assert_allclose(expected[:, :2], POINTS[:, :2])
        path.write_bytes(b'no field')
        with pytest.raises(ValueError, match=r'field\.nii\.gz, .*back\.nii\.gz: damaged'):
            reader.compose([path, last], tmp_path / 'none.h5')


def test_coarser() -> None:
    """Of voxels of 1 mm every second one is kept, in its place."""
    fine = GRID @ np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    here = apply_affine(fine, np.moveaxis(np.indices((9, 9, 9)), 0, -1)).astype(np.float32)
    field = displacement_field(nib.Nifti1Image(np.add(here, (1, 2, 3)), fine))
    assert field.shape == (5, 5, 5, 1, 3)
    np.testing.assert_allclose(field.affine, fine @ np.diag([2, 2, 2, 1]))
    np.testing.assert_allclose(field.dataobj, np.broadcast_to([-1, -2, 3], field.shape), atol=1e-5)


def test_beyond_the_head() -> None:
    """Where nothing is known the field goes on as the affine fitted to the rest."""
    values = (HERE * 0.9 + [4, -5, 6]).astype(np.float32)
    unknown = values.copy()
    unknown[:9], unknown[:, :, -9:] = 0, np.nan
    whole, filled = (displacement_field(nib.Nifti1Image(v, GRID)) for v in (values, unknown))
    np.testing.assert_allclose(filled.dataobj, whole.dataobj, atol=1e-3)


@pytest.mark.parametrize('shape', [(4, 5, 6), (4, 5, 6, 2), (4, 5, 6, 3), (4, 5, 6, 2, 3)])
def test_no_field(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='coordinates'):
        displacement_field(nib.Nifti1Image(np.zeros(shape, np.float32), GRID))
