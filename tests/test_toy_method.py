"""A method and a protocol from outside go through every analysis level without a shared edit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from methods.toy import PROTOCOL

from tmsprep.cli.run import main
from tmsprep.methods import register, unregister
from tmsprep.networks.archive import read_archive

# Offset of A along x from -10 mm in each of three participants; B is its mirror image.
SHIFTS = {'01': -1.0, '02': 0.0, '03': 1.0}


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    register('toy', 'methods.toy:ToyMethod')
    yield
    unregister('toy')


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / 'toy.toml').write_text(PROTOCOL)
    bids, raters = tmp_path / 'bids', tmp_path / 'raters'
    raters.mkdir()
    for number, (label, shift) in enumerate(SHIFTS.items()):
        anat = bids / f'sub-{label}' / 'anat'
        anat.mkdir(parents=True)
        # The images lie at different places, with their centres at (number, 0, 5).
        shape, affine = np.array([41 + 2 * number, 51, 47]), np.diag([4.0, 4, 4, 1])
        affine[:3, 3] = np.array([number, 0, 5]) - 4.0 * (shape - 1) / 2
        # A smooth ball in air: slices of noise are in no order.
        away = np.square(np.indices(shape).T - (shape - 1) / 2).sum(axis=-1).T
        ball = 100 * np.exp(-away / (shape.min() / 4) ** 2).astype(np.float32)
        nib.save(nib.Nifti1Image(ball, affine), anat / f'sub-{label}_T1w.nii.gz')
        rows = ['label\themisphere\tx\ty\tz']
        rows += [f'A\tL\t{number - 10 + shift}\t0\t5', f'B\tR\t{number + 10 - shift}\t2\t5']
        (raters / f'sub-{label}_desc-me_targets.tsv').write_text('\n'.join(rows) + '\n')
    description = json.dumps({'Name': 'toy data', 'BIDSVersion': '1.9.0'})
    (bids / 'dataset_description.json').write_text(description)
    return tmp_path


def run(data: Path, level: str, *options: object) -> int:
    line = [data / 'bids', data / 'out', level, '--protocol', data / 'toy.toml', *options]
    if level in ('train', 'crossval', 'group'):
        line += ['--annotations', data / 'raters']
    if level != 'group':
        line += ['-w', data / 'work', '--nprocs', 1, '--device', 'cpu']
    return main([str(argument) for argument in line])


def test_train(data: Path) -> None:
    assert run(data, 'train') == 0
    out = data / 'out'
    tensors, metadata = read_archive(out / 'localizer_toy-list.safetensors', 'toy-1')
    # In the order of the protocol: B, then A; the mean of the shifts is 0.
    assert tensors['offset'].tolist() == [[10, 2, 0], [-10, 0, 0]]
    card = json.loads(metadata['card'])
    assert card['data'] == 'toy data; points from raters, raters within 12 mm'
    assert card['participants'].startswith('3 participants, 3 images; validation set: 0')
    assert '| Data | toy data; points' in (out / 'localizer_toy-list.md').read_text()
    log = pd.read_csv(out / 'train_protocol-toylist_log.tsv', sep='\t', na_values='n/a')
    assert list(log.columns) == ['network', 'step', 'loss', 'validation']
    # One step leads to the mean, which leaves half of the variances: (1 + 0 + 1) / 3 per target.
    assert log['loss'].tolist()[1:] == pytest.approx([2 / 3, 2 / 3])
    assert (out / 'figures' / 'train_protocol-toylist_curve.svg').is_file()


def test_crossval(data: Path) -> None:
    assert run(data, 'crossval', '--repetitions', 1) == 0
    path = data / 'out' / 'crossval_protocol-toylist_predictions.tsv'
    table = pd.read_csv(path, sep='\t', na_values='n/a').set_index(['participant_id', 'label'])
    assert len(table) == 6
    # The mean shift of the other two: 0.5, 0 and -0.5.
    errors = {('sub-01', 'A'): 1.5, ('sub-01', 'B'): 1.5, ('sub-02', 'A'): 0, ('sub-03', 'B'): 1.5}
    for key, error in errors.items():
        assert table.loc[key, 'error_mm'] == pytest.approx(error, abs=0.01)
    assert table.loc[('sub-03', 'A'), 'x'] == pytest.approx(2 - 10 - 0.5, abs=0.01)
    assert set(table['status']) == {'ok'}
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert (sidecar['Protocol'], sidecar['Participants'], sidecar['Images']) == ('toy-list', 3, 3)


def test_participant(data: Path) -> None:
    assert run(data, 'train') == 0
    weights = data / 'out' / 'localizer_toy-list.safetensors'
    assert run(data, 'participant', '--weights', weights) == 0
    path = data / 'out' / 'sub-03' / 'anat' / 'sub-03_protocol-toylist_desc-toy_targets.tsv'
    table = pd.read_csv(path, sep='\t').set_index('label')
    assert table.loc['A', ['x', 'y', 'z']].tolist() == pytest.approx([-8, 0, 5], abs=0.01)


def test_group(data: Path) -> None:
    assert run(data, 'train') == 0
    weights = data / 'out' / 'localizer_toy-list.safetensors'
    assert run(data, 'participant', '--weights', weights) == 0
    assert run(data, 'crossval', '--repetitions', 1) == 0
    assert run(data, 'group') == 0
    errors = pd.read_csv(data / 'out' / 'group_protocol-toylist_errors.tsv', sep='\t')
    means = errors.groupby('method')['error_mm'].mean()
    # In A and B of three participants: 1, 0 and 1 by all three, 1.5, 0 and 1.5 by the other two.
    assert means['toy'] == pytest.approx(2 / 3, abs=0.01)
    assert means['crossval-network'] == pytest.approx(1.0, abs=0.01)
    assert (data / 'out' / 'group_protocol-toylist.html').is_file()
