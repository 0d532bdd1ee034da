"""Weights, atlases and templates that cannot be used: exit code 2, named, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tmsprep.cli.run import main
from tmsprep.methods.duennwald2021.networks import (
    CoeruleusModel,
    CoReUNet,
    CoReUNetSettings,
    save_coeruleus,
)

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    folder = tmp_path / 'bids'
    for name in ('T1w', 'acq-neuromelanin_T1w'):
        path = folder / 'sub-01' / 'anat' / f'sub-01_{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.random.default_rng(1).random((40, 40, 40)).astype(np.float32)
        nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)
    description = {'Name': 'a study', 'BIDSVersion': '1.9.0'}
    (folder / 'dataset_description.json').write_text(json.dumps(description))
    return folder


def refusal(
    bids: Path, capsys: pytest.CaptureFixture[str], level: str = 'participant', *more: object
) -> str:
    """Run with options that must be refused; return the last line."""
    out, work = bids.parent / 'out', bids.parent / 'work'
    line = [bids, out, level, '-w', work, '--nprocs', 1, '--device', 'cpu', *more]
    assert main([str(word) for word in line]) == 2
    assert [p.name for p in out.rglob('*') if p.is_file() and 'logs' not in p.parts] == []
    assert list(work.rglob('*.nii*')) == []
    return capsys.readouterr().err.strip().splitlines()[-1]


def changed(
    weights: Path, path: Path, change: Callable[[dict[str, Any], dict[str, str]], None]
) -> Path:
    """Write weights with other parameters or texts."""
    raw = weights.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], 'little')])
    arrays, metadata = load_file(weights), header['__metadata__']
    change(arrays, metadata)
    save_file(arrays, path, metadata)
    return path


def nan(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays['1.levels.0.maps'][0, 0, 0] = np.nan


def infinite(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays['0.levels.5.bias'][0] = np.inf


def whole_numbers(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays['0.levels.0.maps'] = arrays['0.levels.0.maps'].astype(np.int16)


def extra(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays['2.levels.0.maps'] = np.zeros(3, np.float16)


def less(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    del arrays['0.levels.2.scale']


def larger(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    members = json.loads(metadata['settings'])
    members[0]['kernels'] = 10**9
    metadata['settings'] = json.dumps(members)


def shape(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    metadata['shape'] = json.dumps([[float('nan')] * 3] * 11)


def labels(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    names = json.loads(metadata['labels'])
    metadata['labels'] = json.dumps([*names[:-1], 'ANOTHER'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (nan, 'values that are not numbers'),
        (infinite, 'values that are not numbers'),
        (whole_numbers, 'holds int16, not weights'),
        (extra, "has, beyond the network it describes, '2.levels.0.maps'"),
        (less, "it lacks '0.levels.2.scale'"),
        (larger, 'kernels must be a whole number from 1 to 4096'),
        (shape, "'shape' of its metadata is damaged (NaN is not a number)"),
        (labels, 'and lacks RULIMBMC of protocol tms'),
    ],
)
def test_weights(
    bids: Path,
    random_weights: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable,
    message: str,
) -> None:
    path = changed(random_weights, bids.parent / 'mine.safetensors', change)
    line = refusal(bids, capsys, 'participant', '--localizers', 'cnn', '--weights', path)
    assert str(path) in line
    assert message in line


def test_weights_cut(bids: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bids.parent / 'mine.safetensors'
    path.write_bytes(random_weights.read_bytes()[:-10])
    line = refusal(bids, capsys, 'participant', '--localizers', 'cnn', '--weights', path)
    assert f'{path} is not a safetensors file, or is damaged' in line


def test_weights_of_another_protocol(
    bids: Path,
    make_weights: Callable[[str], Path],
    random_weights: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = make_weights('afids')
    line = refusal(bids, capsys, 'participant', '--localizers', 'cnn', '--weights', other)
    assert f'{other}: trained for' in line
    coeruleus = ('participant', '--protocol', 'locus-coeruleus', '--weights')
    line = refusal(bids, capsys, *coeruleus, random_weights)
    assert f'{random_weights} does not hold tmsprep-locus-coeruleus-1' in line
    network = CoReUNet(CoReUNetSettings((8,), block=4)).eval()
    network.head.weight.data.fill_(1.0)
    model = CoeruleusModel(('LLC', 'RLC'), (network,), (), {})
    whole = save_coeruleus(bids.parent / 'whole.safetensors', model)

    def damage(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
        arrays['localizer.0.head.weight'][0] = -np.inf

    path = changed(whole, bids.parent / 'mine.safetensors', damage)
    assert 'values that are not numbers' in refusal(bids, capsys, *coeruleus, path)


def test_start_of_training(
    bids: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before an image is looked at."""
    (bids.parent / 'raters').mkdir()
    path = changed(random_weights, bids.parent / 'mine.safetensors', nan)
    options = ('--annotations', bids.parent / 'raters', '--weights')
    line = refusal(bids, capsys, 'train', *options, path)
    assert f'{path}: 1.levels.0.maps holds values that are not numbers' in line
    line = refusal(bids, capsys, 'train', *options, random_weights)
    assert '--weights have none residual layers: give --residual none' in line


@pytest.mark.parametrize('number', ['nan', 'inf', '-Infinity', '1e999'])
def test_atlas_points(bids: Path, capsys: pytest.CaptureFixture[str], number: str) -> None:
    atlas, table = bids / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz', bids.parent / 'points.tsv'
    table.write_text(f'label\themisphere\tx\ty\tz\nLOFC\tL\t{number}\t2\t3\n')
    options = ('--localizers', 'syn', '--atlas', atlas, '--atlas-targets', table)
    assert str(table) in refusal(bids, capsys, 'participant', *options)


@pytest.mark.parametrize(
    ('fill', 'message'),
    [(np.nan, 'are NaN or infinite'), (np.inf, 'are NaN or infinite'), (7.0, 'all voxels are 7')],
)
def test_atlas_image(
    bids: Path, capsys: pytest.CaptureFixture[str], fill: float, message: str
) -> None:
    atlas, table = bids.parent / 'atlas.nii.gz', bids.parent / 'points.tsv'
    data = np.full((40, 40, 40), fill, np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), atlas)
    table.write_text('label\themisphere\tx\ty\tz\nLOFC\tL\t20\t20\t30\n')
    options = ('--localizers', 'syn', '--atlas', atlas, '--atlas-targets', table)
    line = refusal(bids, capsys, 'participant', *options)
    assert str(atlas) in line
    assert message in line
    # Points beyond the image are of another one.
    nib.save(nib.Nifti1Image(np.random.default_rng(1).random((9, 9, 9)), np.eye(4)), atlas)
    assert f'LOFC: outside the atlas image {atlas}' in refusal(
        bids, capsys, 'participant', *options
    )


def test_mean_head(bids: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That of a protocol of one's own, before an image is looked at."""
    own, head = bids.parent / 'own.toml', bids.parent / 'mine.safetensors'
    shipped = (CHECKOUT / 'tmsprep' / 'protocols' / 'tms.toml').read_text()
    own.write_text(
        shipped.replace('"tms"', '"own"')
        .replace("'tms'", "'own'")
        .replace('head_tms.safetensors', head.name)
    )
    head.write_bytes((CHECKOUT / 'tmsprep' / 'data' / 'head_tms.safetensors').read_bytes()[:-9])
    options = ('--protocol', own, '--localizers', 'cnn', '--weights', random_weights)
    line = refusal(bids, capsys, 'participant', *options)
    assert f'{head} is not a safetensors file, or is damaged' in line
