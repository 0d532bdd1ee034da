from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from tmsprep.imaging.scanner_frame import ImageError
from tmsprep.intake import IntakeError
from tmsprep.intake.nifti import copy_image
from tmsprep.intake.raw import add_image, image_of

AFFINE = np.array([[-0.9, 0.1, 0, 80], [0.1, 0.9, 0, -100], [0, 0, 1.1, -60], [0, 0, 0, 1.0]])


def write(path: Path, kind: type = nib.Nifti1Image, data: np.ndarray | None = None) -> Path:
    """Write an image whose header names the patient wherever it can."""
    if data is None:
        data = np.arange(4 * 5 * 6, dtype='>i2').reshape(4, 5, 6)
    # Otherwise nibabel writes in the byte order of the machine.
    header = kind.header_class(endianness='>' if data.dtype.byteorder == '>' else '<')
    header.set_data_dtype(data.dtype)
    image = kind(data, AFFINE, header)
    image.header.set_slope_inter(2.5, -3)
    image.set_qform(AFFINE, 1, strip_shears=True)
    image.set_sform(AFFINE, 2)
    image.header['descrip'] = b'Musterfrau 1957'
    image.header['aux_file'] = b'Musterfrau'
    image.header['intent_name'] = b'Musterfrau'
    if kind is nib.Nifti1Image:
        image.header['db_name'] = b'Musterfrau'
        image.header['data_type'] = b'Musterfr'
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'Erika Musterfrau'))
    nib.save(image, path)
    return path


@pytest.mark.parametrize('kind', [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize('name', ['Musterfrau.nii', 'Musterfrau.nii.gz'])
def test_copy(tmp_path: Path, kind: type, name: str) -> None:
    source, target = write(tmp_path / name, kind), tmp_path / 'out' / 'x.nii.gz'
    assert copy_image(source, target)
    before, after = nib.load(source), nib.load(target)
    content = gzip.decompress(target.read_bytes())
    assert b'uster' not in content
    assert b'uster' not in target.read_bytes()
    assert type(after) is kind
    assert after.get_data_dtype() == np.dtype('>i2')
    assert np.array_equal(before.dataobj.get_unscaled(), after.dataobj.get_unscaled())
    assert (after.dataobj.slope, after.dataobj.inter) == (2.5, -3)
    for frame in ('get_sform', 'get_qform'):
        (old, code), (new, again) = (getattr(i, frame)(coded=True) for i in (before, after))
        assert code == again
        assert np.array_equal(old, new)
    assert list(tmp_path.glob('out/*')) == [target]


@settings(max_examples=25)
@given(
    data=stn.arrays(
        st.sampled_from(['u1', '<i2', '>i2', '<u2', '<i4', '<f4', '>f4', '<f8']),
        stn.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=5),
    )
)
def test_any_voxels(tmp_path_factory: pytest.TempPathFactory, data: np.ndarray) -> None:
    """The bytes of the voxels stay; a copy of a copy is the copy."""
    folder = tmp_path_factory.mktemp('copy')
    source = write(folder / 'a.nii', data=data)
    copy_image(source, folder / 'b.nii.gz')
    copy_image(folder / 'b.nii.gz', folder / 'c.nii.gz')
    voxels = data.tobytes(order='F')
    assert gzip.decompress((folder / 'b.nii.gz').read_bytes())[352:] == voxels
    assert (folder / 'c.nii.gz').read_bytes() == (folder / 'b.nii.gz').read_bytes()


def test_same_and_other(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    image = image_of(out, '07', {})
    assert image.path == out / 'sourcedata/raw/sub-07/anat/sub-07_T1w.nii.gz'
    source = write(tmp_path / 'a.nii')
    assert add_image(source, image, out, {'EchoTime': 0.003})
    first = image.path.read_bytes()
    # The same image from another file, compressed and with another header text.
    again = bytearray(source.read_bytes())
    again[148:155] = b'station'
    (tmp_path / 'b.nii.gz').write_bytes(gzip.compress(again))
    assert not add_image(tmp_path / 'b.nii.gz', image, out, {})
    other = write(tmp_path / 'c.nii', data=np.ones((4, 5, 6), '>i2'))
    with pytest.raises(IntakeError, match=r'another image, and is not replaced.*--id \(taken: 07'):
        add_image(other, image, out, {})
    with pytest.raises(IntakeError, match='another image, and is not replaced'):
        add_image(other, image, out, {}, dry_run=True)
    assert image.path.read_bytes() == first
    assert image.path.with_name('sub-07_T1w.json').read_text() == '{\n  "EchoTime": 0.003\n}\n'
    image.path.unlink()
    assert add_image(other, image, out, {'EchoTime': 0.004})
    assert image.path.with_name('sub-07_T1w.json').read_text() == '{\n  "EchoTime": 0.004\n}\n'
    assert add_image(other, image_of(out, '08', {}), out, {}, dry_run=True)
    assert not image_of(out, '08', {}).path.exists()
    assert add_image(other, image_of(out, '08', {}), out, {})


def test_name_that_the_filter_selects(tmp_path: Path) -> None:
    filters = {'t1w': {'acquisition': 'neuromelanin', 'ceagent': None, 'part': [None, 'mag']}}
    image = image_of(tmp_path, '1', filters)
    assert image.path.name == 'sub-1_acq-neuromelanin_T1w.nii.gz'


def test_foreign_data_set(tmp_path: Path) -> None:
    source, out = write(tmp_path / 'a.nii'), tmp_path / 'out'
    raw = out / 'sourcedata' / 'raw'
    raw.mkdir(parents=True)
    (raw / 'dataset_description.json').write_text('{"Name": "a study"}')
    with pytest.raises(IntakeError, match='holds a data set already'):
        add_image(source, image_of(out, '1', {}), out, {})
    (raw / 'dataset_description.json').unlink()
    raw.rmdir()
    (tmp_path / 'study').mkdir()
    raw.symlink_to(tmp_path / 'study')
    with pytest.raises(IntakeError, match='holds a data set already'):
        add_image(source, image_of(out, '1', {}), out, {})
    assert list((tmp_path / 'study').iterdir()) == []


def test_damaged(tmp_path: Path) -> None:
    source = write(tmp_path / 'a.nii')
    source.write_bytes(source.read_bytes()[:-20])
    with pytest.raises(ImageError, match='cut short'):
        copy_image(source, tmp_path / 'b.nii.gz')
    assert not (tmp_path / 'b.nii.gz').exists()
