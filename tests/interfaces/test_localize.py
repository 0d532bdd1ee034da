from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
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
from tmsprep.methods import register, unregister
from tmsprep.methods.base import Method, Request
from tmsprep.methods.baxter2021.weights import load_localizer, save_localizer
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Target, load_protocol

#: Without a mean head and gyri: the images here are none.
PROTOCOL = replace(load_protocol('tms'), head='', gyri='')
LABELS = PROTOCOL.labels
N = (14, 8, *[14] * 9)


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
        folder=str(tmp_path / 'kept'),
        conformed=str(conformed),
        properties=str(conformed.with_name('properties.json')),
        protocol=replace(PROTOCOL, targets=targets),
        resources={'weights': str(path), 'weights_sha256': file_sha256(path)},
    )
    (tmp_path / 'node').mkdir()
    return Outcome.read(node.run(cwd=str(tmp_path / 'node')).outputs.outcome)


SCALES = (2.0, 3.0, *[4.0] * 9)


def calibration_of(**more: Any) -> dict[str, Any]:
    """Half of the scales; the second target was in 8 participants only."""
    slope, level = more.pop('slope', 0.0), more.pop('level', 0.9)
    return ErrorRadius(LABELS, level, SCALES, slope, 0.5, N, **more).as_dict()


@pytest.mark.parametrize('slope', [0.0, 2.0])
def test_radius(tmp_path: Path, random_weights: Path, conformed: Path, slope: float) -> None:
    outcome = localize(tmp_path, random_weights, conformed, calibration_of(slope=slope))
    assert outcome.error is None
    assert list(outcome.columns) == ['dispersion_mm', 'error90_mm']
    spread = np.array(outcome.columns['dispersion_mm'][1:])
    assert (spread > 0).all()
    expected = 0.5 * np.hypot(SCALES, slope * spread)
    radii = outcome.columns['error90_mm']
    assert radii[0] is None
    assert radii[2] is None
    np.testing.assert_allclose([radii[1], *radii[3:]], [expected[0], *expected[2:]])
    found = outcome.details['Calibration']
    assert found['People'] == dict(zip(LABELS, N, strict=True))
    assert found['ScaledByDispersion'] == (slope > 0)
    assert list(found['Missing']) == ['NEW', LABELS[1]]
    assert 'too few participants' in found['Missing'][LABELS[1]]


@pytest.mark.parametrize(
    ('calibration', 'reason'),
    [
        (calibration_of(limits={'dispersion_mm': 0.0}), 'the networks disagree by'),
        (calibration_of(limits={'match': 0.9}), 'match is not known'),
        ({'quantiles': [1.0], 'floor_mm': 1.0}, 'calibrated by an earlier version'),
    ],
)
def test_no_support(
    tmp_path: Path,
    random_weights: Path,
    conformed: Path,
    calibration: Mapping[str, Any],
    reason: str,
) -> None:
    outcome = localize(tmp_path, random_weights, conformed, calibration)
    assert set(outcome.columns['error90_mm']) == {None}
    missing = outcome.details['Calibration']['Missing']
    assert set(missing) == {'NEW', *LABELS}
    assert all(reason in text for text in missing.values())


def test_no_calibration(tmp_path: Path, random_weights: Path, conformed: Path) -> None:
    outcome = localize(tmp_path, random_weights, conformed, None)
    assert list(outcome.columns) == ['dispersion_mm']
    assert 'Calibration' not in outcome.details


def test_calibration_of_another_level(
    tmp_path: Path, random_weights: Path, conformed: Path
) -> None:
    outcome = localize(tmp_path, random_weights, conformed, calibration_of(level=0.8))
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


class Counting(Method):
    """Counts in a file how often it runs, and returns the first byte of the image."""

    name = 'counting'
    title = 'Counting'
    description = 'A method of a test'

    def locate(self, request: Request) -> Outcome:
        count = Path(request.resources['count'])
        count.write_text(f'{count.read_text()}x')
        if request.resources.get('fails'):
            raise ValueError('no brain')
        (request.folder / 'below').mkdir()
        mask = request.folder / 'below' / 'mask.nii.gz'
        mask.write_bytes(bytes(range(200)))
        x = float(request.conformed.read_bytes()[0])
        points = PointSet.from_mapping(dict.fromkeys(LABELS, (x, 1, 2)))
        return Outcome(self.name, points, files={'mask': str(mask)})


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Inputs of the node with `Counting`."""
    register('counting', f'{__name__}:Counting')
    conformed, properties = tmp_path / 'conformed.nii', tmp_path / 'properties.json'
    conformed.write_bytes(b'A voxel')
    properties.write_text('{"sha256": "abc"}')
    count = tmp_path / 'count'
    count.touch()
    yield {
        'method': 'counting',
        'folder': str(tmp_path / 'kept' / 'counting'),
        'conformed': str(conformed),
        'properties': str(properties),
        'protocol': PROTOCOL,
        'resources': {'count': str(count), 'n': 1},
    }
    unregister('counting')


def outcome_of(inputs: dict[str, Any]) -> Outcome:
    """Run the node; the file that counts is no resource that matters."""
    path = Path(inputs['resources']['count'])
    runs = path.read_text()
    path.write_text('')
    outcome = Outcome.read(Locate(**inputs).run(cwd=str(path.parent)).outputs.outcome)
    path.write_text(runs + path.read_text())
    return outcome


def runs_of(inputs: dict[str, Any]) -> int:
    return len(Path(inputs['resources']['count']).read_text())


def kept(inputs: dict[str, Any]) -> list[Path]:
    return sorted(path for path in Path(inputs['folder']).rglob('*') if path.is_file())


def test_kept_outcome(inputs: dict[str, Any]) -> None:
    first = outcome_of(inputs)
    assert first.points is not None
    assert first.points['LOFC'].tolist() == [65, 1, 2]
    assert first.details['Inputs']['Image'] == 'abc'
    times = [path.stat().st_mtime_ns for path in kept(inputs)]
    assert outcome_of(inputs) == first
    assert runs_of(inputs) == 1
    assert [path.stat().st_mtime_ns for path in kept(inputs)] == times


@pytest.mark.parametrize('damage', ['cut', 'zero', 'gone', 'flip', 'more'])
@pytest.mark.parametrize('number', [0, 1, 2])
def test_damaged_outcome(
    inputs: dict[str, Any], number: int, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What a bad disk or a purge by age did to one of the files is seen, and made good."""
    first = outcome_of(inputs)
    names = [path.name for path in kept(inputs)]
    assert names == ['mask.nii.gz', 'checksums.json', 'outcome.json']
    path = kept(inputs)[number]
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 3] ^= 2
    path.write_bytes(
        {
            'cut': content[: len(content) // 2],
            'zero': bytes(len(content)),
            'gone': b'',
            'flip': bytes(changed),
            'more': content + b'x',
        }[damage]
    )
    if damage == 'gone':
        path.unlink()
    assert outcome_of(inputs) == first
    assert runs_of(inputs) == 2
    assert outcome_of(inputs) == first
    assert runs_of(inputs) == 2
    # Without its seal it is not finished, as after a kill.
    assert ('so it is made again' in caplog.text) == ((number, damage) != (1, 'gone'))


@pytest.mark.parametrize(
    'change',
    [
        {'random_seed': 2},
        {'threads': 2},
        {'version': '2'},
        {'protocol': replace(PROTOCOL, targets=PROTOCOL.targets[::-1])},
        {'n': 2},
        {'conformed': b'Another'},
        {'properties': b'{"sha256": "other"}'},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_inputs(inputs: dict[str, Any], change: dict[str, Any]) -> None:
    """Files are told apart by their content, whatever their times."""
    outcome_of(inputs)
    before = kept(inputs)
    for name, value in change.items():
        if isinstance(value, bytes):
            path = Path(inputs[name])
            status = path.stat()
            path.write_bytes(value)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif name == 'n':
            inputs['resources'][name] = value
        else:
            inputs[name] = value
    outcome_of(inputs)
    assert runs_of(inputs) == 2
    # What was made from other inputs is gone.
    assert len(kept(inputs)) == 3
    assert not any(path.exists() for path in before)


def test_failed_outcome_is_repeated(inputs: dict[str, Any]) -> None:
    inputs['resources']['fails'] = True
    for n in (1, 2):
        outcome = outcome_of(inputs)
        assert outcome.error is not None
        assert outcome.error['message'] == 'no brain'
        assert runs_of(inputs) == n


def test_failure(tmp_path: Path, conformed: Path) -> None:
    node = Locate(
        method='cnn',
        folder=str(tmp_path / 'kept'),
        conformed=str(conformed),
        properties=str(conformed.with_name('properties.json')),
        protocol=PROTOCOL,
        resources={'weights': str(tmp_path / 'none'), 'weights_sha256': ''},
    )
    outcome = Outcome.read(node.run(cwd=str(tmp_path)).outputs.outcome)
    assert (outcome.method, outcome.points) == ('cnn', None)
    assert 'weights file not found' in outcome.error['message']
