from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.imaging.intensities import mend, mend_image
from tmsprep.imaging.read import read_image
from tmsprep.imaging.volume import percentile_window

SHAPE = (40, 44, 48)
AIR, TISSUE = 10.0, 400.0


def head() -> np.ndarray:
    """Ball of tissue, dark to bright, in dim noisy air."""
    rng = np.random.default_rng(0)
    tissue = rng.normal(TISSUE, 30, SHAPE) * np.linspace(0.1, 1, SHAPE[2])
    air = np.abs(rng.normal(0, AIR, SHAPE))
    return np.where(ball(), tissue, air).astype(np.float32)


def ball() -> np.ndarray:
    position = np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2
    return np.linalg.norm(position, axis=-1).T < 17


def stripped() -> np.ndarray:
    """Ball of tissue, dark to bright, in a background of 0."""
    return np.where(ball(), head(), 0).astype(np.float32)


#: Where air is, and a place in the bright half of the head.
SLAB, MIDDLE = (slice(0, 2),), (20, 22, 36)


@pytest.mark.parametrize('make', [head, stripped])
@pytest.mark.parametrize('gain', [1, 0.002, 50])
def test_usual_image(make: object, gain: float) -> None:
    data = (make() * gain).astype(np.float32)
    kept = data.copy()
    mended = mend(data)
    assert mended.data is data
    assert mended.findings == ()
    np.testing.assert_array_equal(data, kept)


@pytest.mark.parametrize('value', [32767, -32768, 65535, 4095, 1e30, -1e20, 900, 480])
@pytest.mark.parametrize('make', [head, stripped])
def test_padding(make: object, value: float) -> None:
    data = make()
    expected = data.copy()
    data[SLAB] = value
    mended = mend(data)
    padded = mended.data[SLAB]
    # As dark as the darkest air, and nothing else is changed.
    assert padded.min() == padded.max() <= 1
    np.testing.assert_array_equal(mended.data[2:], expected[2:])
    shown = f'{np.float32(value):g}'
    assert mended.findings == (f'5.0 % of the voxels are padding at {shown}; treated as air',)
    low, high = percentile_window(mended.data)
    assert (low, high) == pytest.approx(percentile_window(expected), abs=1)


def test_dim_padding() -> None:
    # -1 beside an image of 0 to 500 is as good as air.
    data = head()
    data[SLAB] = -1
    assert mend(data).findings == ()


def test_two_paddings_and_hot_voxel() -> None:
    data = head()
    expected = data[2:-2].copy()
    data[:2], data[-2:], data[MIDDLE] = 32767, -32768, 1e30
    mended = mend(data)
    assert [finding.split(';')[0] for finding in mended.findings] == [
        '5.0 % of the voxels are padding at 32767',
        '5.0 % of the voxels are padding at -32768',
        'voxels over 10 times as bright as the head: 1, up to 1e+30',
    ]
    changed = np.argwhere(mended.data[2:-2] != expected)
    assert changed.tolist() == [[MIDDLE[0] - 2, *MIDDLE[1:]]]


@pytest.mark.parametrize('factor', [12, 1e3, 1e10, 1e30])
@pytest.mark.parametrize('side', [1, 3])
def test_hot_voxels(side: int, factor: float) -> None:
    data = head()
    place = tuple(slice(i, i + side) for i in MIDDLE)
    expected = data.copy()
    data[place] = factor * TISSUE
    mended = mend(data)
    expected[place] = mended.data[MIDDLE]
    np.testing.assert_array_equal(mended.data, expected)
    assert 0.5 * TISSUE < mended.data[MIDDLE] < data[MIDDLE] / 10
    assert f'bright as the head: {side**3}, up to' in mended.findings[0]


@pytest.mark.parametrize('factor', [-1, -1e3, -1e30])
def test_cold_voxels(factor: float) -> None:
    data = head()
    data[MIDDLE] = factor * TISSUE
    mended = mend(data)
    assert 0 <= mended.data[MIDDLE] < 5
    assert mended.findings[0].startswith('voxels far darker than air: 1, down to')


def test_vessels_are_kept() -> None:
    data = head()
    data[MIDDLE] = 5 * TISSUE
    assert mend(data).data is data


@pytest.mark.parametrize('case', ['stripped', 'padded', 'framed'])
def test_bright_background(case: str) -> None:
    """Zero mean inside a mask, zeros around an image of zero mean, or a frame in white."""
    if case == 'stripped':
        brain = stripped()
        data = np.where(brain > 0, brain - TISSUE / 2, 0).astype(np.float32)
        background = brain == 0
    else:
        shift = 150 if case == 'padded' else 1 + head().max()
        data = np.pad(head() - shift, 6).astype(np.float32)
        background = np.pad(np.zeros(SHAPE, bool), 6, constant_values=True)
    mended = mend(data, whole_head=False)
    darkest = data[~background].min()
    assert np.ptp(mended.data[background]) == 0
    assert mended.data[background][0] == pytest.approx(darkest, abs=25)
    np.testing.assert_array_equal(mended.data[~background], data[~background])
    assert 'padding at 0; treated as air' in mended.findings[0]


@pytest.mark.parametrize('offset', [-60, -3000, -1e5, 500, 1e5])
@pytest.mark.parametrize('make', [head, stripped])
def test_offset(make: object, offset: float) -> None:
    data = make()
    mended = mend(data + np.float32(offset))
    # float32 keeps 24 bits of the offset; the darkest 0.05 % become 0.
    np.testing.assert_allclose(mended.data, data, rtol=0, atol=0.02)
    assert mended.data.min() == 0
    assert len(mended.findings) == 1
    assert 'is subtracted from all intensities' in mended.findings[0]
    kept = mend(data + np.float32(offset), whole_head=False)
    assert kept.findings == ()


def test_offset_and_padding_and_hot_voxel() -> None:
    data = head() - 3000
    expected = head()[2:]
    data[SLAB], data[MIDDLE] = 0, 1e10
    mended = mend(data)
    assert [finding.split(' at ')[0] for finding in mended.findings][::2] == [
        '5.0 % of the voxels are padding',
        'air is',
    ]
    changed = np.abs(mended.data[2:] - expected) > 0.02
    assert np.argwhere(changed).tolist() == [[MIDDLE[0] - 2, *MIDDLE[1:]]]
    assert mended.data[SLAB].max() <= 0.02


def test_zero_mean_brain_is_stripped_again() -> None:
    brain = stripped()
    mended = mend(np.where(brain > 0, (brain - 200) / 90, 0).astype(np.float32))
    assert np.count_nonzero(mended.data[brain == 0]) == 0
    assert np.count_nonzero(mended.data) > 0.99 * np.count_nonzero(brain)


@pytest.mark.parametrize('make', [head, stripped])
def test_inverted_contrast_is_kept(make: object) -> None:
    # Bright air is no padding: nothing is left that could be air.
    inverted = make().max() - make()
    assert not any('padding' in finding for finding in mend(inverted).findings)


@pytest.mark.parametrize('levels', [2, 5, 20])
def test_drawn_image(levels: int) -> None:
    drawn = np.random.default_rng(0).integers(0, levels, SHAPE).astype(np.float32)
    drawn[drawn == levels - 1] = 100 * levels
    assert mend(drawn, whole_head=False).findings == ()


@given(
    values=st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=8, max_size=8),
    repeats=st.integers(1, 30),
)
@settings(max_examples=50)
def test_any_numbers(values: list[float], repeats: int) -> None:
    data = np.tile(np.array(values, np.float32).reshape(2, 2, 2), (repeats, 1, 2))
    data[: repeats // 2] *= np.float32(0.37)
    with np.errstate(over='ignore'):
        mended = mend(data)
    assert mended.data.shape == data.shape
    assert mended.data.dtype == np.float32
    assert np.isfinite(mended.data).all()


@pytest.mark.parametrize('offset', [0, -3000])
def test_nan_padding(tmp_path: Path, offset: float, caplog: pytest.LogCaptureFixture) -> None:
    data = head() + np.float32(offset)
    expected = data.copy()
    data[SLAB] = np.nan
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / 'x.nii')
    with caplog.at_level(logging.WARNING):
        image, findings, _ = mend_image(read_image(tmp_path / 'x.nii'), 'x.nii', whole_head=False)
    found = np.asanyarray(image.dataobj)
    np.testing.assert_array_equal(found[2:], expected[2:])
    air = 0 if offset == 0 else np.percentile(expected[2:], 5)
    np.testing.assert_allclose(found[SLAB], air)
    assert findings == (f'4224 voxels are NaN or infinite; set to {air:g}, as air',)
    assert caplog.text.count(findings[0]) == 1


def test_findings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    data = head()
    data[SLAB] = 32767
    image = nib.Nifti1Image(data, np.diag([-2.0, 2, 2, 1]))
    with caplog.at_level(logging.WARNING):
        mended, findings, _ = mend_image(image, 'sub-01_T1w.nii.gz')
    assert f'sub-01_T1w.nii.gz: {findings[0]}.' in caplog.text
    np.testing.assert_array_equal(mended.affine, image.affine)
    assert image.get_fdata().max() == 32767
    assert mended.get_fdata().max() < 600
    assert mend_image(mended, 'again').image is mended
