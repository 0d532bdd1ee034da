from __future__ import annotations

import gzip
import os
import re
import tracemalloc
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tmsprep
from tmsprep.files import file_sha256
from tmsprep.imaging.nifti_file import (
    MAX_MEMORY_SHARE,
    MAX_VOXELS,
    open_nifti,
    require_memory,
)
from tmsprep.imaging.read import ImageError, load_nifti, read_geometry, read_image, read_source
from tmsprep.running.machine import available_memory_gb

SHAPE = (8, 9, 10)
AFFINE = np.diag([-1.0, 1.25, 1.5, 1.0])


def voxels(dtype: type = np.int16) -> np.ndarray:
    return (np.arange(np.prod(SHAPE)) % 251 + 1).reshape(SHAPE).astype(dtype)


def content(kind: type[nib.Nifti1Image] = nib.Nifti1Image, **fields: object) -> bytes:
    """Return a file whose header fields are replaced, as nibabel itself would refuse to."""
    image = kind(voxels(), AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 1)
    made = bytearray(image.to_bytes())
    for field, value in fields.items():
        dtype, offset = image.header.template_dtype.fields[field][:2]
        new = np.array(value, dtype=dtype.base).tobytes()
        made[offset : offset + len(new)] = new
    return bytes(made)


def write(path: Path, made: bytes) -> Path:
    path.write_bytes(gzip.compress(made, mtime=0) if path.suffix == '.gz' else made)
    return path


def refused(path: Path, *words: str) -> None:
    for read in (read_image, load_nifti):
        with pytest.raises(ImageError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f'{path}: ')
        assert all(word in message for word in words), message


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz'])
@pytest.mark.parametrize('offset', [0, 348, 16, -352])
@pytest.mark.parametrize('magic', [b'n+1', b'ni1'])
def test_offset_inside_header(tmp_path: Path, name: str, offset: int, magic: bytes) -> None:
    """The voxels begin where the length of the file shows."""
    path = write(tmp_path / name, content(vox_offset=offset, magic=magic))
    np.testing.assert_array_equal(read_image(path).get_fdata(), voxels())
    np.testing.assert_array_equal(load_nifti(path).get_fdata(), voxels())


def test_offset_of_second_version(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.nii', content(nib.Nifti2Image, vox_offset=0))
    np.testing.assert_array_equal(read_image(path).get_fdata(), voxels())


def test_extension(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'x' * 100))
    nib.save(image, tmp_path / 'a.nii.gz')
    np.testing.assert_array_equal(read_image(tmp_path / 'a.nii.gz').get_fdata(), voxels())


@pytest.mark.parametrize('offset', [353, 368, 1e30, np.nan, np.inf, 352.5])
def test_wrong_offset(tmp_path: Path, offset: float) -> None:
    refused(write(tmp_path / 'a.nii', content(vox_offset=offset)), 'dcm2niix')


@pytest.mark.parametrize('count', [4, 5, 7])
def test_dimension_of_zero(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / 'a.nii.gz', content(dim=[count, *SHAPE, 0, 0, 0, 0]))
    assert read_image(path).shape == SHAPE
    np.testing.assert_array_equal(load_nifti(path).get_fdata().reshape(SHAPE), voxels())


@pytest.mark.parametrize('dim', [[3, 8, 9, 0, 1, 1, 1, 1], [3, 8, -9, 10, 1, 1, 1, 1]])
def test_empty_volume(tmp_path: Path, dim: list[int]) -> None:
    refused(write(tmp_path / 'a.nii.gz', content(dim=dim)), 'dimensions')


def packed() -> bytes:
    return gzip.compress(content(), mtime=0)


#: What happens to the end of a file, and a word of the message.
DAMAGED = {
    'checksum': (packed()[:-8] + bytes(4) + packed()[-4:], 'incorrect data check'),
    'length': (packed()[:-4] + bytes(4), 'incorrect length check'),
    'no trailer': (packed()[:-8], 'too early'),
    'half a trailer': (packed()[:-3], 'too early'),
    'zeros behind': (packed() + bytes(512), 'damaged'),
    'text behind': (packed() + b'<html>', 'damaged'),
    'zeros for the end': (packed()[:-200] + bytes(200), 'damaged'),
    'more voxels': (gzip.compress(content() + bytes(2)), 'more bytes than'),
    'fewer voxels': (gzip.compress(content()[:-1]), 'cut short: 1,791 of 1,792 bytes'),
}


@pytest.mark.parametrize('case', DAMAGED)
def test_damaged_end(tmp_path: Path, case: str) -> None:
    made, word = DAMAGED[case]
    (tmp_path / 'a.nii.gz').write_bytes(made)
    refused(tmp_path / 'a.nii.gz', word, 'copy the file again')


@pytest.mark.parametrize('more', [-1, 1, 2, 4096, 1_000_000])
def test_length_of_plain_file(tmp_path: Path, more: int) -> None:
    made = content()[:more] if more < 0 else content() + bytes(more)
    path = write(tmp_path / 'a.nii', made)
    refused(path, f'{more:,} bytes more than' if more > 0 else 'cut short', 'copy the file again')


def test_several_members(tmp_path: Path) -> None:
    """Parallel programs write blocks that each are a member of gzip, and an empty last one."""
    made, path = content(), tmp_path / 'a.nii.gz'
    cuts = [0, 100, 352, 900, len(made), len(made)]
    parts = [made[a:b] for a, b in zip(cuts, [*cuts[1:], len(made)], strict=True)]
    path.write_bytes(b''.join(gzip.compress(part) for part in parts))
    np.testing.assert_array_equal(read_image(path).get_fdata(), voxels())


def peak_mb(path: Path) -> float:
    """Refuse a file by each way of reading; return the largest memory that was taken, MB."""
    tracemalloc.start()
    try:
        for read in (read_image, read_geometry, load_nifti):
            with pytest.raises(ImageError, match=path.name):
                read(path)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('name', ['a.nii', 'a.nii.gz'])
def test_header_promises_too_much(tmp_path: Path, name: str) -> None:
    made = content(dim=[3, 2000, 2000, 2500, 1, 1, 1, 1]) + os.urandom(16_000)
    path = write(tmp_path / name, made)
    assert peak_mb(path) < 5
    refused(path, '20,000,000,352 bytes', 'cannot hold')


def test_more_than_memory(tmp_path: Path) -> None:
    """The file could hold what its header announces, as a file of zeros would."""
    made = content(dim=[3, 1025, 1024, 1024, 1, 1, 1, 1], datatype=2) + os.urandom(1_100_000)
    path = write(tmp_path / 'a.nii.gz', made)
    assert peak_mb(path) < 5
    refused(path, f'more than the {MAX_VOXELS:,} that are read', 'flirt')


def test_require_memory() -> None:
    allowed = MAX_MEMORY_SHARE * available_memory_gb() * 1e9
    require_memory(0.99 * allowed, Path('a.nii'), 'x')
    with pytest.raises(ImageError, match=r'^a\.nii: too large: x takes .* more memory\.$'):
        require_memory(1.01 * allowed, Path('a.nii'), 'x')


def test_unpacked_within_bound(tmp_path: Path) -> None:
    """A small header before gigabytes of zeros."""
    path, pack = tmp_path / 'a.nii.gz', zlib.compressobj(wbits=31)
    zeros = bytes(2**20)
    blocks = [pack.compress(content()), *(pack.compress(zeros) for _ in range(64)), pack.flush()]
    path.write_bytes(b''.join(blocks))
    tracemalloc.start()
    refused(path, 'more bytes than')
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_checksum_of_what_was_read(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.nii.gz', content())
    assert read_source(path).sha256 == file_sha256(path)
    plain = write(tmp_path / 'a.nii', content())
    assert read_source(plain).sha256 == file_sha256(plain)


def test_replaced_while_read(tmp_path: Path) -> None:
    """Another image of the same name between header and voxels changes neither."""
    path = write(tmp_path / 'a.nii.gz', content())
    before = file_sha256(path)
    other = nib.Nifti1Image(voxels() + 1, AFFINE)
    nib.save(other, tmp_path / 'b.nii.gz')
    with open_nifti(path) as file:
        (tmp_path / 'b.nii.gz').replace(path)
        read, sha256 = file.read()
    np.testing.assert_array_equal(np.asarray(read), voxels())
    assert sha256 == before != file_sha256(path)


def test_written_to_while_read(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.nii', content())
    with open_nifti(path) as file:
        path.write_bytes(content())
        os.utime(path, ns=(1, 1))
        with pytest.raises(ImageError, match=r'a\.nii: the file was written to while it was read'):
            file.read()


FIELDS = sorted(nib.nifti1.header_dtype.names)


@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), st.binary(min_size=4, max_size=80), max_size=3)
)
@settings(max_examples=200)
def test_random_fields(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, bytes]) -> None:
    """Either the image is read, finite and in a frame, or it is refused by name; never more."""
    made = bytearray(content())
    for field, value in fields.items():
        dtype, offset = nib.nifti1.header_dtype.fields[field][:2]
        made[offset : offset + dtype.itemsize] = (value * 20)[: dtype.itemsize]
    path = write(tmp_path_factory.mktemp('fuzz') / 'a.nii', bytes(made))
    tracemalloc.start()
    named = []
    for read in (read_image, load_nifti):
        try:
            image = read(path)
            data = np.asanyarray(image.dataobj)
        except ImageError as error:
            named.append(str(error).startswith(f'{path}: '))
            continue
        if read is read_image:
            assert np.isfinite(data).all()
            assert np.isfinite(image.affine).all()
            assert data.ndim == 3
    assert all(named)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@given(place=st.integers(10, len(packed()) - 1), bit=st.integers(0, 7))
@settings(max_examples=150)
def test_flipped_bit(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    """No bit of the compressed data changes a voxel in silence."""
    made = bytearray(packed())
    made[place] ^= 1 << bit
    path = tmp_path_factory.mktemp('fuzz') / 'a.nii.gz'
    path.write_bytes(made)
    with pytest.raises(ImageError, match=r'a\.nii\.gz: '):
        read_image(path)


@given(length=st.integers(0, len(packed()) - 1))
@settings(max_examples=100)
def test_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp('fuzz') / 'a.nii.gz'
    path.write_bytes(packed()[:length])
    with pytest.raises(ImageError, match=r'a\.nii\.gz: '):
        read_image(path)


#: Where images that a run has made itself, in its working directory, are opened by nibabel.
OWN_FILES = {
    *('interfaces/figures.py', 'methods/base.py', 'methods/baxter2021/localize.py'),
    *('methods/syn/locate.py', 'methods/syn/method.py', 'methods/duennwald2021/method.py'),
    *('methods/duennwald2021/locate.py', 'methods/duennwald2021/locate_stages.py'),
    *('methods/duennwald2021/derivatives.py',),
    *('methods/syn/given.py', 'methods/places.py', 'point_table.py', 'scalp/outcomes.py'),
}


def test_one_reader() -> None:
    """No road goes around the bounds and checksums of this reader."""
    package = Path(tmsprep.__file__).parent
    texts = {p.relative_to(package).as_posix(): p.read_text() for p in package.rglob('*.py')}
    assert [name for name, text in texts.items() if re.search(r'\bnib(abel)?\.load\(', text)] == []
    assert {name for name, text in texts.items() if '.from_filename(' in text} <= OWN_FILES
