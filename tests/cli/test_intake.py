from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from intake.dicom_files import MPRAGE, PATIENT, write_series

from tmsprep.cli.parser import parse_args
from tmsprep.cli.run import run
from tmsprep.config import ParticipantConfig
from tmsprep.phantoms import write_dataset

HEAD = {'shape': (60, 50, 50), 'spacing': (3.0, 3.0, 3.0)}


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'Musterfrau'
    write_series(tmp_path / 'exam', 1, MPRAGE, (4, 4, 4))
    folder.mkdir()
    path = folder / 'Musterfrau.nii.gz'
    nib.save(nib.Nifti1Image(np.arange(729.0).reshape(9, 9, 9), np.eye(4)), path)
    return path


def parse(*words: str) -> ParticipantConfig:
    config = parse_args(words)
    assert isinstance(config, ParticipantConfig)
    return config


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        parse_args(words)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize('level', [(), ('participant',)])
def test_image_in_place_of_a_data_set(image: Path, tmp_path: Path, level: tuple[str, ...]) -> None:
    config = parse('Musterfrau/Musterfrau.nii.gz', 'out', *level, '--id', 'sub-07')
    assert config.source == image
    assert config.bids_dir == tmp_path / 'out' / 'sourcedata' / 'raw'
    assert config.participant_label == ('07',)
    assert parse('exam', 'out').source == tmp_path / 'exam'
    assert parse('exam', 'out').participant_label == ('01',)
    path = config.to_toml(tmp_path / 'run.toml')
    assert 'Musterfrau' not in path.read_text()
    again = parse(str(image), 'out', '--config-file', 'run.toml')
    assert again.participant_label == ('07',)


@pytest.mark.usefixtures('image')
@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('Musterfrau/Musterfrau.nii.gz', 'outputs is missing; type tmsprep Musterfrau/Musterfrau'),
        (
            'out Musterfrau/Musterfrau.nii.gz',
            'comes first; type tmsprep Musterfrau/Musterfrau.nii',
        ),
        (
            'Musterfrau out',
            'not a BIDS data set; to run one image, type tmsprep Musterfrau/Muster',
        ),
        ('Musterfrau out participant', '; to run one image, type tmsprep /'),
        ('Musterfrau/Musterfrau.nii.gz out group', 'is a NIfTI file, and group takes a BIDS data'),
        (
            'exam out train',
            'is a folder of DICOM files, and train takes a BIDS data set; to local',
        ),
        ('exam exam/out', 'may not go into the folder of the DICOM files'),
        ('exam out -w exam/work', 'the working folder (-w) may not go into the folder of the'),
        ('exam exam', 'may not go into the folder of the DICOM files'),
        (
            'x.mgz out',
            'x.mgz: is a file, neither a BIDS data set nor NIfTI; run nib-convert x.mgz',
        ),
        ('absent.nii.gz out', 'absent.nii.gz: no such file or folder'),
        ('x.txt out participant', 'x.txt: is a file, neither a BIDS data set nor an image'),
        ('exam out --participant-label 1', '--participant-label has no use for one image; its'),
        ('exam out --bids-filter-file t1w', '--bids-filter-file has no use for one image'),
        ('exam out --id a_b', 'not a BIDS label'),
        ('bids out participant --id 7', '--id has no use for a data set; participants are chosen'),
        ('bids out participant --series 7', '--series has no use for a data set'),
        ('exam out group --id 7', 'is a folder of DICOM files, and group'),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    (tmp_path / 'x.mgz').touch()
    (tmp_path / 'X.NII.GZ').touch()
    (tmp_path / 'x.txt').write_text('text')
    (tmp_path / 'bids').mkdir()
    (tmp_path / 'bids' / 'dataset_description.json').write_text('{"Name": "n"}')
    (tmp_path / 'bids' / 'sub-01').mkdir()
    assert message in refusal(capsys, *line.split())


def test_useless_image(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before anything is written, so that its label stays free."""
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), 'u1'), np.eye(4)), image)
    assert run(parse(str(image), 'out')) == 2
    assert f'{image}: all voxels are 1: an empty image' in capsys.readouterr().err
    image.write_bytes(image.read_bytes()[:-20])
    assert run(parse(str(image), 'out')) == 2
    assert f'{image}: cut short or damaged' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_dry_run(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse(str(image), 'out', '--dry-run')) == 0
    assert 'would copy the image to' in capsys.readouterr().err
    assert run(parse(str(image), 'out', '--series', '2')) == 2
    assert '--series chooses from DICOM files' in capsys.readouterr().err
    pytest.importorskip('dcm2niix')
    write_series(tmp_path / 'exam', 2, MPRAGE, **HEAD)
    assert run(parse('exam', 'out', '--dry-run')) == 0
    shown = capsys.readouterr().err
    assert (
        'series 2 (t1_mprage_sag), 60 x 50 x 50 of 3 x 3 x 3 mm: chosen: the only T1w of' in shown
    )
    assert run(parse('exam', 'out', '--dry-run', '--series', '9')) == 2
    assert '--series: no 9 here' in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {'Musterfrau', 'exam'}


@pytest.mark.slow
def test_nothing_of_the_patient(tmp_path: Path, tmsprep: Callable, shipped_weights: Path) -> None:
    """Nothing in any output is from the patient's data; chosen targets are a part of all."""
    pytest.importorskip('dcm2niix')
    bids = write_dataset(tmp_path / 'bids', [5], ['01'], voxel_size=(4.0, 4.0, 4.0))
    head = nib.as_closest_canonical(nib.load(bids / 'sub-01/anat/sub-01_T1w.nii.gz'))
    voxels = np.asarray(head.dataobj).astype(np.uint16)[::-1, ::-1]
    folder = tmp_path / 'Musterfrau^Erika_19570831'
    named = {**MPRAGE, 'SeriesDescription': 't1 Musterfrau'}
    write_series(folder, 7, named, spacing=(4.0, 4.0, 4.0), voxels=voxels)
    packed = tmp_path / 'KLINIK4711.zip'
    with zipfile.ZipFile(packed, 'w') as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f'Musterfrau/{path.name}')
    options = ['--series', '7', '--localizers', 'cnn', '--weights', shipped_weights]
    options += ['-w', tmp_path / 'work']
    first = tmsprep(folder, tmp_path / 'out', *options)
    assert first.returncode == 0
    assert 'series 7 is copied to' in first.stderr
    table = tmp_path / 'out/sub-01/anat/sub-01_protocol-tms_desc-cnn_targets.tsv'
    rows = table.read_text().splitlines()
    assert len(rows) == 12
    again = tmsprep(packed, tmp_path / 'out', *options, '--targets', 'LULIMBMC', 'LDLPFC')
    assert again.returncode == 0
    assert 'series 7 is the one that is already in' in again.stderr
    chosen = [row for row in rows if row.split('\t')[0] in ('label', 'LULIMBMC', 'LDLPFC')]
    assert table.read_text().splitlines() == chosen
    figures = [path.name for path in table.parents[1].glob('figures/*LIMB*')]
    assert figures == ['sub-01_protocol-tms_desc-LULIMBMC_T1w.svg']
    written = [*(tmp_path / 'out').rglob('*'), *(tmp_path / 'work').rglob('*')]
    words = {*PATIENT.values(), 'Musterfrau', 'Erika', 'KLINIK4711', '19570831'}
    for path in written:
        content = path.read_bytes() if path.is_file() else b''
        if path.suffix == '.gz':
            content = gzip.decompress(content)
        inside = path.relative_to(tmp_path).as_posix().encode() + content
        assert [word for word in words if word.encode() in inside] == [], path
    sidecar = tmp_path / 'out/sourcedata/raw/sub-01/anat/sub-01_T1w.json'
    assert json.loads(sidecar.read_text())['EchoTime'] == 0.00298
