from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import label_image, save_heatmap


def turned_grid(axes: tuple[int, ...], signs: tuple[int, ...], tilt: float) -> np.ndarray:
    """Affine of 0.75 mm voxels whose axes run along `axes` with `signs`, tilted about x."""
    cos, sin = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    affine = np.eye(4)
    affine[:3, :3] = 0.75 * rotation @ (np.eye(3)[:, axes] * signs)
    affine[:3, 3] = (10, -20, 30)
    return affine


@pytest.mark.parametrize('tilt', [0.0, 0.3])
def test_label_image_axis_orders(tilt: float) -> None:
    labels = np.random.default_rng(1).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        affine = turned_grid(axes, signs, tilt)
        upright = conform_isotropic(nib.Nifti1Image(labels, affine), 0.75)
        conformed = np.asanyarray(upright.dataobj).astype(np.uint8)
        image, same = label_image(conformed, upright.affine, labels.shape, affine)
        assert same
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), labels)
        np.testing.assert_allclose(image.affine, affine)


def test_label_image_other_voxels() -> None:
    affine = np.diag([0.5, 0.5, 3.0, 1.0])
    upright = conform_isotropic(nib.Nifti1Image(np.zeros((12, 12, 4), np.uint8), affine), 0.75)
    labels = np.asanyarray(upright.dataobj).astype(np.uint8)
    image, same = label_image(labels, upright.affine, (12, 12, 4), affine)
    assert not same
    assert image.shape == (8, 8, 16)


def test_heatmap_round_trip(tmp_path: Path) -> None:
    heatmap = np.random.default_rng(2).random((6, 5, 4), dtype=np.float32) * 1e-3
    image = nib.load(save_heatmap(tmp_path / 'h.nii.gz', heatmap, np.eye(4)))
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.get_fdata(), heatmap / heatmap.max(), atol=0.5 / 32767)
    assert image.get_fdata().max() == pytest.approx(1)
