from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.imaging.mgh_file import load_mgh
from tmsprep.imaging.read import ImageError

AFFINE = np.array([[-1.0, 0, 0, 90], [0, 0, 1, -80], [0, -1, 0, 70], [0, 0, 0, 1]])


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    data = np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10)
    nib.save(nib.MGHImage(data, AFFINE), tmp_path / 'orig.mgz')
    return tmp_path / 'orig.mgz'


def test_volume(volume: Path) -> None:
    """As nibabel reads it: voxels, and their places in the scanner."""
    image, expected = load_mgh(volume), nib.load(volume)
    assert (np.asarray(image.dataobj) == np.asarray(expected.dataobj)).all()
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)


def write(path: Path, start: int, content: bytes) -> None:
    whole = bytearray(gzip.decompress(path.read_bytes()))
    whole[start : start + len(content)] = content
    path.write_bytes(gzip.compress(bytes(whole), mtime=0))


DAMAGED = {
    'version': (0, b'\0\0\0\7', 'not one volume of FreeSurfer'),
    'no voxels': (4, b'\0\0\0\0', 'not one volume of FreeSurfer'),
    'negative': (4, b'\xff\xff\xff\xff', 'not one volume of FreeSurfer'),
    'series': (16, b'\0\0\0\2', 'not one volume of FreeSurfer'),
    'larger than a head': (4, b'\0\x0f\xff\xff' * 3, 'more than a head has'),
    'more voxels than bytes': (4, b'\0\0\0\x50', 'cut short'),
    'type': (20, b'\0\0\0\x63', 'unknown type of voxels'),
    'nowhere': (28, b'\0\0', 'does not say where in the scanner it lies'),
    'flat': (42, bytes(36), 'cannot be inverted'),
}


@pytest.mark.parametrize('case', DAMAGED)
def test_damaged(volume: Path, case: str) -> None:
    start, content, words = DAMAGED[case]
    write(volume, start, content)
    with pytest.raises(ImageError, match=words) as caught:
        load_mgh(volume)
    assert str(caught.value).startswith(f'{volume}: ')


@pytest.mark.parametrize(
    'content', [b'', b'text', gzip.compress(b'', mtime=0), gzip.compress(bytes(99), mtime=0)]
)
def test_not_a_volume(volume: Path, content: bytes) -> None:
    volume.write_bytes(content)
    with pytest.raises(ImageError, match=r'orig\.mgz: '):
        load_mgh(volume)


def test_cut_short(volume: Path) -> None:
    volume.write_bytes(volume.read_bytes()[:-100])
    with pytest.raises(ImageError, match='cut short'):
        load_mgh(volume)
    with pytest.raises(ImageError, match='no such file'):
        load_mgh(volume.with_name('none.mgz'))
