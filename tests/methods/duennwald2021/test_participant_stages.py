"""The participant level of locus-coeruleus in two stages, with networks of known answers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from coeruleus_stages import VOXEL_MM, bright, brightest, cubes, stages

from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.methods import get_method
from tmsprep.methods.duennwald2021.two_stages import save_stages
from tmsprep.methods.resources import ResourceError
from tmsprep.protocols import load_protocol

SHAPE = (64, 60, 48)
#: Middles of the bright cubes, in voxels along R, A and S.
LEFT, RIGHT = (24, 26, 24), (40, 27, 23)
ORIGIN = np.array([-24.0, -60.0, -45.0])
STEM = 'protocol-locuscoeruleus'
PROTOCOL = load_protocol('locus-coeruleus')
#: Twice the scale. Its limit of the visibility is that of the status, and no other one.
LIMITS = {'visibility': 0.9, 'voxel_mm': 2.0}
CALIBRATION = ErrorRadius(('LLC', 'RLC'), 0.9, (0.6, 0.7), 0.0, 2.0, (20, 20), LIMITS)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = stages((brightest(),) * 2, (bright(),), calibration=CALIBRATION.as_dict())
    return save_stages(tmp_path_factory.mktemp('weights') / 'stages.safetensors', model)


@pytest.fixture(scope='module')
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sides of 01 can be seen, stored with the first axis to the left; 02 lacks the right."""
    root = tmp_path_factory.mktemp('bids')
    (root / 'dataset_description.json').write_text('{"Name": "known", "BIDSVersion": "1.10.0"}')
    affine = np.diag([-VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = ORIGIN + np.array([VOXEL_MM * (SHAPE[0] - 1), 0, 0])
    for subject, middles in (('01', (LEFT, RIGHT)), ('02', (LEFT,))):
        path = root / f'sub-{subject}/anat/sub-{subject}_acq-neuromelanin_T1w.nii.gz'
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(cubes(SHAPE, *middles)[::-1], affine), path)
    return root


@pytest.fixture(scope='module')
def out(
    tmp_path_factory: pytest.TempPathFactory, bids: Path, weights: Path, tmsprep
) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp('run')
    command = (bids, folder / 'out', 'participant', '--protocol', 'locus-coeruleus')
    more = ('--weights', weights, '-w', folder / 'work', '--nprocs', 1, '--fail-on-warning')
    done = tmsprep(*command, *more)
    # A side that is not seen is a warning.
    assert done.returncode == 3, done.stderr
    return folder / 'out', done.stderr


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding='utf-8', newline='') as stream:
        return list(csv.DictReader(stream, delimiter='\t'))


def anat(out: tuple[Path, str], subject: str, name: str) -> Path:
    return out[0] / f'sub-{subject}/anat/sub-{subject}_acq-neuromelanin_{STEM}_{name}'


def test_points(out: tuple[Path, str]) -> None:
    path = anat(out, '01', 'desc-coreunet_targets.tsv')
    found = rows(path)
    assert [row['status'] for row in found] == ['ok', 'ok']
    for row, voxel, radius in zip(found, (LEFT, RIGHT), ('1.2', '1.4'), strict=True):
        place = [float(row[axis]) for axis in 'xyz']
        np.testing.assert_allclose(place, ORIGIN + VOXEL_MM * np.array(voxel), atol=2e-3)
        assert float(row['error90_mm']) == pytest.approx(float(radius))
        assert float(row['dispersion_mm']) == pytest.approx(0, abs=1e-3)
        assert float(row['visibility']) > 0.99
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert sidecar['EnsembleSize'] == 2
    assert set(sidecar['FirstStage']['Landmarks']) > {'LLC', 'RLC', 'PONS'}
    # The pons lies 9 mm in front of the middle of the image.
    middle = ORIGIN + VOXEL_MM * (np.array(SHAPE) - 1) / 2 + [0, 9, 0]
    np.testing.assert_allclose(sidecar['FirstStage']['Landmarks']['PONS'], middle, atol=0.8)


def test_side_not_seen(out: tuple[Path, str]) -> None:
    path = anat(out, '02', 'desc-coreunet_targets.tsv')
    left, right = rows(path)
    assert (left['status'], right['status']) == ('ok', 'not_visible')
    # There is a point to look at, and nothing is promised of it.
    assert right['x'] != 'n/a'
    assert (left['error90_mm'] != 'n/a', right['error90_mm']) == (True, 'n/a')
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert sidecar['NotVisible'] == ['RLC']
    assert 'not_visible' in sidecar['status']['Levels']
    assert 'sub-02_acq-neuromelanin RLC not_visible (coreunet)' in out[1]
    first, second = rows(anat(out, '02', 'desc-lpp_segmentation.tsv'))
    # The reference region rests on both points.
    assert (first['status'], second['status']) == ('check_points', 'empty')
    assert (second['volume_mm3'], second['cr_median']) == ('0.0000', 'n/a')
    navigation = '\n'.join(str(p) for p in (out[0] / 'sub-02').rglob('*') if 'nav' in p.parts)
    assert 'RLC' not in navigation


def test_segmentation(out: tuple[Path, str]) -> None:
    labels = nib.load(anat(out, '01', 'desc-lpp_dseg.nii.gz'))
    voxels = np.asanyarray(labels.dataobj)[::-1]
    for number, (x, y, z) in enumerate((LEFT, RIGHT), start=1):
        expected = np.zeros(SHAPE, bool)
        expected[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = True
        np.testing.assert_array_equal(voxels == number, expected)
    for row in rows(anat(out, '01', 'desc-lpp_segmentation.tsv')):
        assert row['status'] == 'ok'
        assert float(row['volume_mm3']) == pytest.approx(27 * VOXEL_MM**3, abs=1e-3)
        assert float(row['cr_median']) == pytest.approx(2, abs=0.01)
    description = json.loads(anat(out, '01', 'desc-lpp_dseg.json').read_text())['Description']
    assert 'the crop around each localised point' in description


def test_report(out: tuple[Path, str]) -> None:
    page = (out[0] / f'sub-02_{STEM}.html').read_text(encoding='utf-8')
    summary = page[page.index('<div class="summary') :]
    # Before the verdict, and everything else of the image.
    first = re.search(r'<p class="lead">(.*?)</p>', summary)
    assert first is not None
    assert first[1] == (
        '<strong>Networks trained on bright cubes; not tested in patients.</strong>'
    )
    assert first.start() < summary.index('class="verdict"')
    assert 'not seen: the point lies where the target is expected' in summary
    assert 'A multi-resolution network' in page


def resources(weights: Path | None, *ways: str) -> dict:
    options = {'weights': weights, 'segmentation': ways}
    return get_method('coreunet').resources(PROTOCOL, options)


def test_resources(weights: Path) -> None:
    found = resources(weights, 'lpp')
    assert (found['stages'], found['segmentation']) == (True, ['lpp'])
    with pytest.raises(ResourceError, match='give --segmentation lpp'):
        resources(weights, 'npp', 'lpp')
    other = stages(labels=('LLC', 'PONS'))
    path = save_stages(weights.with_name('other.safetensors'), other)
    with pytest.raises(ResourceError, match='lacks RLC'):
        resources(path)


def test_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    card = {'name': 'w', 'warning': 'do not use them'}
    path = save_stages(tmp_path / 'w.safetensors', stages(card=card))
    resources(path)
    assert caplog.messages == [f'{path}: do not use them']


def test_memory(bids: Path, weights: Path) -> None:
    images = sorted(bids.rglob('*.nii.gz'))
    found = get_method('coreunet').memory_gb({'weights': str(weights)}, images)
    assert found == pytest.approx(1.1 + 40 * np.prod(SHAPE) / 1e9)
