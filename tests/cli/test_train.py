from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from tmsprep.cli.run import main
from tmsprep.methods.baxter2021.weights import load_localizer

PROTOCOL = """
name = "three"
title = "three points of our own"
source = "test"
[[targets]]
label = "A"
hemisphere = "L"
region = "a"
type = "test"
[[targets]]
label = "B"
hemisphere = "L"
region = "b"
type = "test"
[[targets]]
label = "C"
hemisphere = "L"
region = "c"
type = "test"
"""


def write_person(bids: Path, label: str, points: dict[str, tuple] | None, seed: int) -> None:
    anat = bids / f'sub-{label}' / 'anat'
    anat.mkdir(parents=True)
    data = gaussian_filter(np.random.default_rng(seed).random((50, 60, 60)), 2)
    data = (1000 * (data - data.min())).astype(np.float32)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -100, -120, -120
    image = nib.Nifti1Image(data, affine)
    nib.save(image, anat / f'sub-{label}_T1w.nii.gz')
    folder = bids / 'derivatives' / 'points' / f'sub-{label}' / 'anat'
    folder.mkdir(parents=True)
    inside = np.zeros(data.shape, dtype=np.uint8)
    inside[10:40, 10:50, 10:50] = 1
    nib.save(nib.Nifti1Image(inside, affine), folder / f'sub-{label}_desc-brain_mask.nii.gz')
    if points is not None:
        rows = [f'{k}\tL\t{x}\t{y}\t{z}' for k, (x, y, z) in points.items()]
        text = '\n'.join(['label\themisphere\tx\ty\tz', *rows]) + '\n'
        (folder / f'sub-{label}_desc-me_targets.tsv').write_text(text)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    bids = tmp_path / 'bids'
    for i, label in enumerate(('01', '02', '03'), start=1):
        points = {'A': (-30, i, 20), 'B': (-20, 5 * i, 5), 'C': (-40, i, i)}
        if label == '02':
            points['B'] = ('n/a', 'n/a', 'n/a')
        write_person(bids, label, points if i < 3 else None, i)
    description = {'Name': 'a study', 'BIDSVersion': '1.9.0'}
    (bids / 'dataset_description.json').write_text(json.dumps(description))
    (tmp_path / 'own.toml').write_text(PROTOCOL)
    return tmp_path


def command(data: Path, level: str, *options: object) -> list[str]:
    points = data / 'bids' / 'derivatives' / 'points'
    line = [data / 'bids', data / 'out', level, '--annotations', points, '--derivatives', points]
    line += ['--protocol', data / 'own.toml', '-w', data / 'work', '--recipe', 'quick']
    line += ['--steps', 2, '--nprocs', 1, '--device', 'cpu', *options]
    return [str(argument) for argument in line]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_weights_of_an_own_protocol(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(data, 'train', '--members', 2, '--residual', 'none')) == 0
    log = capsys.readouterr().err
    assert 'points for 2 images of 2 participants; 1 participants have none' in log
    assert log.strip().endswith('INFO tmsprep finished without errors: 2 images')
    assert 'mm off in the very images it was trained on: do not use it' in log
    localizer = load_localizer(data / 'out' / 'localizer_three.safetensors')
    assert localizer.labels == ('A', 'B', 'C')
    assert [m.settings.residual for m in localizer.members] == ['none', 'none']
    assert localizer.card['data'] == 'a study; points from points, raters within 12 mm'
    assert localizer.card['seeds'] == '1 2'
    card = (data / 'out' / 'localizer_three.md').read_text()
    assert '| B | 1 | 0 |' in card
    (agreements,) = (data / 'out' / 'logs').glob('*/agreements.tsv')
    table = pd.read_csv(agreements, sep='\t', keep_default_na=False)
    assert len(table) == 6
    assert (data / 'out' / 'dataset_description.json').is_file()
    # Fine-tuning takes the file.
    options = ('--weights', data / 'out' / 'localizer_three.safetensors', '--residual', 'none')
    assert main(command(data, 'train', *options)) == 0
    tuned = load_localizer(data / 'out' / 'localizer_three.safetensors')
    assert tuned.card['started_from'].startswith('localizer_three, licence: set by whoever')


def test_a_bad_image_and_a_bad_point_are_named(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    derived = data / 'bids' / 'derivatives' / 'points'
    write_person(data / 'bids', '04', {'A': (-30, 1, 2), 'B': (150, 5, 5), 'C': (-9, 5, 5)}, 4)
    write_person(data / 'bids', '05', {'A': (-30, 1, 2)}, 5)
    (derived / 'sub-05' / 'anat' / 'sub-05_desc-brain_mask.nii.gz').write_bytes(b'no mask')
    assert main(command(data, 'train')) == 1
    log = capsys.readouterr().err
    assert 'sub-04_desc-me_targets.tsv' in log
    assert 'sub-05_desc-brain_mask.nii.gz' in log
    last = log.strip().splitlines()[-1]
    assert last.endswith('points of 2 participants, named above: sub-04, sub-05')
    assert load_localizer(data / 'out' / 'localizer_three.safetensors').card['people'] == (
        '3 participants, 3 images; kept aside: 0 participants, 0 images'
    )


def test_one_participant_is_too_few(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(data, 'train', '--participant-label', '01')) == 1
    assert 'training needs at least 2' in last_line(capsys)
    assert not (data / 'out' / 'localizer_three.safetensors').exists()


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_a_dry_run_writes_nothing(
    data: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    assert main(command(data, level, '--dry-run')) == 0
    log = capsys.readouterr().err
    assert 'sub-02_T1w.nii.gz: 2 of 3 points' in log
    assert 'sub-03' not in log or 'Images without points' in log
    assert not (data / 'out').exists()
    assert not (data / 'work').exists()


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_a_folder_without_points(
    data: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    (data / 'empty').mkdir()
    assert main(command(data, level, '--annotations', data / 'empty')) == 2
    assert 'no file of points here' in last_line(capsys)


@pytest.mark.slow
def test_cross_validation_from_the_command(data: Path, tmsprep: Callable) -> None:
    line = command(data, 'crossval', '--repetitions', 1)
    done = tmsprep(*line)
    assert done.returncode == 0, done.stderr
    assert 'shared_rep1_fold02: finished (2 of 2)' in done.stderr
    assert done.stderr.strip().endswith('INFO tmsprep finished without errors: 2 images')
    table = pd.read_csv(data / 'out' / 'crossval_predictions.tsv', sep='\t', na_values='n/a')
    assert list(table['participant_id'].unique()) == ['sub-01', 'sub-02']
    # Nobody but sub-01 has B, so it can be predicted in sub-02 alone, who has no reference.
    failed = table[table['status'] != 'ok']
    assert set(zip(failed['participant_id'], failed['label'], failed['status'], strict=True)) == {
        ('sub-01', 'B', 'failed'),
        ('sub-02', 'B', 'no_reference'),
    }
    write_person(data / 'bids', '04', {'A': (-30, 1, 2)}, 4)
    folder = data / 'bids' / 'derivatives' / 'points' / 'sub-04' / 'anat'
    (folder / 'sub-04_desc-brain_mask.nii.gz').write_bytes(b'no mask')
    again = tmsprep(*line)
    assert again.returncode == 1
    assert again.stderr.strip().endswith('points of 1 participants, named above: sub-04')


@pytest.mark.slow
def test_without_a_brain_the_rest_is_trained_on(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mask in data.rglob('*_mask.nii.gz'):
        mask.unlink()
    assert main(command(data, 'train')) == 0
    log = capsys.readouterr().err
    # Clouds of noise hold no brain, and the shipped network says so.
    assert log.count('no brain mask, so no stripped and cut views of it are trained on') == 2
    assert log.count('the brain found measures') == 2
