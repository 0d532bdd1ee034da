"""The crossval level of locus-coeruleus, from the command line to the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from coeruleus_data import STEM, rods, write_bids, write_image, write_mask

from tmsprep.cli.run import main

TRAININGS = {
    f'{network}_fold0{fold}'
    for network in ('localizer_with', 'localizer_without', 'segmenter')
    for fold in (1, 2)
}


def run(folder: Path, *options: object) -> int:
    command = [folder / 'bids', folder / 'out', 'crossval', '--protocol', 'locus-coeruleus']
    command += ['--annotations', folder / 'rater', '--recipe', 'quick', '--epochs', 1]
    command += ['-w', folder / 'work', '--nprocs', 1, '--device', 'cpu', '--folds', 2, *options]
    return main([str(word) for word in command])


def networks(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of writing of every trained network."""
    return {
        path.parent.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (folder / 'work').rglob('network.pt')
    }


def path_of(folder: Path, name: str) -> Path:
    return folder / 'out' / f'crossval_protocol-locuscoeruleus_{name}'


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(path_of(folder, f'{name}.tsv'), sep='\t', na_values='n/a')


def roles(folder: Path) -> pd.Series:
    return table(folder, 'folds').set_index('participant')['role'].astype(str)


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('run')
    bids = write_bids(folder / 'bids')
    for seed in range(1, 7):
        write_image(bids, f'{seed:02d}', seed)
        write_mask(folder / 'rater', f'{seed:02d}', rods(seed))
    assert run(folder, '--held-out', 2) == 0
    return folder


def test_written_tables(finished: Path) -> None:
    assert sorted(roles(finished)) == ['1', '1', '2', '2', 'held out', 'held out']
    held_out = set(roles(finished)[roles(finished) == 'held out'].index)
    points = table(finished, 'points')
    assert len(points) == 2 * 2 * 2 * 2
    assert set(points['participant']) == held_out
    assert set(points['augmentation']) == {'with', 'without'}
    assert set(points['fold']) == {1, 2}
    segments = table(finished, 'segmentation')
    assert len(segments) == 2 * 2 * 3 * 2
    assert list(segments.columns)[:6] == [
        *('image', 'participant', 'fold', 'method', 'hemisphere', 'status')
    ]
    # Rods of 140 in 100: the ratio of the rater does not depend on the networks.
    assert segments['manual_cr_median'].between(1.35, 1.45).all()
    assert len(table(finished, 'trainings')) == 6
    sidecar = json.loads(path_of(finished, 'points.json').read_text())
    assert sidecar['Data'] == 'rods (simulated); masks or points from rater'
    assert 'held out' in sidecar['Generalisation']
    assert sidecar['Recipe']['schedule']['epochs'] == 1
    assert (sidecar['HeldOut'], sidecar['Folds']) == (2, 2)


def test_held_out_images(finished: Path) -> None:
    before, points = networks(finished), table(finished, 'points')
    assert set(before) == TRAININGS
    write_image(finished / 'bids', points['participant'][0][4:], 77)
    assert run(finished, '--held-out', 2) == 0
    # No training depends on the image of the test set, so none is repeated.
    assert networks(finished) == before
    assert not points.equals(table(finished, 'points'))


def test_damaged_training_image(finished: Path) -> None:
    before = networks(finished)
    name = roles(finished)[roles(finished) == '1'].index[0]
    path = finished / 'bids' / name / 'anat' / f'{name}_{STEM}_T1w.nii.gz'
    path.write_bytes(path.read_bytes()[:2000])
    assert run(finished, '--held-out', 2, '--segmentation', 'lpp') == 1
    after = networks(finished)
    assert all(before[name][0] != after[name][0] for name in TRAININGS if 'fold02' in name)
    assert set(table(finished, 'segmentation')['method']) == {'lpp'}
    # Without a held-out set the validation sets are tested, and the sidecar says so.
    assert run(finished, '--augmentation', 'without') == 1
    points = table(finished, 'points')
    assert set(points['participant']) == {f'sub-0{i}' for i in range(1, 7)}
    assert set(points.loc[points['participant'] == name, 'status']) == {'failed'}
    sidecar = json.loads(path_of(finished, 'points.json').read_text())
    assert sidecar['Generalisation'].startswith('No participant was held out')
