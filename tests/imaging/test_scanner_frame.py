from __future__ import annotations

import logging
import re

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.imaging.scanner_frame import ImageError, scanner_affine

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
