from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tmsprep.imaging.sinc import upsample_sinc

AFFINE = np.array([[0, -0.75, 0, 10], [0.75, 0, 0, -20], [0, 0, 0.75, 5], [0, 0, 0, 1.0]])


def waves(places: np.ndarray, length: int) -> np.ndarray:
    """Periodic function of an index, well below the Nyquist frequency of `length` samples."""
    angle = 2 * np.pi * places / length
    return 3 + np.cos(angle) - 2 * np.sin(2 * angle) + 0.5 * np.cos(3 * angle + 0.4)


def band_limited(shape: tuple[int, ...], factor: int) -> np.ndarray:
    lines = [waves(np.arange(n * factor) / factor, n) for n in shape]
    return np.einsum('i,j,k->ijk', *lines)


@pytest.mark.parametrize('factor', [1, 2, 3])
def test_a_band_limited_image_is_interpolated_exactly(factor: int) -> None:
    shape = (8, 9, 10)
    image = nib.Nifti1Image(band_limited(shape, 1).astype(np.float32), AFFINE)
    finer = upsample_sinc(image, factor)
    np.testing.assert_allclose(finer.dataobj, band_limited(shape, factor), atol=5e-4)
    assert finer.get_data_dtype() == np.float32


def test_every_voxel_of_the_input_is_found_again_at_its_place() -> None:
    data = np.random.default_rng(0).random((6, 5, 4), dtype=np.float32)
    finer = upsample_sinc(nib.Nifti1Image(data, AFFINE))
    assert finer.shape == (12, 10, 8)
    np.testing.assert_allclose(np.asarray(finer.dataobj)[::2, ::2, ::2], data, atol=1e-5)
    np.testing.assert_allclose(finer.header.get_zooms(), 0.375)
    for index in ([0, 0, 0], [5, 4, 3]):
        old = nib.affines.apply_affine(AFFINE, index)
        new = nib.affines.apply_affine(finer.affine, 2 * np.array(index))
        np.testing.assert_allclose(new, old)


def test_opposite_faces_meet() -> None:
    # Between the last voxel (8) and the first one (0), half way by symmetry.
    data = np.repeat([0.0, 8.0], 4).reshape(8, 1, 1).astype(np.float32)
    last = np.asarray(upsample_sinc(nib.Nifti1Image(data, np.eye(4))).dataobj)[-1, 0, 0]
    assert last == pytest.approx(4, abs=1e-5)


@pytest.mark.parametrize('factor', [0, -2, 1.5])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match='whole number'):
        upsample_sinc(nib.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)), factor)
