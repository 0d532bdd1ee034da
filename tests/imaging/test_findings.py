from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tmsprep.imaging.findings import cut_by_zeros, overflowed, slice_order
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import ImageError, read_image

SHAPE = (60, 70, 80)


@pytest.fixture(scope='module')
def head() -> np.ndarray:
    """Return an ellipsoid of smooth tissue, 0 to 1, with noise in the air around."""
    rng = np.random.default_rng(1)
    places = np.stack(np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in SHAPE), indexing='ij'))
    tissue = 0.6 + 4 * gaussian_filter(rng.normal(size=SHAPE), 3)
    made = np.where((places**2).sum(axis=0) < 1, np.clip(tissue, 0.1, None), 0)
    made = np.abs(gaussian_filter(made, 0.7) + 0.02 * rng.normal(size=SHAPE))
    return (made / made.max()).astype(np.float32)


@pytest.mark.parametrize('share', [0.001, 0.005, 0.02, 0.04])
@pytest.mark.parametrize('dtype', [np.int16, np.int8])
def test_overflow(head: np.ndarray, share: float, dtype: type) -> None:
    top = np.iinfo(dtype).max
    scaled = np.rint(head / np.quantile(head, 1 - share) * top).astype(np.int64)
    found = overflowed(scaled.astype(dtype))
    small = scaled < top * 1.95
    np.testing.assert_array_equal(found[small], scaled[small] > top)
    assert found.sum() > 0.8 * share * scaled.size
    assert overflowed(np.minimum(scaled, top).astype(dtype)) is None


def signed_noise(head: np.ndarray) -> np.ndarray:
    """As the uniform image of MP2RAGE: noise of both signs where there is no signal."""
    noise = np.random.default_rng(2).uniform(-1, 1, SHAPE)
    return np.where(head > 0.2, 2 * head - 1, noise) * 32767


def hounsfield(head: np.ndarray) -> np.ndarray:
    return np.where(head > 0.2, 3000 * head, -1000)


def full_range(head: np.ndarray) -> np.ndarray:
    """As nibabel stores floats, with an intercept."""
    return head * 65535 - 32768


def padded(head: np.ndarray) -> np.ndarray:
    made = head * 32767
    made[:, :, :9] = -32768
    return made


@pytest.mark.parametrize('make', [signed_noise, hounsfield, full_range, padded])
def test_negative_without_overflow(head: np.ndarray, make: object) -> None:
    assert overflowed(make(head).astype(np.int16)) is None


def test_floats_do_not_overflow(head: np.ndarray) -> None:
    assert overflowed(head * 1e5 - 5e4) is None


@pytest.mark.parametrize('share', [0.456, 0.519, 0.706])
def test_zeros_for_the_end(head: np.ndarray, share: float) -> None:
    flat = (head * 1000 + 1).astype(np.int16).ravel(order='F')
    flat[int(share * flat.size) :] = 0
    found = cut_by_zeros(flat.reshape(SHAPE, order='F'))
    assert f'the last {1 - share:.0%} of the voxels are zeros' in found


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_object_ends(head: np.ndarray, axis: int) -> None:
    """Zero around a masked head, and in whole slices at the end, is no loss."""
    masked = np.moveaxis(np.where(head > 0.2, head, 0), axis, 2)
    assert cut_by_zeros(masked) == cut_by_zeros(masked[:, :, ::-1]) == ''
    padded_end = masked.copy()
    padded_end[:, :, padded_end.shape[2] // 2 :] = 0
    assert cut_by_zeros(padded_end) == ''


def mixed(head: np.ndarray, axis: int, order: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.moveaxis(head, axis, 0)[order], 0, axis)


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('parts', [2, 3])
def test_interleaved_slices(head: np.ndarray, axis: int, parts: int) -> None:
    n = SHAPE[axis]
    order = np.concatenate([np.arange(start, n, parts) for start in range(parts)])
    assert 'their order is wrong' in slice_order(mixed(head, axis, order))


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_shuffled_slices(head: np.ndarray, axis: int) -> None:
    order = np.random.default_rng(3).permutation(SHAPE[axis])
    assert slice_order(mixed(head, axis, order)) != ''


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('lost', [15, 25])
def test_missing_slices(head: np.ndarray, axis: int, lost: int) -> None:
    half = SHAPE[axis] // 2
    order = np.r_[:half, half + lost : SHAPE[axis]]
    place = f'slices {half - 1} and {half} along the {("first", "second", "third")[axis]} axis'
    assert place in slice_order(mixed(head, axis, order))


def test_good_slices(head: np.ndarray) -> None:
    masked = np.where(head > 0.2, head, 0)
    cut_out = head.copy()
    cut_out[:20, :35, :40] = 0
    dark = head.copy()
    dark[:, :, 40] *= 0.7
    for good in (head, masked, cut_out, dark, head[:, :, ::4], head[::-1], 1 - head):
        assert slice_order(good) == ''


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('behind', [False, True])
def test_padded_view(head: np.ndarray, axis: int, behind: bool) -> None:
    """A view two and a half times as long as the head; and slices are named as in the file."""
    count = 3 * head.shape[axis] // 2
    widths = [(0, 0)] * 3
    widths[axis] = (0, count) if behind else (count, 0)
    assert slice_order(np.pad(head, widths)) == ''
    middle = head.shape[axis] // 2
    lost = np.delete(head, np.arange(middle, middle + 12), axis)
    place = middle - 1 + widths[axis][0]
    assert f'slices {place} and {place + 1} along' in slice_order(np.pad(lost, widths))


def test_constant_has_no_order() -> None:
    assert slice_order(np.zeros(SHAPE, np.float32)) == ''
    assert slice_order(np.ones(SHAPE, np.float32)) == ''


@pytest.mark.parametrize('slope', [1, 0.25])
def test_overflowed_file(
    head: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture, slope: float
) -> None:
    """The image is read as if it had been written in a wider type."""
    path = tmp_path / 'sub-01_T1w.nii.gz'
    scaled = np.rint(head / np.quantile(head, 0.99) * 32767).astype(np.int64)
    assert scaled.max() < 64000
    made = nib.Nifti1Image(scaled.astype(np.int16), np.eye(4))
    made.header.set_slope_inter(slope, 7)
    nib.save(made, path)
    with caplog.at_level(logging.WARNING):
        image = read_image(path)
    np.testing.assert_array_equal(image.get_fdata(), scaled * slope + 7)
    (finding,) = image.extra['findings']
    assert 'overflowed int16' in finding
    assert f'{path}: {finding}.' in caplog.text


def test_file_with_zeros_for_the_end(head: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / 'sub-01_T1w.nii'
    nib.save(nib.Nifti1Image((head * 1000 + 1).astype(np.int16), np.eye(4)), path)
    made = bytearray(path.read_bytes())
    start = int(0.506 * len(made))
    made[start:] = bytes(len(made) - start)
    path.write_bytes(made)
    with pytest.raises(ImageError, match=r'T1w\.nii: cut short: the last 49% .* copy the file'):
        read_image(path)


def test_file_with_mixed_slices(head: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / 'sub-01_T1w.nii'
    order = np.r_[0 : SHAPE[2] : 2, 1 : SHAPE[2] : 2]
    nib.save(nib.Nifti1Image(head[:, :, order], np.eye(4)), path)
    _, findings, doubts = mend_image(read_image(path), path)
    assert findings == doubts
    assert 'along the third axis' in doubts[0]


@pytest.mark.parametrize('value', [32767, -32768])
def test_file_with_padded_slices(head: np.ndarray, tmp_path: Path, value: int) -> None:
    """Padding is no slice in a wrong order."""
    path = tmp_path / 'sub-01_T1w.nii'
    padded = head * 1000
    padded[:2] = value
    nib.save(nib.Nifti1Image(padded, np.eye(4)), path)
    _, findings, doubts = mend_image(read_image(path), path)
    assert f'padding at {value}' in findings[0]
    assert doubts == ()
