"""The participant level of locus-coeruleus, with networks of known answers."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.run import main
from tmsprep.derivatives.tables import write_outcomes
from tmsprep.files import file_sha256
from tmsprep.interfaces.conform import Conform
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.methods.duennwald2021.networks import (
    CoeruleusModel,
    CoReUNet,
    CoReUNetSettings,
    PatchUNet,
    PatchUNetSettings,
    save_coeruleus,
)
from tmsprep.methods.duennwald2021.options import WEIGHTS_KIND
from tmsprep.methods.resources import ResourceError
from tmsprep.networks.archive import open_archive
from tmsprep.outcome import Outcome
from tmsprep.protocols import load_protocol

SHAPE = (20, 32, 20)
#: Voxels that the localiser answers for any image: 9 mm apart.
LEFT, RIGHT = (4, 8, 10), (16, 8, 10)
ORIGIN = np.array([-9.0, -40.0, -30.0])
#: Voxels that the patch network labels: 8 voxels of 0.75 mm are 3.375 mm3.
CUBES = {1: np.s_[3:5, 7:9, 9:11], 2: np.s_[15:17, 7:9, 9:11]}
PATCH_START = (2, 0, 2)
STEM = 'sub-01_acq-neuromelanin_protocol-locuscoeruleus'
SOURCE = 'sub-01_acq-neuromelanin_T1w.nii'
PROTOCOL = load_protocol('locus-coeruleus')


def localizer() -> CoReUNet:
    """Network with a block as large as the volume: its head's bias alone is the map."""
    network = CoReUNet(CoReUNetSettings((8,), block=32))
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        maps = network.head.bias.view(2, 32, 32, 32)
        for number, voxel in enumerate((LEFT, RIGHT)):
            maps[(number, *voxel)] = 60.0
    return network.eval()


def segmenter() -> PatchUNet:
    network = PatchUNet(PatchUNetSettings((8,), block=16, patch=(16, 16, 16)))
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        maps = network.head.bias.view(3, 16, 16, 16)
        maps[0] = 10.0
        for label, cube in CUBES.items():
            moved = (
                slice(along.start - start, along.stop - start)
                for along, start in zip(cube, PATCH_START, strict=True)
            )
            maps[(label, *moved)] = 20.0
    return network.eval()


def write_weights(path: Path, *, segmenters: int = 1) -> Path:
    card = {'name': 'known', 'data': 'simulated images', 'targets': 'LLC RLC'}
    networks = (segmenter(),) * segmenters
    return save_coeruleus(path, CoeruleusModel(('LLC', 'RLC'), (localizer(),), networks, card))


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp('weights') / 'known.safetensors')


@pytest.fixture(scope='module')
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two participants: 01 is stored with its first axis to the left, 02 is cut short."""
    root = tmp_path_factory.mktemp('bids')
    (root / 'dataset_description.json').write_text('{"Name": "known", "BIDSVersion": "1.10.0"}')
    data = np.full(SHAPE, 100, np.int16)
    data[0] = 40
    data[CUBES[1]], data[CUBES[2]] = 130, 120
    data[3, 7, 9] = 150
    affine = np.diag([-0.75, 0.75, 0.75, 1.0])
    affine[:3, 3] = ORIGIN + np.array([0.75 * (SHAPE[0] - 1), 0, 0])
    for subject in ('01', '02'):
        path = root / f'sub-{subject}/anat/sub-{subject}_acq-neuromelanin_T1w.nii'
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(data[::-1], affine), path)
    path.write_bytes(path.read_bytes()[:2000])
    return root


@pytest.fixture(scope='module')
def out(
    tmp_path_factory: pytest.TempPathFactory, bids: Path, weights: Path, tmsprep
) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp('run')
    command = (bids, folder / 'out', 'participant', '--protocol', 'locus-coeruleus')
    done = tmsprep(*command, '--weights', weights, '-w', folder / 'work', '--nprocs', 1)
    assert done.returncode == 1, done.stderr
    return folder / 'out', done.stderr


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding='utf-8', newline='') as stream:
        return list(csv.DictReader(stream, delimiter='\t'))


def test_points(out) -> None:
    path = out[0] / f'sub-01/anat/{STEM}_desc-coreunet_targets.tsv'
    found = rows(path)
    assert [(row['label'], row['hemisphere'], row['status']) for row in found] == [
        ('LLC', 'L', 'ok'),
        ('RLC', 'R', 'ok'),
    ]
    for row, voxel in zip(found, (LEFT, RIGHT), strict=True):
        place = [float(row[axis]) for axis in 'xyz']
        np.testing.assert_allclose(place, ORIGIN + 0.75 * np.array(voxel), atol=1e-3)
        assert float(row['heatmap_spread_mm']) < 0.01
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert sidecar['Weights']['TrainingData'] == 'simulated images'
    assert sidecar['Sources'] == [f'bids:raw:sub-01/anat/{SOURCE}']


def test_labels(out, bids: Path) -> None:
    given = nib.load(bids / f'sub-01/anat/{SOURCE}')
    labels = nib.load(out[0] / f'sub-01/anat/{STEM}_desc-lpp_dseg.nii.gz')
    expected = np.zeros(SHAPE, np.uint8)
    for label, cube in CUBES.items():
        expected[cube] = label
    np.testing.assert_array_equal(np.asanyarray(labels.dataobj), expected[::-1])
    np.testing.assert_allclose(labels.affine, given.affine)
    assert rows(out[0] / f'sub-01/anat/{STEM}_desc-lpp_dseg.tsv') == [
        {'index': '1', 'name': 'left locus coeruleus', 'abbreviation': 'LLC'},
        {'index': '2', 'name': 'right locus coeruleus', 'abbreviation': 'RLC'},
    ]


def test_measures(out) -> None:
    left, right = rows(out[0] / f'sub-01/anat/{STEM}_desc-lpp_segmentation.tsv')
    # The middle of the points is voxel (10, 8, 10); the reference lies 10 mm in front of it.
    middle = ORIGIN + 0.75 * np.array([10, 8, 10]) + [0, 10, 0]
    for row, median, largest in ((left, 1.3, 1.5), (right, 1.2, 1.2)):
        assert row['status'] == 'ok'
        assert float(row['volume_mm3']) == pytest.approx(8 * 0.75**3)
        assert float(row['cr_median']) == pytest.approx(median)
        assert float(row['cr_maximum']) == pytest.approx(largest)
        assert float(row['reference_median']) == 100
        place = [float(row[f'reference_{axis}']) for axis in 'xyz']
        np.testing.assert_allclose(place, middle, atol=1e-3)


def test_heatmaps(out) -> None:
    for label, voxel in (('LLC', LEFT), ('RLC', RIGHT)):
        path = out[0] / f'sub-01/anat/{STEM}_label-{label}_desc-coreunet_probseg.nii.gz'
        heatmap = nib.load(path).get_fdata()
        assert heatmap.shape == SHAPE
        assert heatmap[voxel] == pytest.approx(1)
        assert heatmap.sum() == pytest.approx(1)


def test_unreadable_image(out) -> None:
    folder, log = out
    assert 'sub-02 failed: isotropic: ' in log
    assert 'finished with errors: 1 of 2 participants failed' in log
    page = (folder / 'sub-02_protocol-locuscoeruleus.html').read_text(encoding='utf-8')
    assert 'isotropic' in page
    assert not list((folder / 'sub-02').rglob('*.tsv'))


def test_figures(out) -> None:
    figures = {path.name for path in (out[0] / 'sub-01/figures').iterdir()}
    drawn = ('LLC_T1w', 'RLC_T1w', 'overview_T1w', 'coreunet_heatmap', 'lpp_dseg')
    shared = (f'{STEM}_desc-thumbnail_T1w.svg', f'{STEM}_desc-viewer_T1w.bin.gz')
    assert figures == {*shared, *(f'{STEM}_desc-{what}.svg' for what in drawn)}
    page = (out[0] / 'sub-01_protocol-locuscoeruleus.html').read_text(encoding='utf-8')
    assert 'simulated images' in page


def test_own_masks(out, bids: Path) -> None:
    from tmsprep.methods.duennwald2021.masks import find_masks

    images = {'01': [ImageRef.from_path(bids, bids / f'sub-01/anat/{SOURCE}')]}
    found = find_masks(images, out[0])
    assert found.masks == []
    assert found.problems == {}
    assert f'{STEM}_desc-lpp_dseg.nii.gz' in found.notes[0]


def test_same_bytes(out, bids: Path, weights: Path, tmp_path: Path) -> None:
    again = tmp_path / 'out'
    command = [bids, again, 'participant', '--protocol', 'locus-coeruleus', '--nprocs', 1]
    command += ['--participant-label', '01', '--weights', weights, '-w', tmp_path / 'work']
    assert main([str(word) for word in command]) == 0
    written = sorted(path.relative_to(again) for path in (again / 'sub-01').rglob('*.*'))
    assert sum('nav' not in path.parts for path in written) == 18
    for path in (*written, 'sub-01_protocol-locuscoeruleus.html'):
        assert (again / path).read_bytes() == (out[0] / path).read_bytes(), path


def resources(weights: Path | None, *ways: str) -> dict:
    options = {'weights': weights, 'segmentation': ways}
    return get_method('coreunet').resources(PROTOCOL, options)


def test_missing_weights(tmp_path: Path) -> None:
    without = replace(PROTOCOL, weights={'coreunet': 'none.safetensors'})
    with pytest.raises(ResourceError, match='train --protocol locus-coeruleus --annotations'):
        get_method('coreunet').resources(without, {'segmentation': ['lpp']})
    with pytest.raises(ResourceError, match='weights file not found'):
        resources(tmp_path / 'none.safetensors')


def test_other_weights(tmp_path: Path, random_weights: Path, weights: Path) -> None:
    with pytest.raises(ResourceError, match='not hold tmsprep-locus-coeruleus-1 or'):
        resources(random_weights)
    other = replace(PROTOCOL, voxel_mm=0.5)
    with pytest.raises(ResourceError, match=r'trained for .*0\.75.*has .*0\.5'):
        get_method('coreunet').resources(other, {'weights': weights})
    nothing = save_coeruleus(
        tmp_path / 'w.safetensors', CoeruleusModel(PROTOCOL.labels, (), (segmenter(),), {})
    )
    with pytest.raises(ResourceError, match='no network that localises'):
        resources(nothing)


def test_memory(bids: Path, weights: Path) -> None:
    images = sorted(bids.rglob('*.nii'))
    found = get_method('coreunet').memory_gb({'weights': str(weights)}, images)
    # 20 x 32 x 20 voxels of 31 * 8 / 32^3 + 40 bytes.
    assert found == pytest.approx(0.6 + 12800 * (31 * 8 / 32**3 + 40) / 1e9)


@pytest.fixture
def request_for(tmp_path: Path, bids: Path) -> Callable[[dict], Request]:
    """Make a request for the image of participant 01."""
    conform = Conform(in_file=str(bids / f'sub-01/anat/{SOURCE}'), voxel_mm=0.75)
    done = conform.run(cwd=str(tmp_path)).outputs
    properties = json.loads(Path(done.properties).read_text())
    return lambda given: Request(
        Path(done.conformed), properties, PROTOCOL, given, folder=tmp_path
    )


def damaged(weights: Path, path: Path) -> Path:
    """Write weights without the tensors of the localising network, which then cannot be built."""
    from safetensors.torch import load_file, save_file

    tensors = {k: v for k, v in load_file(weights).items() if k.startswith('segmenter')}
    metadata = dict(open_archive(weights, WEIGHTS_KIND).metadata)
    save_file(tensors, path, metadata)
    return path


def test_failed_localisation(tmp_path: Path, weights: Path, request_for: Callable) -> None:
    path = damaged(weights, tmp_path / 'damaged.safetensors')
    with pytest.raises(ResourceError, match=r"damaged\.safetensors.* it lacks 'localizer\.0"):
        resources(path)
    # Damaged after the run began.
    given = resources(weights, 'npp')
    outcome = get_method('coreunet').locate(
        request_for({**given, 'weights': str(path), 'weights_sha256': file_sha256(path)})
    )
    assert outcome.points is None
    assert 'is damaged' in outcome.error['message']
    assert outcome.files == {}
    (found,) = outcome.extra['segmentations'].values()
    assert [row['status'] for row in found['rows']] == ['failed', 'failed']
    assert found['error'] == outcome.error


@pytest.mark.parametrize(
    ('way', 'status', 'message'),
    [('lpp', 'failed', 'as the localisation failed'), ('npp', 'no_reference', '')],
)
def test_segmentation_without_points(
    weights: Path, request_for: Callable, way: str, status: str, message: str
) -> None:
    from tmsprep.methods.duennwald2021.locate import prepare_image, segment_image

    request = request_for(resources(weights, way))
    failed = Outcome('coreunet', error={'message': 'no points', 'traceback': ''})
    outcome = segment_image(prepare_image(request), failed, request)
    found = outcome.extra['segmentations'][way]
    assert [row['status'] for row in found['rows']] == [status, status]
    assert message in (found['error'] or {'message': ''})['message']
    assert bool(outcome.files) == (way == 'npp')
    assert outcome.error['message'] == 'no points'


def test_failed_segmentation(tmp_path: Path, request_for: Callable, bids: Path) -> None:
    # Networks that are averaged in one patch must have the same patch.
    other = PatchUNet(PatchUNetSettings((8,), block=16, patch=(32, 32, 32))).eval()
    model = CoeruleusModel(PROTOCOL.labels, (localizer(),), (segmenter(), other), {})
    path = save_coeruleus(tmp_path / 'two.safetensors', model)
    outcome = get_method('coreunet').locate(request_for(resources(path, 'lpp')))
    assert outcome.points.found.all()
    assert 'differ' in outcome.error['message']
    names = Layout(tmp_path / 'out', PROTOCOL.name)
    image = ImageRef.from_path(bids, bids / f'sub-01/anat/{SOURCE}')
    properties = {'shape': SHAPE, 'affine': np.eye(4).tolist(), 'sha256': 'abc'}
    path = write_outcomes(names, image, {'coreunet': outcome}, PROTOCOL, properties, 1)['coreunet']
    assert [row['x'] != 'n/a' for row in rows(path)] == [True, True]
    assert 'Error' not in json.loads(path.with_suffix('.json').read_text())
    table = names.table(image, 'lpp', 'segmentation')
    assert [row['status'] for row in rows(table)] == ['failed', 'failed']
    assert json.loads(table.with_suffix('.json').read_text())['Error']


def test_points_alone(tmp_path: Path, request_for: Callable) -> None:
    weights = write_weights(tmp_path / 'points.safetensors', segmenters=0)
    outcome = get_method('coreunet').locate(request_for(resources(weights, 'lpp')))
    assert outcome.points.found.all()
    assert outcome.error is None
    (found,) = outcome.extra['segmentations'].values()
    assert [row['status'] for row in found['rows']] == ['no_network', 'no_network']


@pytest.mark.parametrize('sha256', ['', 'another'])
def test_replaced_image(out, bids: Path, tmp_path: Path, sha256: str) -> None:
    from tmsprep.derivatives.outdated import delete_outdated

    image = ImageRef.from_path(bids, bids / f'sub-01/anat/{SOURCE}')
    shutil.copytree(out[0], tmp_path / 'out')
    names = Layout(tmp_path / 'out', PROTOCOL.name)
    table = names.table(image, 'coreunet')
    before = json.loads(table.with_suffix('.json').read_text())['ReferenceImage']['SHA256']
    deleted = delete_outdated(names, image, PROTOCOL, sha256 or before)
    assert deleted == ([table] if sha256 else [])
    # Heatmaps and segmentations go as well.
    left = [*names.files(image), *names.files(image, 'figures')]
    assert len(left) == (0 if sha256 else 18)
