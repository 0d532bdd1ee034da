from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from coeruleus_data import (
    centres_mm,
    image_affine,
    intensities,
    rods,
    write_bids,
    write_image,
    write_mask,
)

from tmsprep.learning.examples import Example, Record
from tmsprep.learning.plan import Plan, Test, Training
from tmsprep.learning.train import train_network
from tmsprep.methods.duennwald2021.coreunet import CoReUNet
from tmsprep.methods.duennwald2021.crossval import (
    evaluate_fold,
    load,
    point_rows,
    segmentation_rows,
)
from tmsprep.methods.duennwald2021.learner import CoeruleusLearner
from tmsprep.methods.duennwald2021.patch_unet import PatchUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe, Epochs
from tmsprep.methods.duennwald2021.volumes import Volume
from tmsprep.protocols import load_protocol

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Epochs(epochs=2, batch=2, learning_rate=1e-3),
    patch_schedule=Epochs(epochs=2, batch=2, learning_rate=1e-3),
    network={'features': (8, 8), 'block': 2},
    patch_network={'features': (8, 8), 'patch': (16, 16, 16)},
)
LOCALIZER = Training('localizer', 'localizer', 'with')
SEGMENTER = Training('segmenter', 'segmenter', 'with')
WAYS = ['npp', 'pp', 'lpp']


def learner(recipe: CoeruleusRecipe = RECIPE, **options: Any) -> CoeruleusLearner:
    given = {'augmentation': ['with'], 'segmentation': WAYS, **options}
    made = CoeruleusLearner(load_protocol('locus-coeruleus'), given)
    made.__dict__['recipe'] = recipe
    return made


def make_record(folder: Path, label: str, seed: int) -> Record:
    bids = write_bids(folder / 'bids')
    image, mask = write_image(bids, label, seed), write_mask(folder / 'rater', label, rods(seed))
    return Record(Example(image.stem, image.path, mask=mask), 'f', folder / 'cache')


def volume_of(record: Record) -> Volume:
    (volume,) = load([record], 0.75)
    return volume


@pytest.fixture(scope='module')
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp('records')
    return [make_record(folder, f'{seed:02d}', seed) for seed in range(1, 6)]


@pytest.mark.parametrize('training', [LOCALIZER, SEGMENTER], ids=lambda t: t.network)
def test_validation_not_trained_on(
    records: list[Record], tmp_path: Path, training: Training
) -> None:
    # The same name with another image and another mask.
    other = make_record(tmp_path, records[4].name[4:6], 77)
    assert not torch.equal(volume_of(other).intensities, volume_of(records[4]).intensities)
    before, after = (
        train_network(learner(), training, records[:3], [validation])
        for validation in (records[4], other)
    )
    assert [row['loss'] for row in before.log] == [row['loss'] for row in after.log]
    assert before.log[0]['validation'] != after.log[0]['validation']


def test_point_rows(records: list[Record]) -> None:
    volume = volume_of(records[0])
    found = volume.points.numpy() + np.array([[4.0, 0, 0], [0, 0, -2.0]])
    left, right = point_rows(volume, found)
    assert (left['label'], left['status'], right['label']) == ('LLC', 'ok', 'RLC')
    truth = centres_mm(1)
    assert left['x'] == pytest.approx(truth[0, 0] + 3)
    assert right['z'] == pytest.approx(truth[1, 2] - 1.5)
    assert [left[f'reference_{a}'] for a in 'xyz'] == pytest.approx(truth[0].tolist(), abs=1e-4)
    volume.points[0] = torch.nan
    found[1] = np.nan
    assert [row['status'] for row in point_rows(volume, found)] == ['no_reference', 'failed']


def test_segmentation_rows(records: list[Record]) -> None:
    volume = volume_of(records[0])
    raw = nib.Nifti1Image(intensities(1), image_affine())
    labels = volume.labels.numpy().copy()
    count = np.count_nonzero(labels == 1)
    assert count == np.count_nonzero(labels == 2) == 2 * 2 * 8
    # Half of the left one, and the right one twice as large by voxels of noise.
    voxels = np.argwhere(labels == 1)
    labels[tuple(voxels[: count // 2].T)] = 0
    drawn = np.argwhere(labels == 2)
    labels[tuple((drawn + np.array([2, 0, 0])).T)] = 2
    left, right = segmentation_rows(volume, raw, labels, volume.points.numpy())
    assert (left['dice'], left['fdr']) == pytest.approx((2 / 3, 0))
    assert (right['dice'], right['fdr']) == pytest.approx((2 / 3, 0.5))
    assert left['volume_mm3'] == pytest.approx(count / 2 * 0.75**3)
    assert left['manual_volume_mm3'] == pytest.approx(count * 0.75**3)
    # Rods of 140 in noise of 100 +- 5; the reference is a median of hundreds.
    assert left['cr_median'] == pytest.approx(1.4, abs=0.02)
    assert left['cr_median'] == left['manual_cr_median'] == left['cr_maximum']
    assert right['cr_maximum'] == left['cr_maximum'] > right['cr_median']


def test_segmentation_statuses(records: list[Record]) -> None:
    volume = volume_of(records[0])
    raw = nib.Nifti1Image(intensities(1), image_affine())
    nothing = np.zeros(volume.labels.shape, np.uint8)
    left, right = segmentation_rows(volume, raw, nothing, volume.points.numpy())
    assert left['status'] == right['status'] == 'empty'
    assert (left['dice'], left['volume_mm3']) == (0, 0)
    assert np.isnan([left['fdr'], left['cr_median'], left['cr_maximum']]).all()
    volume.labels[volume.labels == 1] = 0
    left, right = segmentation_rows(volume, raw, nothing, volume.points.numpy())
    assert (left['status'], right['status']) == ('nothing_drawn', 'empty')
    assert np.isnan(left['dice'])
    bare = Volume(volume.name, volume.intensities, volume.affine, volume.points)
    rows = segmentation_rows(bare, raw, nothing, volume.points.numpy())
    assert [row['status'] for row in rows] == ['no_mask', 'no_mask']
    assert 'dice' not in rows[0]


def test_fold(records: list[Record]) -> None:
    torch.manual_seed(0)
    made = learner()
    localizer = made.assemble(
        {'localizer': CoReUNet(RECIPE.network_settings()).eval()}, records[:3]
    )
    segmenter = made.assemble(
        {'segmenter': PatchUNet(RECIPE.patch_settings()).eval()}, records[:3]
    )
    tested = [records[4], replace(records[3], error='gone')]
    models = [(LOCALIZER, localizer), (SEGMENTER, segmenter)]
    found = made.test(Test('t', (), (), 2), models, tested)
    points, segments = found['points'], found['segmentation']
    assert [row['status'] for row in points] == ['ok', 'ok', 'failed', 'failed']
    assert {row['fold'] for row in points} == {2}
    assert [row['method'] for row in segments] == 2 * (2 * ['npp'] + 2 * ['pp'] + 2 * ['lpp'])
    assert {row['status'] for row in segments[6:]} == {'failed'}
    assert all(row['seconds'] > 0 for row in segments[:6])
    # A side that no image of the training set has is not localised.
    unknown = replace(localizer, card={'targets': 'RLC'})
    points, _ = evaluate_fold(records[4:], 0.75, {'with': unknown}, None, ['lpp'])
    assert [row['status'] for row in points] == ['failed', 'ok']
    # As at the participant level: mm, RAS+.
    known = made.predict(localizer, records[4])
    np.testing.assert_allclose(known['LLC'], [found['points'][0][a] for a in 'xyz'], atol=1e-6)


def test_fold_diverged(records: list[Record]) -> None:
    models = [(LOCALIZER, None), (SEGMENTER, None)]
    found = learner().test(Test('t', (), (), 1), models, records[4:])
    assert [row['status'] for row in found['points']] == ['failed'] * 2
    assert [row['status'] for row in found['segmentation']] == ['failed'] * 6


def test_tables() -> None:
    trainings = tuple(
        Training(f'l{k}', 'localizer', 'with', fold=k, train=(b,), validate=(a,))
        for k, a, b in ((1, 'sub-1', 'sub-2'), (2, 'sub-2', 'sub-1'))
    )
    plan = Plan(trainings, tuple(Test(f't{k}', (f'l{k}',), ('sub-3',), k) for k in (1, 2)))
    points = {
        'image': 'a',
        'participant': 'sub-3',
        'fold': 1,
        'augmentation': 'with',
        'label': 'LLC',
    }
    done = [{'network': 'localizer', 'variant': 'with', 'fold': 1, 'count': 4, 'kept': 3}]
    tables = {
        table.name: table.rows
        for table in learner().tables({'points': [points], 'segmentation': []}, done, plan)
    }
    assert tables['segmentation'] is None
    folds = tables['folds'].set_index('participant')['role'].to_dict()
    assert folds == {'sub-3': 'held out', 'sub-1': '1', 'sub-2': '2'}
    row = tables['trainings'].iloc[0]
    assert (row['augmentation'], row['epochs'], row['best_epoch']) == ('with', 4, 3)


def test_identity() -> None:
    for name in ('duennwald2021', 'quick'):
        made = CoeruleusLearner(load_protocol('locus-coeruleus'), {'recipe': name, 'epochs': 3})
        recipe = json.loads(json.dumps(made.identity()))['recipe']
        assert (recipe['name'], recipe['schedule']['epochs']) == (name, 3)
        assert recipe['patch_schedule']['epochs'] == 3
