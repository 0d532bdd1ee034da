from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.imaging.labels import resample_labels
from tmsprep.learning.examples import Example
from tmsprep.methods.duennwald2021.volumes import load_volumes, read_mask
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('locus-coeruleus')

AFFINE = np.array([[0.75, 0, 0, -9], [0, 0.75, 0, -6], [0, 0, 0.75, 12], [0, 0, 0, 1]])
SHAPE = (24, 20, 16)


def half_affine() -> np.ndarray:
    """Half the voxels, eight of them in each voxel."""
    affine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] -= 0.25 * 0.75
    return affine


def fine_mask() -> np.ndarray:
    """A left block of voxels (4-5, 8-9, 6-9) and a right one of voxels (12, 8, 6-9)."""
    mask = np.zeros([2 * n for n in SHAPE], np.uint8)
    mask[8:12, 16:20, 12:20] = 1
    mask[24:26, 16:18, 12:20] = 2
    return mask


@pytest.fixture
def example(tmp_path: Path) -> Example:
    data = np.random.default_rng(0).normal(1000, 100, SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / 'image.nii.gz')
    nib.save(nib.Nifti1Image(fine_mask(), half_affine()), tmp_path / 'mask.nii.gz')
    return Example('sub-01', tmp_path / 'image.nii.gz', mask=tmp_path / 'mask.nii.gz')


def test_volume_by_hand(tmp_path: Path, example: Example) -> None:
    for _ in range(2):
        # The second time from the cache.
        (volume,) = load_volumes([example], tmp_path / 'cache', PROTOCOL)
        assert volume.voxel_mm == pytest.approx(0.75)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)
        np.testing.assert_allclose(np.percentile(volume.intensities, [5, 95]), [0, 1], atol=1e-5)
        np.testing.assert_allclose(volume.points, [[4.5, 8.5, 7.5], [12, 8, 7.5]], atol=1e-5)
        expected = np.zeros(SHAPE, np.uint8)
        expected[4:6, 8:10, 6:10] = 1
        expected[12, 8, 6:10] = 2
        np.testing.assert_array_equal(volume.labels, expected)
    assert len(list((tmp_path / 'cache').iterdir())) == 1


def test_points_before_mask(tmp_path: Path, example: Example) -> None:
    given = PointSet.from_mapping({'RLC': (-9 + 0.75 * 3, -6, 12 + 0.75)}, ('RLC',))
    example = Example('sub-01', example.image, given, example.mask)
    (volume,) = load_volumes([example], tmp_path / 'cache', PROTOCOL)
    np.testing.assert_allclose(volume.points, [[np.nan] * 3, [3, 0, 1]], atol=1e-5)
    assert volume.labels.any()


def test_points_alone(tmp_path: Path, example: Example) -> None:
    given = PointSet.from_mapping({'LLC': (-9, -6, 12)}, ('LLC', 'RLC'))
    (volume,) = load_volumes(
        [Example('sub-01', example.image, given)], tmp_path / 'cache', PROTOCOL
    )
    np.testing.assert_allclose(volume.points, [[0, 0, 0], [np.nan] * 3], atol=1e-5)
    assert volume.labels.numel() == 0


def test_one_side(tmp_path: Path, example: Example) -> None:
    nib.save(nib.Nifti1Image(3 - fine_mask(), half_affine()), example.mask)
    with pytest.raises(ValueError, match=r'mask\.nii\.gz.*labels 0, 1 .left. and 2 .right.'):
        load_volumes([example], tmp_path / 'cache', PROTOCOL)
    only_left = np.where(fine_mask() == 1, 1, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(only_left, half_affine()), example.mask)
    (volume,) = load_volumes([example], tmp_path / 'cache', PROTOCOL)
    assert volume.points.isfinite().all(dim=-1).tolist() == [True, False]


def test_mask_with_shared_first_voxel() -> None:
    """As a sinc filter leaves it: every other voxel lies on one of the image."""
    mask = np.zeros((32, 32, 32), np.uint8)
    # From half a voxel before index 5 to half a voxel after index 8, and one voxel thick.
    mask[9:18, 8, 12:14] = 1
    to_mask = np.diag([2.0, 2.0, 2.0, 1])
    small = resample_labels(mask, to_mask, (16, 16, 16))
    assert not small.any()
    mask[9:18, 9:16, 11:16] = 2
    found = np.argwhere(resample_labels(mask, to_mask, (16, 16, 16)) == 2)
    assert (found.min(axis=0) == [5, 5, 6]).all()
    assert (found.max(axis=0) == [8, 7, 7]).all()


def test_flipped_mask() -> None:
    flipped = np.ascontiguousarray(fine_mask()[::-1])
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = flipped.shape[0] - 1
    straight = np.linalg.inv(half_affine()) @ AFFINE
    expected = resample_labels(fine_mask(), straight, SHAPE)
    np.testing.assert_array_equal(resample_labels(flipped, flip @ straight, SHAPE), expected)
    assert (expected > 0).sum() == 16 + 4


def test_outside_and_empty() -> None:
    far = np.eye(4)
    far[:3, 3] = 1000
    assert not resample_labels(np.ones((4, 4, 4), np.uint8), far, (8, 8, 8)).any()
    assert not resample_labels(np.zeros((4, 4, 4), np.uint8), np.eye(4), (8, 8, 8)).any()


def test_four_dimensions(tmp_path: Path) -> None:
    path = tmp_path / 'four.nii.gz'
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), path)
    with pytest.raises(ValueError, match=r'four\.nii\.gz.*three dimensions'):
        read_mask(path)
