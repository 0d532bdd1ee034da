from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.disclaimer import DISCLAIMER
from tmsprep.methods.duennwald2021.figures import Scene, plot_heatmaps, plot_labels
from tmsprep.methods.duennwald2021.measures import MEASURES, SEGMENTATION_STATUSES
from tmsprep.methods.duennwald2021.report import write_coeruleus_report
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES
from tmsprep.reports.participant import write_participant_report
from tmsprep.reports.planes import Volume

IMAGE = 'sub-01_acq-neuromelanin'
SIMULATED = {'Weights': {'Name': 'w', 'TrainingData': 'simulated <images>'}}


@pytest.fixture
def person(output, row):
    points = [
        row('LLC', ('-5.1234', '-30.0', '-20.0'), heatmap_spread_mm='2.5'),
        row('RLC', ('5.0', '-30.0', '-20.0'), 'diffuse', heatmap_spread_mm='30.25'),
    ]
    output.table(IMAGE, 'coreunet', points, **SIMULATED)
    return output


def segmentation(output, method: str, status: str = 'ok', volume: str = '12.6563') -> None:
    folder = output.root / 'sub-01' / 'anat'
    names = ['label', 'hemisphere', 'status', 'volume_mm3', 'cr_median', 'cr_maximum']
    names += ['reference_median', 'reference_x', 'reference_y', 'reference_z']
    cells = [volume, '1.1234', '1.3', '900', '0.1', '-20.0', '-20.0']
    lines = [names, ['LLC', 'L', status, *cells], ['RLC', 'R', 'empty', '0.0', *['n/a'] * 6]]
    path = folder / f'{IMAGE}_desc-{method}_segmentation.tsv'
    path.write_text('\n'.join('\t'.join(line) for line in lines) + '\n')
    path.with_suffix('.json').write_text(json.dumps({'ReferenceRegion': 'ball in the pons'}))


def page(output) -> str:
    return write_coeruleus_report(output.root, '01').read_text(encoding='utf-8')


def test_points_and_measures_are_those_of_the_tables(person) -> None:
    segmentation(person, 'lpp')
    html = page(person)
    assert '<data value="-5.1234">-5.1</data>' in html
    assert '<data value="30.25">30.2</data>' in html
    assert '<data value="12.6563">12.7</data>' in html
    assert '<data value="1.1234">1.123</data>' in html
    assert 'ball in the pons' in html
    assert DISCLAIMER in html.replace('&#39;', "'")
    assert 'Trained on:</strong> simulated &lt;images&gt;.' in html


def test_what_needs_a_look_is_said_first(person) -> None:
    segmentation(person, 'lpp')
    html = page(person)
    assert 'Look before use.' in html
    assert 'Points, right: found, but the heatmap spreads over more than 10 mm' in html
    assert 'LPP: one patch at the localised points, right: no voxel was labelled' in html


def test_two_protocols_in_one_folder_have_a_report_each(person, row) -> None:
    person.table('sub-01', 'cnn', [row('LA', (1, 2, 3))])
    person.error('sub-01', 'a', node='coeruleus_conform', image=f'{IMAGE}_T1w.nii', message='lc')
    person.error('sub-01', 'b', node='conform', image='sub-01_T1w.nii.gz', message='tms trouble')
    other = write_participant_report(person.root, '01')
    assert other.name == 'sub-01.html'
    text = other.read_text(encoding='utf-8')
    assert 'tms trouble' in text
    assert 'coeruleus' not in text
    ours = write_coeruleus_report(person.root, '01')
    assert ours.name == 'sub-01_protocol-locuscoeruleus.html'
    assert 'tms trouble' not in ours.read_text(encoding='utf-8')


def test_points_of_an_earlier_run_are_not_shown(person) -> None:
    person.error('sub-01', 'a', node='coeruleus_conform', image=f'{IMAGE}_T1w.nii', message='cut')
    html = page(person)
    assert 'No points.' in html
    assert f'An earlier run left {IMAGE}_desc-coreunet_targets.tsv' in html
    assert '-5.1234' not in html


def test_points_are_shown_when_the_segmentation_fails(person, tmp_path: Path) -> None:
    segmentation(person, 'lpp', 'failed', 'n/a')
    name = f'{IMAGE}_T1w.nii'
    where = {'image': name, 'node_dir': str(tmp_path)}
    person.error('sub-01', 'a', node='coeruleus_segment', message='no memory', **where)
    html = page(person)
    assert 'Incomplete: 1 step failed.' in html
    assert 'no memory' in html
    assert '-5.1234' in html


def test_a_person_without_outputs_has_a_report(output) -> None:
    assert 'holds no locus coeruleus of this person' in page(output)


@pytest.fixture(scope='module')
def scene() -> Scene:
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = -36
    data = np.random.default_rng(0).random((48, 48, 48)).astype(np.float32)
    points = np.array([[-5.0, -6.0, 0.0], [5.0, -6.0, 1.0]])
    return Scene(Volume.from_image(nib.Nifti1Image(data, affine)), points)


def ball(scene: Scene, centre: np.ndarray, radius: float) -> np.ndarray:
    index = np.moveaxis(np.indices(scene.volume.data.shape), 0, -1)
    world = index @ scene.volume.affine[:3, :3].T + scene.volume.affine[:3, 3]
    return np.linalg.norm(world - centre, axis=-1) <= radius


def test_heatmaps_are_drawn_on_four_of_five_slices(scene: Scene, tmp_path: Path) -> None:
    heatmaps = {
        side: nib.Nifti1Image(ball(scene, point, 4).astype(np.float32), scene.volume.affine)
        for side, point in zip('LR', scene.points, strict=True)
    }
    svg = plot_heatmaps(scene, heatmaps, tmp_path / 'h.svg').read_text(encoding='utf-8')
    assert svg.count('data:image/jpeg') == 5
    # Left and right over each slice but the plain one.
    assert svg.count('data:image/png') == 2 * 4
    again = plot_heatmaps(scene, heatmaps, tmp_path / 'again.svg')
    assert again.read_text(encoding='utf-8') == svg


def test_outlines_and_reference_region_are_drawn_where_they_are(
    scene: Scene, tmp_path: Path
) -> None:
    labels = np.zeros(scene.volume.data.shape, np.uint8)
    for number, point in enumerate(scene.points, start=1):
        labels[ball(scene, point, 4)] = number
    image = nib.Nifti1Image(labels, scene.volume.affine)
    svg = plot_labels(scene, image, tmp_path / 'l.svg').read_text(encoding='utf-8')
    # Both sides on the axial and the coronal slice, one on each sagittal slice.
    assert svg.count('#4dabff') == svg.count('#ffb454') == 3
    # The ball lies 10 mm in front: in the axial slice, and 5 mm beside the sagittal ones.
    assert svg.count('stroke="#7ee787"') == 1


def test_one_point_and_no_labels_can_be_drawn(scene: Scene, tmp_path: Path) -> None:
    alone = Scene(scene.volume, np.array([[-5.0, -6.0, 0.0], [np.nan] * 3]))
    empty = nib.Nifti1Image(np.zeros((48, 48, 48), np.uint8), scene.volume.affine)
    assert 'sagittal-right' not in plot_labels(alone, empty, tmp_path / 'l.svg').read_text()


def test_the_users_page_names_every_status_and_column() -> None:
    page = Path(__file__).parents[2] / 'docs' / 'locus_coeruleus_usage.md'
    names = {*PAIR_STATUSES, *SEGMENTATION_STATUSES, *MEASURES, 'heatmap_spread_mm'}
    text = page.read_text(encoding='utf-8')
    assert [name for name in sorted(names) if f'`{name}`' not in text] == []
