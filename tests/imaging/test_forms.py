from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tmsprep.files import file_sha256
from tmsprep.imaging.forms import Forms
from tmsprep.imaging.read import read_forms, read_image

QUARTER = np.array([[0.0, -2, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
"""A quarter turn about z: the quaternion is (cos 45, 0, 0, sin 45)."""


def header(qcode: int, scode: int, sform: np.ndarray = QUARTER) -> nib.Nifti1Header:
    made = nib.Nifti1Header()
    made.set_data_shape((8, 9, 10))
    made.set_qform(QUARTER, qcode)
    made.set_sform(sform, scode)
    return made


def test_both_forms() -> None:
    forms = Forms.of_header(header(1, 2))
    assert (forms.qform_code, forms.sform_code, forms.in_use) == (1, 2, ('sform', 2))
    np.testing.assert_allclose(forms.qform, QUARTER, atol=1e-6)
    np.testing.assert_allclose(forms.sform, QUARTER, atol=1e-6)
    np.testing.assert_allclose(forms.quaternion, [0, 0, np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_allclose(forms.offset, [5, 6, 7])
    np.testing.assert_allclose(forms.pixdim, [1, 1, 2, 3])


def test_one_form() -> None:
    by_sform, by_qform = Forms.of_header(header(0, 2)), Forms.of_header(header(1, 0))
    assert by_sform.qform is None
    assert by_sform.quaternion is None
    assert by_qform.sform is None
    assert by_qform.in_use == ('qform', 1)
    assert not by_sform.differ((8, 9, 10))


@pytest.mark.parametrize(('shift', 'differ'), [(0.05, False), (0.2, True)])
def test_apart(shift: float, differ: bool) -> None:
    moved = QUARTER.copy()
    moved[0, 3] += shift
    forms = Forms.of_header(header(1, 1, moved))
    assert forms.apart_mm((8, 9, 10)) == pytest.approx(shift, abs=1e-5)
    assert forms.differ((8, 9, 10)) is differ


@pytest.mark.parametrize('codes', [(1, 1), (0, 2), (4, 0)])
def test_entries_of_a_sidecar(codes: tuple[int, int]) -> None:
    forms = Forms.of_header(header(*codes))
    entries = json.loads(json.dumps(forms.entries()))
    assert ('QformAffine' in entries, 'SformAffine' in entries) == tuple(c > 0 for c in codes)
    again = Forms.from_entries(entries)
    assert again is not None
    assert again.entries() == forms.entries()


@pytest.mark.parametrize(
    'change',
    [
        {'QformCode': 9},
        {'SformCode': 'one'},
        {'QformAffine': [[1, 2], [3, 4]]},
        {'SformAffine': [['nan'] * 4] * 4},
        {'Quaternion': None},
        {'PixelDimensions': [1, 2, float('inf'), 3]},
        {'QformCode': 0},
    ],
)
def test_entries_that_make_no_sense(change: dict[str, Any]) -> None:
    assert Forms.from_entries({**Forms.of_header(header(1, 1)).entries(), **change}) is None
    assert Forms.from_entries({}) is None


def test_forms_of_a_file(tmp_path: Path) -> None:
    data = np.arange(720, dtype=np.float32).reshape(8, 9, 10)
    path = tmp_path / 'a.nii.gz'
    nib.save(nib.Nifti1Image(data, None, header(0, 2)), path)
    forms, sha256 = read_forms(path)
    assert (forms.qform_code, forms.sform_code) == (0, 2)
    assert sha256 == file_sha256(path)
    assert read_image(path).extra['forms'].entries() == forms.entries()
