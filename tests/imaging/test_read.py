from __future__ import annotations

import contextlib
import gzip
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tmsprep.imaging.read import ImageError, load_nifti, read_geometry, read_image

SHAPE = (8, 9, 10)
NAME = 'sub-01_T1w.nii.gz'
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(z=0.1, y=-0.2, x=0.3) @ np.diag([-1.0, 1.25, 1.5]), [10, -20, 30]
)


def voxels() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def image(
    data: np.ndarray | None = None,
    *,
    qform: np.ndarray | None = OBLIQUE,
    sform: np.ndarray | None = OBLIQUE,
) -> nib.Nifti1Image:
    made = nib.Nifti1Image(voxels() if data is None else data, None)
    made.set_qform(qform, 0 if qform is None else 1)
    made.set_sform(sform, 0 if sform is None else 1)
    return made


def save(path: Path, made: nib.Nifti1Image) -> None:
    nib.save(made, path)


def patch_header(path: Path, field: str, value: float) -> None:
    """Overwrite one header field of a saved file, as nibabel itself would refuse to."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    dtype, offset = nib.nifti1.header_dtype.fields[field][:2]
    new = np.array(value, dtype=dtype.base).tobytes()
    content[offset : offset + len(new)] = new
    path.write_bytes(gzip.compress(bytes(content)))


def shifted(mm: float) -> np.ndarray:
    moved = OBLIQUE.copy()
    moved[0, 3] += mm
    return moved


def turned(degrees: float) -> np.ndarray:
    """Turn about the volume's centre, so that corners of this small volume stay within 1 mm."""
    centre = OBLIQUE @ [*((n - 1) / 2 for n in SHAPE), 1]
    turn = nib.eulerangles.euler2mat(z=np.radians(degrees))
    about = nib.affines.from_matvec(turn, centre[:3] - turn @ centre[:3])
    return about @ OBLIQUE


def sheared(degrees: float) -> np.ndarray:
    shear = np.eye(4)
    shear[0, 1] = np.tan(np.radians(degrees))
    return shear @ np.diag([1.0, 1, 1, 1])


def with_nan(count: int, *, inside: bool = False) -> np.ndarray:
    data = voxels()
    where = data[2, 4] if inside else data.reshape(-1)
    where[-count - inside : len(where) - inside] = np.nan
    return data


def cut(path: Path, share: float) -> None:
    rng = np.random.default_rng(0)
    save(path, image(rng.normal(size=SHAPE).astype(np.float32)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def code_both_zero(path: Path) -> None:
    save(path, image(qform=None, sform=None))


def zero_affine(path: Path) -> None:
    save(path, image())
    for field in ('srow_x', 'srow_y', 'srow_z'):
        patch_header(path, field, [0, 0, 0, 0])


def flat_affine(path: Path) -> None:
    save(path, image(qform=None))
    patch_header(path, 'srow_z', [1, 0, 0, 0])
    patch_header(path, 'srow_x', [1, 0, 0, 0])


def broken_quaternion(path: Path) -> None:
    save(path, image(sform=None))
    patch_header(path, 'quatern_b', 3.0)


def rgb(path: Path) -> None:
    colours = np.zeros(SHAPE, dtype=[('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
    save(path, image(colours))


def dangling(path: Path) -> None:
    path.symlink_to('../.git/annex/objects/xx/yy/MD5E-s1--0.nii.gz')


def nan_affine(path: Path) -> None:
    save(path, image())
    patch_header(path, 'srow_y', [np.nan, 1, 0, 0])


def microns(path: Path) -> None:
    affine = np.diag([1000.0, 1000, 1000, 1])
    save(path, image(qform=affine, sform=affine))


def directory(path: Path) -> None:
    path.mkdir()


def nothing(path: Path) -> None:
    pass


def analyze(path: Path) -> None:
    made = nib.Spm2AnalyzeImage(voxels().astype(np.int16), np.eye(4))
    made.to_filename(path.parent / 'x.img')
    path.write_bytes(gzip.compress((path.parent / 'x.hdr').read_bytes() + bytes(4000)))


def plain_nifti(path: Path) -> None:
    save(path.with_suffix(''), image())
    path.with_suffix('').rename(path)


#: How the file is made, a word of the problem, a word of the cure.
BAD: dict[str, tuple[Callable[[Path], None], str, str]] = {
    'missing': (nothing, 'no such file', 'Check the name'),
    'folder': (directory, 'not a file', 'one .nii.gz file'),
    'dangling link': (dangling, 'leads nowhere', 'datalad get'),
    'annex pointer': (
        lambda path: path.write_text('/annex/objects/MD5E-s1--0.nii.gz\n'),
        'git-annex',
        'datalad get',
    ),
    'empty': (lambda path: path.write_bytes(b''), 'empty', 'copy the file again'),
    'header cut': (lambda path: cut(path, 0.02), 'cut short', 'copy the file again'),
    'data cut': (lambda path: cut(path, 0.6), 'cut short', 'copy the file again'),
    'text': (lambda path: path.write_text('not an image\n' * 99), 'text file', 'dcm2niix'),
    'binary': (lambda path: path.write_bytes(b'\x00\xff' * 999), 'not compressed', 'dcm2niix'),
    'zipped text': (
        lambda path: path.write_bytes(gzip.compress(b'not an image\n' * 99)),
        'not a NIfTI',
        'dcm2niix',
    ),
    'unzipped NIfTI': (plain_nifti, 'not compressed', 'Rename it to .nii'),
    'Analyze': (analyze, 'not', 'dcm2niix'),
    '4D': (lambda path: save(path, image(np.ones((*SHAPE, 3)))), '3 volumes', 'fslroi'),
    '2D': (lambda path: save(path, image(np.ones((8, 9)))), 'flat', 'whole volume'),
    'one slice': (lambda path: save(path, image(np.ones((8, 9, 1)))), 'flat', 'whole volume'),
    'all NaN': (
        lambda path: save(path, image(np.full(SHAPE, np.nan, np.float32))),
        '720 voxels (100.0%)',
        'fslmaths',
    ),
    'many NaN': (
        lambda path: save(path, image(with_nan(8, inside=True))),
        '8 voxels (1.1%)',
        'set them to 0',
    ),
    'constant': (lambda path: save(path, image(np.ones(SHAPE))), 'all voxels are 1', 'again'),
    'complex': (
        lambda path: save(path, image(voxels().astype(np.complex64))),
        'complex',
        'magnitude',
    ),
    'unknown type': (
        lambda path: (save(path, image()), patch_header(path, 'datatype', 77)),
        'datatype 77',
        'again',
    ),
    'RGB': (rgb, 'colours', 'grey values'),
    'zero affine': (zero_affine, 'cannot be inverted', 'dcm2niix'),
    'flat affine': (flat_affine, 'cannot be inverted', 'dcm2niix'),
    'NaN affine': (nan_affine, 'not finite', 'dcm2niix'),
    'broken qform': (broken_quaternion, 'broken', 'again'),
    'microns': (microns, 'voxels of 1000 x 1000 x 1000 mm', 'correct it'),
    'sheared': (lambda path: save(path, image(qform=None, sform=sheared(0.2))), '0.20', 'shear'),
    'shifted': (lambda path: save(path, image(sform=shifted(1.1))), '1.1 mm', 'make them agree'),
    'turned': (lambda path: save(path, image(sform=turned(1.2))), '1.2 degrees', '-copysform2q'),
    'mirrored': (
        lambda path: save(path, image(sform=OBLIQUE @ np.diag([-1, 1, 1, 1]))),
        '180.0 degrees',
        'make them agree',
    ),
    'unknown code': (
        lambda path: (save(path, image()), patch_header(path, 'sform_code', 9)),
        'sform_code 9',
        'fslorient -setsformcode 1',
    ),
    'both codes 0': (code_both_zero, 'both 0', 'fslorient'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_image_is_named(tmp_path: Path, case: str) -> None:
    make, problem, cure = BAD[case]
    path = tmp_path / NAME
    make(path)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f'{path}: ')
    assert problem in message
    assert cure in message
    assert '\n' not in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


@pytest.mark.parametrize('extension', ['.nii', '.nii.gz'])
@pytest.mark.parametrize('kind', [nib.Nifti1Image, nib.Nifti2Image])
def test_good_image(tmp_path: Path, extension: str, kind: type[nib.Nifti1Image]) -> None:
    path = tmp_path / f'données d’élève{extension}'
    nib.save(kind.from_image(image()), path)
    read = read_image(path)
    assert type(read) is nib.Nifti1Image
    assert read.get_data_dtype() == np.float32
    np.testing.assert_array_equal(read.get_fdata(), voxels())
    for affine in (read.affine, read.get_qform(coded=True)[0], read.get_sform(coded=True)[0]):
        np.testing.assert_allclose(affine, OBLIQUE, atol=1e-4)


def test_scaled_integers(tmp_path: Path) -> None:
    made = image(voxels().astype(np.int16))
    made.header.set_slope_inter(0.5, 3)
    save(tmp_path / NAME, made)
    np.testing.assert_array_equal(read_image(tmp_path / NAME).get_fdata(), voxels() / 2 + 3)


def test_fourth_dimension_of_one(tmp_path: Path) -> None:
    save(tmp_path / NAME, image(voxels()[..., None]))
    np.testing.assert_array_equal(read_image(tmp_path / NAME).get_fdata(), voxels())


def test_few_nan_become_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / NAME, image(with_nan(7)))
    with caplog.at_level(logging.WARNING):
        read = read_image(tmp_path / NAME)
    expected = voxels()
    expected.flat[-7:] = 0
    np.testing.assert_array_equal(read.get_fdata(), expected)
    assert f'{tmp_path / NAME}: 7 voxels' in caplog.text


def test_nan_slope(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / NAME, image(voxels().astype(np.int16)))
    patch_header(tmp_path / NAME, 'scl_slope', np.nan)
    with caplog.at_level(logging.WARNING):
        read = read_image(tmp_path / NAME)
    np.testing.assert_array_equal(read.get_fdata(), voxels())
    assert 'scl_slope' in caplog.text
    assert NAME in caplog.text


def test_geometry(tmp_path: Path) -> None:
    made = image(voxels()[..., None])
    made.set_sform(OBLIQUE, 2)
    save(tmp_path / NAME, made)
    shape, affine, code = read_geometry(tmp_path / NAME)
    assert (shape, code) == (SHAPE, 2)
    np.testing.assert_allclose(affine, OBLIQUE, atol=1e-6)
    np.testing.assert_array_equal(affine, read_image(tmp_path / NAME).affine)


def test_geometry_without_frame(tmp_path: Path) -> None:
    code_both_zero(tmp_path / NAME)
    with pytest.raises(ImageError, match=rf'{NAME}: qform_code and sform_code are both 0'):
        read_geometry(tmp_path / NAME)


def test_load_nifti(tmp_path: Path) -> None:
    save(tmp_path / NAME, image(np.ones((*SHAPE, 3), np.uint8), qform=None, sform=None))
    loaded = load_nifti(tmp_path / NAME)
    assert loaded.shape == (*SHAPE, 3)
    assert loaded.get_data_dtype() == np.uint8


@pytest.mark.parametrize('case', ['missing', 'empty', 'header cut', 'zipped text', 'Analyze'])
def test_load_nifti_unreadable(tmp_path: Path, case: str) -> None:
    BAD[case][0](tmp_path / NAME)
    with pytest.raises(ImageError, match=NAME) as caught:
        load_nifti(tmp_path / NAME)
    assert '\n' not in str(caught.value)


@given(damage=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=3))
# More bytes per row than a C long counts.
@example(damage=[(111, 95)])
@settings(max_examples=150)
def test_damaged_header(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp('damaged') / 'sub-01_T1w.nii'
    content = bytearray(image().to_bytes())
    for place, value in damage:
        content[place] = value
    path.write_bytes(content)
    with contextlib.suppress(ImageError):
        read = read_image(path)
        assert np.isfinite(read.get_fdata()).all()
        assert np.isfinite(read.affine).all()


@pytest.mark.shared
@pytest.mark.parametrize('dataset', ['ds000011', 'ds002748', 'studyforrest', 'ixi'])
def test_real_images(dataset: str) -> None:
    root = Path(__file__).resolve().parents[3] / 'shared' / 'data' / dataset
    if not root.is_dir():
        pytest.skip('needs the development images')
    path = sorted(root.glob('sub-*/anat/*_T1w.nii.gz'))[0]
    read = read_image(path)
    np.testing.assert_allclose(read.affine, nib.load(path).affine, atol=1e-6)
    assert read.shape == nib.load(path).shape[:3]
