from __future__ import annotations

import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.imaging.scanner_frame import MILLIMETRES, ImageError, scanner_affine

SHAPE = (100, 120, 140)


def header(qform: np.ndarray, qcode: int, sform: np.ndarray, scode: int) -> nib.Nifti1Header:
    made = nib.Nifti1Header()
    made.set_data_shape(SHAPE)
    made.set_qform(qform, qcode)
    made.set_sform(sform, scode)
    return made


def rotation(angles: tuple[float, float, float], size: float = 1.0) -> np.ndarray:
    turn = nib.eulerangles.euler2mat(*angles)
    return nib.affines.from_matvec(turn * size, [5, 6, 7])


def test_one_code_of_zero() -> None:
    one, other = rotation((0.1, 0.2, 0.3)), rotation((0.3, 0.1, 0.2))
    for qcode, scode, expected in ((1, 0, one), (0, 2, other)):
        affine, code = scanner_affine(header(one, qcode, other, scode), SHAPE, 'x')
        np.testing.assert_allclose(affine, expected, atol=1e-5)
        assert code == qcode + scode


def test_sform_is_preferred() -> None:
    one, other = np.eye(4), np.eye(4)
    other[0, 3] = 0.9
    affine, _ = scanner_affine(header(one, 1, other, 1), SHAPE, 'x')
    np.testing.assert_allclose(affine, other, atol=1e-6)


def test_template_code_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        scanner_affine(header(np.eye(4), 4, np.eye(4), 4), SHAPE, 'x.nii')
    assert (
        'x.nii: the header places the image in a template, not in the scanner (sform_code 4)'
        in caplog.text
    )


#: Half turns, about which a stored quaternion has length 1: LAS, RPS, and one about a diagonal.
HALF_TURNS = {
    'b': np.diag([1.0, -1, -1]),
    'c': np.diag([-1.0, 1, -1]),
    'd': np.diag([-1.0, -1, 1]),
    'diagonal': np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]),
}


@pytest.mark.parametrize('turn', HALF_TURNS)
@pytest.mark.parametrize('length', [1.0000002, 1.000002, 1.0001])
@pytest.mark.parametrize('scode', [0, 1])
def test_long_quaternion(turn: str, length: float, scode: int) -> None:
    """Rounding made the quaternion too long: the turn is the same."""
    affine = nib.affines.from_matvec(HALF_TURNS[turn] @ np.diag([1.0, 1.5, 2]), [5, 6, 7])
    made = header(affine, 1, affine, scode)
    for name in ('quatern_b', 'quatern_c', 'quatern_d'):
        made[name] = made[name] * np.float32(length)
    found, _ = scanner_affine(made, SHAPE, 'x')
    np.testing.assert_allclose(found, affine, atol=1e-5)


def test_quaternion_far_too_long() -> None:
    affine = nib.affines.from_matvec(HALF_TURNS['b'])
    made = header(affine, 1, affine, 1)
    made['quatern_b'] = 1.01
    with pytest.raises(ImageError, match=r'x: the qform in the header is broken .* fslorient'):
        scanner_affine(made, SHAPE, 'x')


def test_handedness_of_zero() -> None:
    """The standard takes 0 in pixdim[0] for 1."""
    affine = rotation((0.1, 0.2, 0.3))
    made = header(affine, 1, affine, 0)
    made['pixdim'][0] = 0
    found, _ = scanner_affine(made, SHAPE, 'x')
    np.testing.assert_allclose(found, affine, atol=1e-5)


@pytest.mark.parametrize('shape', [(32767, 100, 100), (601, 600, 601)])
def test_field_of_view_too_large(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageError, match=f'x: a field of view of {shape[0]} x .* robustfov'):
        scanner_affine(header(np.eye(4), 1, np.eye(4), 1), shape, 'x')


@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    size=st.floats(0.2, 5),
    turn=st.floats(1.05, 170),
)
def test_turn_over_one_degree(
    angles: tuple[float, float, float], size: float, turn: float
) -> None:
    one = rotation(angles, size)
    affine, _ = scanner_affine(header(one, 1, one, 1), SHAPE, 'x')
    np.testing.assert_allclose(affine, one, atol=1e-5)
    other = rotation((np.radians(turn), 0, 0)) @ one
    with pytest.raises(ImageError) as caught:
        scanner_affine(header(one, 1, other, 1), SHAPE, 'x')
    found = float(re.search(r'([\d.]+) degrees', str(caught.value))[1])
    assert found == pytest.approx(turn, abs=0.1)


@pytest.mark.parametrize('time', [0, 8])
@pytest.mark.parametrize(('code', 'unit'), [(1, 'metres'), (3, 'micrometres')])
def test_other_units(code: int, unit: str, time: int) -> None:
    """Some programs take them for factors; no unit is mm, whatever the unit of time is."""
    made = header(np.eye(4), 1, np.eye(4), 1)
    for millimetres in (0, 2):
        made['xyzt_units'] = millimetres + time
        scanner_affine(made, SHAPE, 'x')
    made['xyzt_units'] = code + time
    with pytest.raises(ImageError, match=rf'x: the unit of the header is {unit}.*xyzt_units\(2\)'):
        scanner_affine(made, SHAPE, 'x')


def test_unit_is_mended_as_told(tmp_path: Path) -> None:
    made = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    made.header.set_xyzt_units('meter', 'sec')
    made.to_filename(tmp_path / 'FILE.nii.gz')
    program = shlex.split(MILLIMETRES.replace("'FILE'", "'FILE.nii.gz'"))[2]
    subprocess.run([sys.executable, '-c', program], cwd=tmp_path, check=True)
    mended = nib.Nifti1Image.from_filename(tmp_path / 'OUT.nii.gz')
    affine, _ = scanner_affine(mended.header, (2, 3, 4), 'x')
    np.testing.assert_array_equal(affine, np.eye(4))
    np.testing.assert_array_equal(mended.dataobj, made.dataobj)
