from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tmsprep.registration.brain import brain_mask, cut_brain, is_skull_stripped


def _ball(radius: float, background: float = 0.0) -> nib.Nifti1Image:
    grid = np.indices((160,) * 3) - 79.5
    data = np.where(np.sum(grid**2, axis=0) < radius**2, 100.0, background)
    affine = np.diag([-1.0, -1, 1, 1])
    affine[:3, 3] = [80, 90, -70]
    return nib.Nifti1Image(data.astype(np.float32), affine)


def test_skull_stripped() -> None:
    assert is_skull_stripped(_ball(65))  # 1150 mL
    assert not is_skull_stripped(_ball(65, background=0.1))  # noise in the air
    assert not is_skull_stripped(_ball(79))  # 2065 mL, but half of the grid
    assert not is_skull_stripped(_ball(20))  # 34 mL


def test_mask_of_stripped_image() -> None:
    assert brain_mask(_ball(65)).get_fdata().sum() == np.count_nonzero(_ball(65).dataobj)
    with pytest.raises(ValueError, match='skull'):
        brain_mask(_ball(65, background=0.1))


def test_unusable_mask() -> None:
    image = _ball(65)
    with pytest.raises(ValueError, match='different grids'):
        brain_mask(image, nib.Nifti1Image(np.ones((160,) * 3, np.uint8), np.eye(4)))
    with pytest.raises(ValueError, match='empty'):
        brain_mask(image, nib.Nifti1Image(np.zeros((160,) * 3, np.uint8), image.affine))


@pytest.mark.parametrize('spacing', [1, 2, 3, 4])
def test_position_and_mass(spacing: int) -> None:
    image = _ball(65, background=7.0)
    mask = nib.Nifti1Image((image.get_fdata() > 50).astype(np.uint8), image.affine)
    brain = cut_brain(image, mask, spacing)
    data = brain.image.get_fdata()
    np.testing.assert_allclose(np.linalg.norm(brain.image.affine[:3, :3], axis=0), spacing)
    assert data.sum() * spacing**3 == pytest.approx(100 * mask.get_fdata().sum(), rel=1e-5)
    voxels = np.tensordot(data, np.indices(data.shape), axes=([0, 1, 2], [1, 2, 3])) / data.sum()
    centre = brain.image.affine @ [*voxels, 1]
    np.testing.assert_allclose(centre, image.affine @ [79.5, 79.5, 79.5, 1], atol=1e-3)


def test_voxel_size() -> None:
    image = nib.Nifti1Image(np.ones((9,) * 3, np.float32), np.diag([2.0, 2, 2, 1]))
    with pytest.raises(ValueError, match='conform'):
        cut_brain(image, image, 2)
