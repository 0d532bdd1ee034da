"""The participant level of locus-coeruleus, with networks whose answers are known."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tmsprep.cli.run import main
from tmsprep.interfaces.coeruleus import LocateCoeruleus, SegmentCoeruleus
from tmsprep.interfaces.conform import Conform
from tmsprep.methods.duennwald2021.coreunet import CoReUNet, CoReUNetSettings
from tmsprep.methods.duennwald2021.patch_unet import PatchUNet, PatchUNetSettings
from tmsprep.methods.duennwald2021.weights import CoeruleusModel, save_coeruleus
from tmsprep.networks.archive import WeightsError
from tmsprep.outcome import Outcome

SHAPE = (20, 32, 20)
LEFT, RIGHT = (4, 8, 10), (16, 8, 10)
"""Voxels that the localiser answers, whatever the image: 9 mm apart."""
ORIGIN = np.array([-9.0, -40.0, -30.0])
CUBES = {1: np.s_[3:5, 7:9, 9:11], 2: np.s_[15:17, 7:9, 9:11]}
"""Voxels that the patch network labels: 8 voxels of 0.75 mm are 3.375 mm3."""
PATCH_START = (2, 0, 2)
STEM = 'sub-01_acq-neuromelanin'


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
    """Two people: 01 is stored with its first axis to the left, 02 is cut short."""
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


def test_points_are_those_that_the_network_answers(out) -> None:
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
    assert sidecar['Sources'] == [f'bids:raw:sub-01/anat/{STEM}_T1w.nii']


def test_labels_are_in_the_grid_of_the_input(out, bids: Path) -> None:
    given = nib.load(bids / f'sub-01/anat/{STEM}_T1w.nii')
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


def test_volume_and_contrast_are_those_of_the_image(out) -> None:
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


def test_heatmaps_have_their_largest_value_at_the_points(out) -> None:
    for label, voxel in (('LLC', LEFT), ('RLC', RIGHT)):
        path = out[0] / f'sub-01/anat/{STEM}_label-{label}_desc-coreunet_probseg.nii.gz'
        heatmap = nib.load(path).get_fdata()
        assert heatmap.shape == SHAPE
        assert heatmap[voxel] == pytest.approx(1)
        assert heatmap.sum() == pytest.approx(1)


def test_who_cannot_be_read_is_named_with_the_cure(out) -> None:
    folder, log = out
    assert 'sub-02 failed: coeruleus_conform' in log
    assert 'finished with errors: 1 of 2 participants failed' in log
    page = (folder / 'sub-02_protocol-locuscoeruleus.html').read_text(encoding='utf-8')
    assert 'No points.' in page
    assert 'coeruleus_conform failed' in page
    assert not list((folder / 'sub-02').rglob('*.tsv'))


def test_the_report_of_a_person_shows_points_and_measures(out) -> None:
    page = (out[0] / 'sub-01_protocol-locuscoeruleus.html').read_text(encoding='utf-8')
    assert 'simulated images' in page
    assert page.count('data:image/svg+xml;base64,') == 2
    assert '<data value="1.3000">1.300</data>' in page


def test_the_same_run_gives_the_same_bytes(out, bids: Path, weights: Path, tmp_path: Path) -> None:
    again = tmp_path / 'out'
    command = [bids, again, 'participant', '--protocol', 'locus-coeruleus', '--nprocs', 1]
    command += ['--participant-label', '01', '--weights', weights, '-w', tmp_path / 'work']
    assert main([str(word) for word in command]) == 0
    written = sorted(path.relative_to(again) for path in (again / 'sub-01').rglob('*.*'))
    assert len(written) == 13
    for path in (*written, 'sub-01_protocol-locuscoeruleus.html'):
        assert (again / path).read_bytes() == (out[0] / path).read_bytes(), path


def test_without_weights_one_is_told_how_to_train() -> None:
    from tmsprep.config import RunConfig
    from tmsprep.workflows.coeruleus import gather_coeruleus

    config = RunConfig(
        Path('bids'), Path('out'), protocol='locus-coeruleus', weights=Path('none.safetensors')
    )
    with pytest.raises(WeightsError, match='train --protocol locus-coeruleus --annotations'):
        gather_coeruleus(config)


def test_annotations_are_refused(bids: Path, tmp_path: Path, tmsprep) -> None:
    command = (bids, tmp_path / 'out', 'participant', '--protocol', 'locus-coeruleus')
    done = tmsprep(*command, '--annotations', bids, '-w', tmp_path / 'work')
    assert done.returncode != 0
    assert '--annotations means nothing' in done.stderr


class Steps:
    """Runs the steps one by one in a folder."""

    def __init__(self, folder: Path, bids: Path, weights: Path) -> None:
        self.common = {
            'weights': str(weights),
            'weights_sha256': '',
            'protocol': 'locus-coeruleus',
        }
        in_file = str(bids / f'sub-01/anat/{STEM}_T1w.nii')
        self.folder = folder
        conform = Conform(in_file=in_file, voxel_mm=0.75).run(cwd=str(folder)).outputs
        self.conformed, self.properties = conform.conformed, conform.properties

    def locate(self) -> Path:
        node = LocateCoeruleus(conformed=self.conformed, **self.common)
        return Path(node.run(cwd=str(self.folder)).outputs.outcome)

    def segment(self, outcome: Path, methods: list[str]) -> tuple[dict, dict]:
        node = SegmentCoeruleus(
            conformed=self.conformed,
            properties=self.properties,
            outcome=str(outcome),
            methods=methods,
            **self.common,
        )
        outputs = node.run(cwd=str(self.folder)).outputs
        return json.loads(Path(outputs.segmentations).read_text()), outputs.labels


def unpacked(result: tuple[dict, dict]) -> tuple[list, dict]:
    return list(result[0].values()), result[1]


def test_weights_of_another_kind_are_an_outcome(
    tmp_path: Path, bids: Path, random_weights: Path
) -> None:
    outcome = Outcome.read(Steps(tmp_path, bids, random_weights).locate())
    assert outcome.points is None
    assert 'does not hold tmsprep-locus-coeruleus-1 weights' in outcome.error['message']


def test_lpp_without_points_fails_and_names_the_reason(
    tmp_path: Path, bids: Path, weights: Path
) -> None:
    steps = Steps(tmp_path, bids, weights)
    failed = Outcome.failed('coreunet', ValueError('no network')).write(tmp_path / 'failed.json')
    (found,), labels = unpacked(steps.segment(failed, ['lpp']))
    assert [row['status'] for row in found['rows']] == ['failed', 'failed']
    assert labels == {}
    assert 'no network' in found['error']['message']


def test_npp_needs_no_points_but_contrast_does(tmp_path: Path, bids: Path, weights: Path) -> None:
    steps = Steps(tmp_path, bids, weights)
    failed = Outcome.failed('coreunet', ValueError('no network')).write(tmp_path / 'failed.json')
    (found,), _ = unpacked(steps.segment(failed, ['npp']))
    assert [row['status'] for row in found['rows']] == ['no_reference', 'no_reference']
    assert found['error'] is None


def test_weights_that_only_localise_give_points(tmp_path: Path, bids: Path) -> None:
    weights = write_weights(tmp_path / 'points.safetensors', segmenters=0)
    steps = Steps(tmp_path, bids, weights)
    outcome = steps.locate()
    assert Outcome.read(outcome).points.found.all()
    (found,), _ = unpacked(steps.segment(outcome, ['lpp']))
    assert [row['status'] for row in found['rows']] == ['no_network', 'no_network']
    assert found['error'] is None


def test_labels_of_a_replaced_image_are_deleted(out, bids: Path, tmp_path: Path) -> None:
    from tmsprep.bids import ImageRef
    from tmsprep.methods.duennwald2021.derivatives import delete_other_images

    image = ImageRef.from_path(bids, bids / f'sub-01/anat/{STEM}_T1w.nii')
    shutil.copytree(out[0], tmp_path / 'out')
    table = tmp_path / f'out/sub-01/anat/{STEM}_desc-lpp_segmentation.tsv'
    sha256 = json.loads(table.with_suffix('.json').read_text())['ReferenceImage']['SHA256']
    assert delete_other_images(tmp_path / 'out', image, ['npp'], sha256) == []
    assert delete_other_images(tmp_path / 'out', image, ['npp'], 'another') == [table]
    left = {path.name.removeprefix(f'{STEM}_') for path in table.parent.iterdir()}
    assert not any('lpp' in name for name in left)
    assert 'desc-coreunet_targets.tsv' in left
