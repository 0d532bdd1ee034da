from __future__ import annotations

import os
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from intake.dicom_files import MPRAGE, PATIENT, write_series

from tmsprep.intake import IntakeError, Kind, kind_of
from tmsprep.intake import archive as archives
from tmsprep.intake.archive import unpack
from tmsprep.intake.dicom import convert
from tmsprep.intake.series import choose

#: A grid that holds a head.
HEAD = {'shape': (60, 50, 50), 'spacing': (3.0, 3.0, 3.0)}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Examination in folders named after the patient: a scout, the T1w, a reformat and a T2w."""
    folder = tmp_path / 'Musterfrau_Erika'
    scout = {'MRAcquisitionType': '2D', 'ScanningSequence': 'GR', 'SeriesDescription': 'localizer'}
    write_series(folder / 'a', 1, {**MPRAGE, **scout}, (60, 50, 3), (4.0, 4.0, 20.0))
    write_series(folder / 'a', 2, MPRAGE, **HEAD)
    mpr = {'ImageType': 'DERIVED\\SECONDARY\\MPR', 'SeriesDescription': 't1_mpr_cor'}
    write_series(folder / 'b', 3, {**MPRAGE, **mpr}, **HEAD)
    spin = {'ScanningSequence': 'SE', 'EchoTime': '400', 'SeriesDescription': 't2 Musterfrau'}
    write_series(folder / 'b', 4, {**MPRAGE, **spin}, **HEAD)
    (folder / 'report.txt').write_text('Musterfrau')
    return folder


def test_kinds(study: Path, tmp_path: Path) -> None:
    assert kind_of(study) is Kind.DICOM_FOLDER
    assert kind_of(next((study / 'a').iterdir())) is Kind.DICOM_FILE
    assert kind_of(study / 'report.txt') is Kind.OTHER
    assert kind_of(tmp_path / 'x') is Kind.MISSING
    (tmp_path / 'x.nii.gz').touch()
    assert kind_of(tmp_path / 'x.nii.gz') is Kind.NIFTI
    # A data set may hold DICOM files as well.
    (study / 'sub-01').mkdir()
    assert kind_of(study) is Kind.FOLDER
    os.mkfifo(tmp_path / 'pipe')
    assert kind_of(tmp_path / 'pipe') is Kind.MISSING


def test_convert(study: Path, tmp_path: Path) -> None:
    pytest.importorskip('dcm2niix')
    made = tmp_path / 'private'
    made.mkdir()
    found = convert(study, Kind.DICOM_FOLDER, made)
    assert [(series.name, series.description) for series in found] == [
        ('1', 'localizer'),
        ('2', 't1_mprage_sag'),
        ('3', 't1_mpr_cor'),
        ('4', 't2 Musterfrau'),
    ]
    choice = choose(found)
    assert choice.series.name == '2'
    assert choice.reasons['1'].startswith('shows 60 mm along one axis, not a whole head; slices')
    assert choice.reasons['3'] == 'reformatted, derived'
    assert choice.reasons['4'].startswith('a spin echo, not a gradient echo; echo time 400 ms')
    # Column, row and slice of a voxel by its place: DICOM is LPS, so x and y change their sign.
    image = nib.load(choice.series.path)
    grid = np.indices(image.shape).reshape(3, -1)
    places = image.affine[:3, :3] @ grid + image.affine[:3, 3:]
    column, row, number = (places / [[-3], [-3], [3]]).round().astype(int)
    values = np.asarray(image.dataobj)[tuple(grid)].astype(int)
    assert np.array_equal(values, (column + 60 * row + 3000 * number) % 2**16)


def test_zip(study: Path, tmp_path: Path) -> None:
    """Names in the zip file lead nowhere, and what is no DICOM file is left in it."""
    packed, out = tmp_path / 'Musterfrau.zip', tmp_path / 'a' / 'out'
    files = sorted(path for path in study.rglob('*') if path.is_file())
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
        for number, path in enumerate(files):
            archive.write(path, ('../../evil/', '/tmp/', 'C:\\')[number % 3] + path.name)
    out.mkdir(parents=True)
    assert unpack(packed, out) == 3 + 3 * 50
    assert sorted(tmp_path.iterdir()) == sorted([study, packed, tmp_path / 'a'])
    assert all(path.name.strip('0123456789') == '.dcm' for path in out.iterdir())


def test_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are counted as they come, whatever the zip file announces."""
    monkeypatch.setattr(archives, 'MOST_BYTES', 2**20)
    packed, out = tmp_path / 'bomb.zip', tmp_path / 'out'
    out.mkdir()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a', b'\0' * 128 + b'DICM' + bytes(2**22))
    content = packed.read_bytes()
    size = (2**22 + 132).to_bytes(4, 'little')
    assert content.count(size) == 2
    packed.write_bytes(content.replace(size, (100).to_bytes(4, 'little')))
    with pytest.raises(IntakeError, match=r'bomb\.zip: (too large|a damaged zip file)'):
        unpack(packed, out)
    packed.write_bytes(content)
    with pytest.raises(IntakeError, match=r'bomb\.zip: too large'):
        unpack(packed, out)
    assert sum(path.stat().st_size for path in out.iterdir()) <= 2**20
    monkeypatch.setattr(archives, 'MOST_FILES', 0)
    with pytest.raises(IntakeError, match=r'too large \(1 files unpacked'):
        unpack(packed, out)


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'PK\3\4 and no more', 'a damaged zip file'), (b'', 'a damaged zip file')],
)
def test_damaged_zip(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / 'x.zip'
    path.write_bytes(content)
    with pytest.raises(IntakeError, match=message):
        unpack(path, tmp_path)


def test_encrypted_zip(tmp_path: Path) -> None:
    path = tmp_path / 'x.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a.dcm', b'\0' * 128 + b'DICM')
    content = bytearray(path.read_bytes())
    # Bit 0 of the flags of the entry (APPNOTE 4.4.4), in both of its headers.
    content[6] |= 1
    content[content.index(b'PK\1\2') + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(IntakeError, match=r'encrypted.*unpack it yourself'):
        unpack(path, tmp_path)


def test_no_dicom_in_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
        archive.writestr('a.txt', 'text')
    with pytest.raises(IntakeError, match='no DICOM files'):
        unpack(tmp_path / 'x.zip', tmp_path)


def test_nothing_to_convert(tmp_path: Path) -> None:
    pytest.importorskip('dcm2niix')
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'a.dcm').write_bytes(b'\0' * 128 + b'DICM' + b'nonsense')
    made = tmp_path / 'made'
    made.mkdir()
    with pytest.raises(IntakeError, match='dcm2niix found no image'):
        convert(tmp_path / 'in', Kind.DICOM_FOLDER, made)


def test_patients_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip('dcm2niix')
    write_series(tmp_path / 'in', 1, MPRAGE, **HEAD)
    write_series(tmp_path / 'in', 2, {**MPRAGE, 'PatientID': 'other'}, **HEAD)
    made = tmp_path / 'made'
    made.mkdir()
    with pytest.raises(IntakeError, match='several patients') as refused:
        choose(convert(tmp_path / 'in', Kind.DICOM_FOLDER, made))
    assert not any(value in str(refused.value) for value in PATIENT.values())


@pytest.mark.parametrize('second', [{'StudyInstanceUID': '1.2'}, {'PatientID': 'OTHER'}])
def test_one_number_twice(tmp_path: Path, second: dict[str, str]) -> None:
    """Two examinations of one patient, or two patients, whose series have the same number."""
    pytest.importorskip('dcm2niix')
    made = tmp_path / 'private'
    made.mkdir()
    write_series(tmp_path / 'dicom' / 'a', 401, MPRAGE, **HEAD)
    other = {**MPRAGE, 'SeriesInstanceUID': '1.3', **second}
    write_series(tmp_path / 'dicom' / 'b', 401, other, **HEAD)
    found = convert(tmp_path / 'dicom', Kind.DICOM_FOLDER, made)
    assert [series.name for series in found] == ['401-1', '401-2']
    refusal = 'of one patient' if 'PatientID' in second else '401 is the number of 2 images'
    with pytest.raises(IntakeError, match=refusal):
        choose(found, '401')


def test_missing_slices(tmp_path: Path) -> None:
    """Three slices are lost on the way: what is above them would be 9 mm too low."""
    pytest.importorskip('dcm2niix')
    folder, made = tmp_path / 'in', tmp_path / 'made'
    write_series(folder, 1, MPRAGE, **HEAD)
    write_series(folder, 2, MPRAGE, (60, 50, 45), (3.0, 3.0, 3.0))
    for index in (20, 21, 22):
        (folder / f'1_0{index}.dcm').unlink()
    made.mkdir()
    found = convert(folder, Kind.DICOM_FOLDER, made)
    choice = choose(found)
    assert choice.series.name == '2'
    assert choice.reasons['1'].startswith('slices that do not make up a volume (Interslice dist')
    with pytest.raises(IntakeError, match='series 1 cannot be used, as its slices do not make'):
        choose(found, '1')


def test_one_slice(study: Path, tmp_path: Path) -> None:
    pytest.importorskip('dcm2niix')
    (tmp_path / 'made').mkdir()
    with pytest.raises(IntakeError, match=f'one slice; give the folder .*: {study}/a$'):
        convert(study / 'a' / '2_010.dcm', Kind.DICOM_FILE, tmp_path / 'made')
