from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from coeruleus_data import rods, write_bids, write_image, write_mask
from scipy.ndimage import gaussian_filter

from tmsprep.cli.run import main
from tmsprep.methods.baxter2021.weights import load_localizer
from tmsprep.methods.duennwald2021.networks import load_coeruleus

PROTOCOL = """
name = "three"
title = "three points of a test"
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


def write_participant(bids: Path, label: str, points: dict[str, tuple] | None, seed: int) -> None:
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
        write_participant(bids, label, points if i < 3 else None, i)
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


def test_points(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # So short a training is of no use, which the exit code says.
    assert main(command(data, 'train', '--members', 2, '--residual', 'none')) == 3
    log = capsys.readouterr().err
    assert 'points for 2 images of 2 participants; 1 participant without any' in log
    assert log.strip().endswith('2 images; do not use the networks, as said above')
    assert 'mm: do not use the networks. Train with more --steps' in log
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
    assert main(command(data, 'train', *options)) == 3
    tuned = load_localizer(data / 'out' / 'localizer_three.safetensors')
    assert tuned.card['started_from'].startswith('localizer_three, licence: set by the owner')


def promise(path: Path) -> None:
    """Write a file of a few bytes whose header announces 20 GB."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2000, 2000, 2500))
    header.set_sform(np.diag([1.0, 1, 1, 1]), 1)
    header['vox_offset'], header['magic'] = 352, b'n+1'
    path.write_bytes(gzip.compress(header.binaryblock + bytes(20_000)))


def test_bad_files(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    derived = data / 'bids' / 'derivatives' / 'points'
    write_participant(
        data / 'bids', '04', {'A': (-30, 1, 2), 'B': (150, 5, 5), 'C': (-9, 5, 5)}, 4
    )
    write_participant(data / 'bids', '05', {'A': (-30, 1, 2)}, 5)
    (derived / 'sub-05' / 'anat' / 'sub-05_desc-brain_mask.nii.gz').write_bytes(b'no mask')
    write_participant(data / 'bids', '06', {'A': (-30, 1, 3)}, 6)
    promise(data / 'bids' / 'sub-06' / 'anat' / 'sub-06_T1w.nii.gz')
    assert main(command(data, 'train')) == 1
    log = capsys.readouterr().err
    assert 'sub-04_desc-me_targets.tsv' in log
    assert 'sub-05_desc-brain_mask.nii.gz' in log
    last = log.strip().splitlines()[-1]
    assert 'sub-06_T1w.nii.gz: cut short, or the header is broken: it announces 20,000' in log
    assert last.endswith('points of 3 participants, named above: sub-04, sub-06, sub-05')
    assert load_localizer(data / 'out' / 'localizer_three.safetensors').card['participants'] == (
        '3 participants, 3 images; validation set: 0 participants, 0 images'
    )


def test_one_participant(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(data, 'train', '--participant-label', '01')) == 1
    assert 'training needs at least 2' in last_line(capsys)
    assert not (data / 'out' / 'localizer_three.safetensors').exists()


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_dry_run(data: Path, capsys: pytest.CaptureFixture[str], level: str) -> None:
    assert main(command(data, level, '--dry-run')) == 0
    log = capsys.readouterr().err
    assert 'sub-02_T1w.nii.gz: 2 of 3 points' in log
    assert 'sub-03' not in log or 'Images without points' in log
    assert not (data / 'out').exists()
    assert not (data / 'work').exists()


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_no_annotations(data: Path, capsys: pytest.CaptureFixture[str], level: str) -> None:
    (data / 'empty').mkdir()
    assert main(command(data, level, '--annotations', data / 'empty')) == 2
    assert 'no file of points here' in last_line(capsys)


@pytest.mark.slow
def test_crossval(data: Path, tmsprep: Callable) -> None:
    line = command(data, 'crossval', '--repetitions', 1)
    done = tmsprep(*line)
    assert done.returncode == 0, done.stderr
    assert 'shared_rep1_fold02: finished' in done.stderr
    assert 'finished (4 of 4)' in done.stderr
    assert done.stderr.strip().endswith('INFO tmsprep finished without errors: 2 images')
    table = pd.read_csv(
        data / 'out' / 'crossval_protocol-three_predictions.tsv', sep='\t', na_values='n/a'
    )
    assert list(table['participant_id'].unique()) == ['sub-01', 'sub-02']
    # Only sub-01 has B, so it can be predicted in sub-02 alone, which has no reference.
    failed = table[table['status'] != 'ok']
    assert set(zip(failed['participant_id'], failed['label'], failed['status'], strict=True)) == {
        ('sub-01', 'B', 'failed'),
        ('sub-02', 'B', 'no_reference'),
    }
    write_participant(data / 'bids', '04', {'A': (-30, 1, 2)}, 4)
    folder = data / 'bids' / 'derivatives' / 'points' / 'sub-04' / 'anat'
    promise(folder / 'sub-04_desc-brain_mask.nii.gz')
    again = tmsprep(*line)
    assert again.returncode == 1
    assert again.stderr.strip().endswith('points of 1 participant, named above: sub-04')


@pytest.mark.slow
def test_no_brain(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mask in data.rglob('*_mask.nii.gz'):
        mask.unlink()
    assert main(command(data, 'train')) == 3
    log = capsys.readouterr().err
    # Clouds of noise hold no brain, and the shipped network says so.
    assert log.count('no brain mask, so no stripped and cut views of it are trained on') == 2
    assert log.count('the brain found measures') == 2


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_two_at_once(data: Path, capsys: pytest.CaptureFixture[str], level: str) -> None:
    """The second run says which one is the first, and leaves its files alone."""
    hold = (
        'import sys; from pathlib import Path; from tmsprep.bids.names import Layout\n'
        'from tmsprep.running.locks import claim_level\n'
        f'with claim_level(Layout(Path({str(data / "out")!r}), "three"), Path("w"), {level!r}):\n'
        '    print("held", flush=True); sys.stdin.readline()'
    )
    other = subprocess.Popen(
        [sys.executable, '-c', hold],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=data,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])},
    )
    assert other.stdout.readline() == 'held\n'
    assert main(command(data, level)) == 1
    line = last_line(capsys)
    assert f'{data / "out" / "logs"}: process {other.pid} on {socket.gethostname()}, since' in line
    assert f'is running {level} for protocol-three here; wait for it to end' in line
    assert not (data / 'out' / 'dataset_description.json').exists()
    # Nothing is written, so that nothing is held.
    assert main(command(data, level, '--dry-run')) == 0
    other.communicate('\n')


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / 'masks'
    bids = write_bids(folder / 'bids')
    for seed in range(1, 5):
        write_image(bids, f'{seed:02d}', seed)
        if seed < 4:
            write_mask(bids / 'derivatives' / 'rater', f'{seed:02d}', rods(seed))
    return folder


def mask_command(
    masks: Path, level: str, *options: object, outputs: Path | None = None
) -> list[str]:
    raters, outputs = masks / 'bids' / 'derivatives' / 'rater', outputs or masks
    line = [masks / 'bids', outputs / 'out', level, '--annotations', raters]
    line += ['--protocol', 'locus-coeruleus', '-w', outputs / 'work', '--recipe', 'quick']
    line += ['--epochs', 2, '--nprocs', 1, '--device', 'cpu', *options]
    return [str(argument) for argument in line]


def test_masks(masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(mask_command(masks, 'train')) == 3
    log = capsys.readouterr().err
    assert (
        'masks for 3 images, points for 0 images of 3 participants; 1 participant without' in log
    )
    assert 'training on 2 images, 1 in the validation set; localizer, segmenter' in log
    assert 'mm of a guess that looks at no image: do not use the networks. Train with' in log
    assert log.strip().endswith('3 images; do not use the networks, as said above')
    path = masks / 'out' / 'localizer_locus-coeruleus.safetensors'
    model = load_coeruleus(path)
    assert (len(model.localizers), len(model.segmenters)) == (1, 1)
    assert (model.labels, model.voxel_mm) == (('LLC', 'RLC'), 0.75)
    assert model.card['data'] == 'rods (simulated); masks or points from rater'
    assert model.card['participants'] == (
        '2 participants, 2 images; validation set: 1 participant, 1 image'
    )
    assert float(model.card['validation_mm']) > 0.5 * float(model.card['blind_mm']) > 0
    assert 'do not use the networks' in model.card['warning']
    assert '| Data | rods (simulated)' in path.with_suffix('.md').read_text()
    label = 'train_protocol-locuscoeruleus'
    epochs = pd.read_csv(masks / 'out' / f'{label}_log.tsv', sep='\t')
    assert list(epochs['network']) == ['localizer'] * 2 + ['segmenter'] * 2
    assert list(epochs['epoch']) == [1, 2, 1, 2]
    assert (masks / 'out' / 'figures' / f'{label}_curve.svg').is_file()
    # From the finished checkpoints, as after a kill between the two: the same bytes.
    before = path.read_bytes()
    path.unlink()
    (segmenter,) = (masks / 'work').rglob('segmenter_*.pt')
    segmenter.unlink()
    assert main(mask_command(masks, 'train')) == 3
    assert path.read_bytes() == before
    # A damaged one is named and made again.
    segmenter.write_bytes(b'half')
    capsys.readouterr()
    assert main(mask_command(masks, 'train')) == 3
    assert f'WARNING {segmenter}: damaged' in capsys.readouterr().err
    assert path.read_bytes() == before


def test_damaged_between_runs(masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is damaged is named and made again; the weights are the same."""
    line = mask_command(masks, 'train', '--epochs', 1)
    assert main(line) == 3
    weights = masks / 'out' / 'localizer_locus-coeruleus.safetensors'
    before = weights.read_bytes()
    (image,) = (masks / 'work').rglob('prepared/sub-02_*/*.npz')
    (checkpoint,) = (masks / 'work').rglob('localizer_*.pt')
    times = image.stat()
    for damage in (flip, Path.unlink, cut):
        for path in (image, checkpoint):
            damage(path)
            if path.exists():
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        weights.unlink()
        capsys.readouterr()
        assert main(line) == 3
        log = capsys.readouterr().err
        assert f'{image.parent}: {image.name} is missing or damaged, so it is prepared' in log
        assert (f'{checkpoint}: damaged' in log) == (damage is not Path.unlink)
        assert weights.read_bytes() == before


def test_points_without_masks(masks: Path) -> None:
    for path in (masks / 'bids' / 'derivatives' / 'rater').rglob('*_dseg.nii.gz'):
        name = path.name.replace('_dseg.nii.gz', '_targets.tsv')
        rows = ['label\themisphere\tx\ty\tz', 'LLC\tL\t-3\t0\t0', 'RLC\tR\t3\t0\t0.5']
        # Two participants must not have the very same points.
        rows[1] = rows[1].replace('\t0\t0', f'\t0\t0.{path.name[5]}')
        path.with_name(name).write_text('\n'.join(rows) + '\n')
        path.unlink()
    main(mask_command(masks, 'train', '--augmentation', 'without', '--epochs', 1))
    model = load_coeruleus(masks / 'out' / 'localizer_locus-coeruleus.safetensors')
    assert (len(model.localizers), len(model.segmenters)) == (1, 0)
    assert model.card['augmentation'] == 'without'
    assert model.card['validation_dice_lpp'] == 'n/a'


def test_refused(masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(mask_command(masks, 'train', '--participant-label', '01')) != 0
    assert 'training needs at least 2' in ' '.join(capsys.readouterr().err.split())
    assert main(mask_command(masks, 'crossval', '--held-out', 2)) != 0
    assert '--held-out 2 of 3 participants' in capsys.readouterr().err
    assert main(mask_command(masks, 'crossval', '--repetitions', 2)) != 0
    assert '--repetitions: the networks of this protocol' in capsys.readouterr().err


@pytest.mark.parametrize('level', ['train', 'crossval'])
def test_masks_dry_run(masks: Path, capsys: pytest.CaptureFixture[str], level: str) -> None:
    assert main(mask_command(masks, level, '--dry-run')) == 0
    assert 'sub-02_acq-neuromelanin_T1w.nii.gz: ' in capsys.readouterr().err
    assert not (masks / 'out').exists()
    assert not (masks / 'work').exists()


@pytest.mark.slow
def test_masks_crossval(masks: Path, tmsprep: Callable) -> None:
    line = mask_command(masks, 'crossval', '--folds', 2, '--epochs', 1, '--segmentation', 'lpp')
    done = tmsprep(*line)
    assert done.returncode == 0, done.stderr
    assert 'no participant is held out' in done.stderr
    assert 'finished (8 of 8)' in done.stderr
    path = masks / 'out' / 'crossval_protocol-locuscoeruleus_points.tsv'
    points = pd.read_csv(path, sep='\t', na_values='n/a')
    assert sorted(points['participant'].unique()) == ['sub-01', 'sub-02', 'sub-03']
    image = masks / 'bids' / 'sub-03' / 'anat' / 'sub-03_acq-neuromelanin_T1w.nii.gz'
    image.write_bytes(b'x')
    again = tmsprep(*line)
    assert again.returncode == 1
    assert again.stderr.strip().endswith('points of 1 participant, named above: sub-03')


@pytest.mark.slow
def test_shared_folder(data: Path, masks: Path) -> None:
    """Two protocols at all levels that learn or compare, in the same output and work folders."""
    before: dict[Path, bytes] = {}
    quick = ('--folds', 2, '--epochs', 1, '--segmentation', 'lpp')
    raters = masks / 'bids' / 'derivatives' / 'rater'
    points = data / 'bids' / 'derivatives' / 'points'
    own, shipped = ('--protocol', data / 'own.toml'), ('--protocol', 'locus-coeruleus')
    out = data / 'out'
    for line in (
        command(data, 'train', '--residual', 'none'),
        mask_command(masks, 'train', '--epochs', 1, outputs=data),
        command(data, 'crossval', '--repetitions', 1, '--residual', 'none'),
        mask_command(masks, 'crossval', *quick, outputs=data),
        [data / 'bids', out, 'group', *own, '--annotations', points],
        [masks / 'bids', out, 'group', *shipped, '--annotations', raters],
    ):
        # So short a training is of no use.
        assert main([str(word) for word in line]) == (3 if 'train' in line else 0), line
        changed = [path.name for path, content in before.items() if path.read_bytes() != content]
        assert changed == []
        before = {
            path: path.read_bytes()
            for path in out.rglob('*')
            if path.is_file()
            and 'logs' not in path.parts
            and path.name != 'dataset_description.json'
        }
    names = {path.name for path in before}
    for name, weights in (('three', 'three'), ('locuscoeruleus', 'locus-coeruleus')):
        assert {
            f'localizer_{weights}.safetensors',
            f'train_protocol-{name}_log.tsv',
            f'group_protocol-{name}.html',
            f'group_protocol-{name}_participants.tsv',
        } <= names
