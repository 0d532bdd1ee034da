from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.files import file_sha256
from tmsprep.interfaces.figures import error_circles
from tmsprep.interfaces.localize import Locate
from tmsprep.methods.baxter2021.weights import load_localizer, save_localizer
from tmsprep.outcome import Outcome
from tmsprep.protocols import Target, load_protocol

PROTOCOL = load_protocol('tms')
LABELS = PROTOCOL.labels
N = (14, 8, *[14] * 9)
QUANTILES = (2.0, np.inf, *[4.0] * 9)


@pytest.fixture(scope='module')
def conformed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('conformed') / 'conformed.nii'
    data = np.zeros((256, 256, 256), np.uint8)
    data[60:180, 80:200, 70:190] = np.random.default_rng(0).integers(0, 256, 120**3, np.uint8
    ).reshape(120, 120, 120)  # fmt: skip
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    path.with_name('properties.json').write_text(json.dumps({'window': [0.0, 255.0]}))
    return path


def localize(
    tmp_path: Path, weights: Path, conformed: Path, calibration: Mapping[str, Any] | None
) -> Outcome:
    """Run the node with weights that carry a calibration."""
    calibrated = replace(load_localizer(weights), calibration=calibration)
    path = save_localizer(tmp_path / 'calibrated.safetensors', calibrated)
    # A target that the networks do not know; such weights are refused before a run.
    targets = (Target('NEW', 'L', 'new', ''), *PROTOCOL.targets)
    node = Locate(
        method='cnn',
        conformed=str(conformed),
        properties=str(conformed.with_name('properties.json')),
        protocol=replace(PROTOCOL, targets=targets),
        resources={'weights': str(path), 'weights_sha256': file_sha256(path)},
    )
    (tmp_path / 'node').mkdir()
    return Outcome.read(node.run(cwd=str(tmp_path / 'node')).outputs.outcome)


@pytest.mark.parametrize('floor_mm', [None, 0.5])
def test_radius(
    tmp_path: Path, random_weights: Path, conformed: Path, floor_mm: float | None
) -> None:
    calibration = ErrorRadius(LABELS, 0.9, QUANTILES, N, floor_mm)
    outcome = localize(tmp_path, random_weights, conformed, calibration.as_dict())
    assert outcome.error is None
    assert list(outcome.columns) == ['dispersion_mm', 'error90_mm']
    spread = np.array(outcome.columns['dispersion_mm'][1:])
    assert (spread > 0).all()
    expected = np.array(QUANTILES) * (1.0 if floor_mm is None else spread + floor_mm)
    radii = outcome.columns['error90_mm']
    assert radii[0] is None
    assert radii[2] is None
    np.testing.assert_allclose([radii[1], *radii[3:]], [expected[0], *expected[2:]])
    assert outcome.details['Calibration'] == {
        'Level': 0.9,
        'People': dict(zip(LABELS, N, strict=True)),
        'ScaledByDispersion': floor_mm is not None,
    }


def test_no_calibration(tmp_path: Path, random_weights: Path, conformed: Path) -> None:
    outcome = localize(tmp_path, random_weights, conformed, None)
    assert list(outcome.columns) == ['dispersion_mm']
    assert 'Calibration' not in outcome.details


def test_calibration_of_another_level(
    tmp_path: Path, random_weights: Path, conformed: Path
) -> None:
    calibration = ErrorRadius(LABELS, 0.8, QUANTILES, N)
    outcome = localize(tmp_path, random_weights, conformed, calibration.as_dict())
    assert outcome.points is None
    assert 'calibrated.safetensors' in outcome.error['message']
    assert 'is for 0.8, not 0.9' in outcome.error['message']


def test_error_circles(tmp_path: Path) -> None:
    names = ['label', 'hemisphere', 'region', 'x', 'y', 'z', 'status', 'error90_mm']
    rows = [['LA', 'L', 'a', '1', '2', '3', 'ok', '4.5'], ['RA', *'Ra123', 'ok', 'n/a']]
    tables = {}
    for method, columns in (('cnn', 8), ('syn', 7)):
        path = tmp_path / f'{method}.tsv'
        path.write_text('\n'.join('\t'.join(row[:columns]) for row in [names, *rows]) + '\n')
        path.with_suffix('.json').write_text('{}')
        tables[method] = path
    assert error_circles(tables) == {'LA': {'cnn': 4.5}, 'RA': {}}


def test_failure(tmp_path: Path, conformed: Path) -> None:
    node = Locate(
        method='cnn',
        conformed=str(conformed),
        properties=str(conformed.with_name('properties.json')),
        protocol=PROTOCOL,
        resources={'weights': str(tmp_path / 'none'), 'weights_sha256': ''},
    )
    outcome = Outcome.read(node.run(cwd=str(tmp_path)).outputs.outcome)
    assert (outcome.method, outcome.points) == ('cnn', None)
    assert 'weights file not found' in outcome.error['message']
