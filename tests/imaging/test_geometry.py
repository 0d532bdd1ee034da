from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.imaging.read import ImageError, read_geometry, read_t1w

AFFINE = np.array([[-2.0, 0, 0, 12], [0, 2, 0, -10], [0, 0, 3, -9], [0, 0, 0, 1]])


def test_the_header_alone_gives_the_frame_of_the_whole_image(tmp_path: Path) -> None:
    data = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7, 1)
    image = nib.Nifti1Image(data, AFFINE)
    image.set_sform(AFFINE, 2)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / 'T1w.nii.gz')
    shape, affine, code = read_geometry(tmp_path / 'T1w.nii.gz')
    assert (shape, code) == ((5, 6, 7), 2)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
    np.testing.assert_array_equal(affine, read_t1w(tmp_path / 'T1w.nii.gz').affine)


def test_a_header_without_a_frame_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((5, 6, 7), np.float32), None)
    nib.save(image, tmp_path / 'T1w.nii')
    with pytest.raises(ImageError, match=r'T1w\.nii: qform_code and sform_code are both 0'):
        read_geometry(tmp_path / 'T1w.nii')
