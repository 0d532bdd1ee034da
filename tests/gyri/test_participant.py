"""Gyri in a run of the participant level, with a network that always sees the same gyrus."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from tmsprep.cli.run import main
from tmsprep.evaluation.shape import read_places
from tmsprep.gyri.labels import NAMES
from tmsprep.gyri.limits import Limits
from tmsprep.gyri.parcellation import GyrusNet, load_parcellator, save_parcellation
from tmsprep.methods.base import Request
from tmsprep.methods.places import add_places
from tmsprep.networks.archive import WeightsError
from tmsprep.networks.settings import UNetSettings
from tmsprep.outcome import Outcome
from tmsprep.phantoms import write_dataset
from tmsprep.protocols import load_protocol

TMS = load_protocol('tms')
CHECKOUT = Path(__file__).parents[2]
GYRI = {
    'OFC': 'orbital gyri',
    'DLPFC': 'middle frontal gyrus',
    'HESCHL': 'transverse temporal gyrus',
    'FACEMC': 'precentral gyrus',
    'ULIMBMC': 'precentral gyrus',
}


def write_network(path: Path, labels: tuple[str, ...] = TMS.labels) -> Path:
    """Write a network that sees precentral gyrus everywhere, whatever the image.

    Its probability is 0.9, and that of the postcentral gyrus 0.1.
    """
    network = GyrusNet(UNetSettings((8,), 2)).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        bias = network.head.bias.view(len(NAMES), -1)
        bias[:] = -60
        bias[NAMES.index('precentral gyrus')] = np.log(9)
        bias[NAMES.index('postcentral gyrus')] = 0
    landmarks = read_places(TMS.file(TMS.atlas['points']), TMS).reindex(labels).coordinates
    card = {'data': 'none'}
    return save_parcellation(path, network, labels, np.nan_to_num(landmarks), card, Limits())


def write_protocol(folder: Path, network: str = 'tiny.safetensors') -> Path:
    """The default protocol under another name, with a network, and a gyrus for most targets."""
    text = (CHECKOUT / 'tmsprep' / 'protocols' / 'tms.toml').read_text()
    lines = []
    for line in text.splitlines():
        if not line.startswith(('gyri =', 'gyrus =')):
            lines.append(line.replace("name = 'tms'", f"name = 'own'\ngyri = '{network}'"))
        for ending, gyrus in GYRI.items():
            if line.startswith('label') and line.endswith(f"{ending}'"):
                lines.append(f"gyrus = '{gyrus}'")
    path = folder / 'own.toml'
    path.write_text('\n'.join(lines) + '\n')
    return path


def test_participant(tmp_path: Path, shipped_weights: Path) -> None:
    bids = write_dataset(tmp_path / 'bids', [1], ['01'], voxel_size=(2.0, 2.0, 2.0))
    write_network(tmp_path / 'tiny.safetensors')
    protocol = write_protocol(tmp_path)
    options = ('--protocol', protocol, '--localizers', 'cnn', '--weights', shipped_weights)
    line = [bids, tmp_path / 'out', 'participant', *options, '-w', tmp_path / 'work']
    assert main([str(word) for word in [*line, '--nprocs', 1, '--device', 'cpu']]) == 0
    path = next(tmp_path.glob('out/sub-01/anat/*_desc-cnn_targets.tsv'))
    table = pd.read_csv(path, sep='\t', keep_default_na=False).set_index('label')
    assert list(table.columns)[5:9] == [
        *('status', 'gyrus', 'gyrus_probability', 'crown_depth_mm'),
    ]
    for label, row in table.iterrows():
        side = {'L': 'left', 'R': 'right'}[row['hemisphere']]
        expected = next((g for end, g in GYRI.items() if str(label).endswith(end)), '')
        # Near the midline the network sees both hemispheres as its own.
        if expected and 'LLIMB' not in str(label):
            assert row['gyrus'] == f'{side} precentral gyrus'
            right = expected == 'precentral gyrus'
            assert row['status'] == ('ok' if right else 'gyrus_unknown')
            assert float(row['gyrus_probability']) == pytest.approx(0.9 if right else 0, abs=1e-3)
        else:
            assert row['gyrus'].endswith('precentral gyrus')
            assert (row['status'], row['gyrus_probability']) == ('ok', 'n/a')
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert sidecar['GyrusUnknown'] == ['LOFC', 'ROFC', 'LDLPFC', 'RDLPFC', 'LHESCHL']
    assert 'WrongGyrus' not in sidecar
    assert sidecar['crown_depth_mm']['Units'] == 'mm'
    page = next(tmp_path.glob('out/sub-01*.html')).read_text()
    assert 'left precentral gyrus' in page
    assert 'expected gyrus: 90 %' in page


def test_settle(tmp_path: Path) -> None:
    """Points move only if the method says how far they may be off."""
    write_network(tmp_path / 'tiny.safetensors')
    protocol = load_protocol(str(write_protocol(tmp_path)))
    image = tmp_path / 'conformed.nii'
    affine = np.array([[-1.0, 0, 0, 128], [0, -1, 0, 128], [0, 0, 1, -128], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.ones((256, 256, 256), np.uint8), affine), image)
    points = read_places(TMS.file(TMS.atlas['points']), TMS)
    outcome = Outcome('cnn', points, settle_mm=3.0)
    request = Request(image, {'window': (0, 1)}, protocol, {}, folder=tmp_path)
    settled = add_places(outcome, request)
    # All places are equally probable, so the nearest one is where the point is already.
    assert settled.columns['settled_mm'] == [0.0] * len(points)
    assert np.array_equal(settled.points.coordinates, points.coordinates)
    assert 'settled_mm' not in add_places(replace(outcome, settle_mm=0.0), request).columns


@pytest.mark.parametrize('kind', ['cut', 'few', 'limits'])
def test_weights_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, random_weights: Path
) -> None:
    """Before an image is looked at, as the mean head is."""
    bids = write_dataset(tmp_path / 'bids', [1], ['01'], voxel_size=(8.0, 8.0, 8.0))
    labels = ('A', 'B', *TMS.labels[:3]) if kind == 'few' else TMS.labels
    path = write_network(tmp_path / 'tiny.safetensors', labels)
    raw = path.read_bytes()
    if kind == 'cut':
        path.write_bytes(raw[:-9])
    if kind == 'limits':
        path.write_bytes(raw.replace(b'far_mm', b'far_km'))
    options = ('--protocol', write_protocol(tmp_path), '--localizers', 'cnn')
    line = [bids, tmp_path / 'out', 'participant', *options, '--weights', random_weights]
    assert main([str(word) for word in [*line, '--nprocs', 1, '--device', 'cpu']]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(path) in said
    message = {
        'cut': 'is not a safetensors file, or is damaged',
        'few': 'of which protocol own has 3, and 4 are needed',
        'limits': 'its limits are damaged',
    }
    assert message[kind] in said


def test_saved(tmp_path: Path) -> None:
    read = load_parcellator(write_network(tmp_path / 'tiny.safetensors'))
    assert read.labels == TMS.labels
    assert read.limits == Limits()
    assert read.card == {'data': 'none'}


def test_another_kind(tmp_path: Path, random_weights: Path) -> None:
    with pytest.raises(WeightsError, match='does not hold tmsprep-gyri-1'):
        load_parcellator(random_weights)
