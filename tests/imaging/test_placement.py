from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tmsprep.imaging.placement import misplaced

SHAPE = (30, 40, 50)
AFFINE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(z=0.1, y=-0.2) @ np.diag([-1.0, 1.25, 1.5]), [10, -20, 30]
)


def box(shape: tuple[int, ...] = SHAPE, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    data = np.zeros(shape, np.uint8)
    data[5:25, 5:30, 5:40] = 1
    return nib.Nifti1Image(data, affine)


def moved(*mm: float) -> np.ndarray:
    return nib.affines.from_matvec(np.eye(3), mm) @ AFFINE


def test_own_grid() -> None:
    mask = box()
    assert misplaced(mask, SHAPE, AFFINE) == ''
    assert misplaced(nib.as_closest_canonical(mask), SHAPE, AFFINE) == ''
    assert misplaced(box((*SHAPE, 1)), SHAPE, AFFINE) == ''


def test_other_grid_in_view() -> None:
    """As the conformed grid, which may reach beyond the image where the mask is 0."""
    affine = AFFINE.copy()
    affine[:3, 3] -= affine[:3, :3] @ [10, 10, 10]
    data = np.zeros((50, 60, 70), np.uint8)
    data[15:35, 15:40, 15:50] = 1
    assert misplaced(nib.Nifti1Image(data, affine), SHAPE, AFFINE) == ''


@pytest.mark.parametrize('mm', [(1, 0, 0), (0, 0.5, 0), (2, -2, 1)])
def test_same_voxels_elsewhere(mm: tuple[float, float, float]) -> None:
    away = np.linalg.norm(mm)
    assert f'up to {away:.1f} mm away' in misplaced(box(affine=moved(*mm)), SHAPE, AFFINE)


def test_mirrored_header() -> None:
    mirrored = AFFINE @ np.diag([-1.0, 1, 1, 1])
    assert misplaced(box(affine=mirrored), SHAPE, AFFINE) != ''


def test_outside() -> None:
    assert 'lies outside of the image' in misplaced(box(affine=moved(40, 0, 0)), SHAPE, AFFINE)
    finer = box(affine=moved(300, 0, 0) @ np.diag([0.5, 0.5, 0.5, 1]))
    assert '100% of it lies outside' in misplaced(finer, SHAPE, AFFINE)


def test_no_mask() -> None:
    empty = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINE)
    assert misplaced(empty, SHAPE, AFFINE) == 'it is empty'
    series = nib.Nifti1Image(np.ones((*SHAPE, 2), np.uint8), AFFINE)
    assert 'it has 4 dimensions' in misplaced(series, SHAPE, AFFINE)
