from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

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
from tmsprep.learning.plan import Training
from tmsprep.learning.train import train_network
from tmsprep.methods.duennwald2021.comparison import point_rows
from tmsprep.methods.duennwald2021.crossval import (
    blind_error,
    evaluate_fold,
    load,
    segmentation_rows,
)
from tmsprep.methods.duennwald2021.learner import CoeruleusLearner
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
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
PROTOCOL = load_protocol('locus-coeruleus')
TRAININGS = [
    Training('localizer', 'localizer', 'with'),
    Training('segmenter', 'segmenter', 'with'),
]


def make_record(folder: Path, label: str, seed: int) -> Record:
    bids = write_bids(folder / 'bids')
    image, mask = write_image(bids, label, seed), write_mask(folder / 'rater', label, rods(seed))
    return Record(Example(image.stem, image.path, mask=mask), 'f', folder / 'cache')


@pytest.fixture(scope='module')
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp('records')
    return [make_record(folder, f'{seed:02d}', seed) for seed in range(1, 6)]


@pytest.fixture
def volume(records: list[Record]) -> Volume:
    return load(records[:1], PROTOCOL)[0]


def learner_of(recipe: CoeruleusRecipe) -> CoeruleusLearner:
    learner = CoeruleusLearner(PROTOCOL, {'augmentation': ['with']})
    learner.__dict__['recipe'] = recipe
    return learner


@pytest.mark.parametrize('training', TRAININGS, ids=lambda training: training.name)
def test_validation_set_unused(records: list[Record], tmp_path: Path, training: Training) -> None:
    """Another image of the same name in the validation set changes no weight."""
    changed = [make_record(tmp_path, records[4].name[4:6], 77)]
    one, other = (load([record], PROTOCOL)[0] for record in (records[4], changed[0]))
    assert not torch.equal(one.intensities, other.intensities)
    short = replace(
        RECIPE,
        schedule=replace(RECIPE.schedule, epochs=1),
        patch_schedule=replace(RECIPE.patch_schedule, epochs=1),
    )
    # One epoch leaves no choice of the best one.
    before = train_network(learner_of(short), training, records[:3], records[4:])
    after = train_network(learner_of(short), training, records[:3], changed)
    expected, found = before.network.state_dict(), after.network.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert before.log[0]['validation'] != after.log[0]['validation']
    before = train_network(learner_of(RECIPE), training, records[:3], records[4:])
    after = train_network(learner_of(RECIPE), training, records[:3], changed)
    assert [row['loss'] for row in before.log] == [row['loss'] for row in after.log]


def test_overlapping_sets(records: list[Record]) -> None:
    with pytest.raises(ValueError, match='sub-03: in the training set and in another set'):
        train_network(learner_of(RECIPE), TRAININGS[0], records[:3], records[2:4])


def test_point_rows() -> None:
    truth = centres_mm(1)
    left, right = point_rows(PROTOCOL, truth + np.array([[3.0, 0, 0], [0, 0, -1.5]]), truth)
    assert (left['label'], left['status'], right['label']) == ('LLC', 'ok', 'RLC')
    assert left['x'] == pytest.approx(truth[0, 0] + 3)
    assert right['z'] == pytest.approx(truth[1, 2] - 1.5)
    assert [left[f'reference_{a}'] for a in 'xyz'] == pytest.approx(truth[0].tolist())
    found = truth.copy()
    truth[0] = found[1] = np.nan
    rows = point_rows(PROTOCOL, found, truth)
    assert [row['status'] for row in rows] == ['no_reference', 'failed']


def test_segmentation_measures(volume: Volume) -> None:
    raw = nib.Nifti1Image(intensities(1), image_affine())
    labels = volume.labels.numpy().copy()
    count = np.count_nonzero(labels == 1)
    assert count == np.count_nonzero(labels == 2) == 2 * 2 * 8
    # Half of the left one, and the right one twice as large by voxels of noise.
    voxels = np.argwhere(labels == 1)
    labels[tuple(voxels[: count // 2].T)] = 0
    drawn = np.argwhere(labels == 2)
    labels[tuple((drawn + np.array([2, 0, 0])).T)] = 2
    left, right = segmentation_rows(PROTOCOL, volume, raw, labels, volume.points.numpy())
    assert (left['dice'], left['fdr']) == pytest.approx((2 / 3, 0))
    assert (right['dice'], right['fdr']) == pytest.approx((2 / 3, 0.5))
    assert left['volume_mm3'] == pytest.approx(count / 2 * 0.75**3)
    assert left['manual_volume_mm3'] == pytest.approx(count * 0.75**3)
    # Rods of 140 in noise of 100 +- 5; the reference is a median of hundreds.
    assert left['cr_median'] == pytest.approx(1.4, abs=0.02)
    assert left['cr_median'] == left['manual_cr_median'] == left['cr_maximum']
    assert right['cr_maximum'] == left['cr_maximum'] > right['cr_median']


def test_segmentation_statuses(volume: Volume) -> None:
    raw = nib.Nifti1Image(intensities(1), image_affine())
    nothing = np.zeros(volume.labels.shape, np.uint8)
    left, right = segmentation_rows(PROTOCOL, volume, raw, nothing, volume.points.numpy())
    assert left['status'] == right['status'] == 'empty'
    assert (left['dice'], left['volume_mm3']) == (0, 0)
    assert np.isnan([left['fdr'], left['cr_median'], left['cr_maximum']]).all()
    volume.labels[volume.labels == 1] = 0
    left, right = segmentation_rows(PROTOCOL, volume, raw, nothing, volume.points.numpy())
    assert (left['status'], right['status']) == ('nothing_drawn', 'empty')
    assert np.isnan(left['dice'])
    bare = Volume(volume.name, volume.intensities, volume.affine, volume.points)
    rows = segmentation_rows(PROTOCOL, bare, raw, nothing, volume.points.numpy())
    assert [row['status'] for row in rows] == ['no_mask', 'no_mask']
    assert 'dice' not in rows[0]


def test_fold(records: list[Record]) -> None:
    torch.manual_seed(0)
    learner = learner_of(RECIPE)
    localizer, segmenter = (
        learner.assemble({'network': network.eval()}, records[:3])
        for network in (CoReUNet(RECIPE.network_settings()), PatchUNet(RECIPE.patch_settings()))
    )
    broken = replace(records[3], error='gone')
    points, segments = evaluate_fold(
        [records[4], broken], PROTOCOL, {'with': localizer}, segmenter, ['npp', 'pp', 'lpp']
    )
    assert [row['status'] for row in points] == ['ok', 'ok', 'failed', 'failed']
    assert [row['method'] for row in segments] == 2 * (2 * ['npp'] + 2 * ['pp'] + 2 * ['lpp'])
    assert {row['status'] for row in segments[6:]} == {'failed'}
    assert all(row['seconds'] > 0 for row in segments[:6])
    # A side that no image of the training set has.
    unknown = replace(localizer, card={'targets': 'RLC'})
    points, _ = evaluate_fold(records[4:], PROTOCOL, {'with': unknown}, None, ['lpp'])
    assert [row['status'] for row in points] == ['failed', 'ok']


def test_plan_of_the_paper() -> None:
    names = [f'sub-{i:02d}' for i in range(82)]
    options = {'folds': 5, 'held_out': 23, 'random_seed': 1, 'repetitions': 1}
    learner = CoeruleusLearner(PROTOCOL, {**options, 'augmentation': ['without', 'with']})
    plan = learner.plan(names, [])
    assert [len(test.participants) for test in plan.tests] == 5 * [23]
    assert {training.name for training in plan.trainings} == {
        f'localizer_{kind}_fold0{fold}' for kind in ('with', 'without') for fold in range(1, 6)
    }
    for training in plan.trainings:
        sets = (training.train, training.validate, plan.tests[0].participants)
        assert sorted(name for group in sets for name in group) == names
    # Both kinds of a fold have the same seed.
    seeds = {(training.fold, training.seed) for training in plan.trainings}
    assert len(seeds) == 5
    with pytest.raises(ValueError, match='--repetitions'):
        CoeruleusLearner(PROTOCOL, {**options, 'repetitions': 2}).plan(names, [])


def at(affine: np.ndarray, *points: tuple[float, float, float]) -> Volume:
    """Image of 20 x 20 x 10 voxels of 0.75 mm with points, voxels."""
    return Volume('x', torch.zeros(20, 20, 10), affine, torch.tensor(points))


def test_blind_error() -> None:
    affine = np.diag([0.75, 0.75, 0.75, 1.0])
    moved = affine.copy()
    moved[:3, 3] = 30, 0, 0
    training = [
        at(affine, (4, 10, 5), (14, 10, 5)),
        at(affine, (8, 10, 5), (math.nan, math.nan, math.nan)),
    ]
    # The means are (6, 10, 5) and (14, 10, 5): off by 4 voxels and by 0 voxels.
    same = [at(affine, (6, 14, 5), (14, 10, 5))]
    assert blind_error(training, same) == pytest.approx(0.75 * (4 + 0) / 2)
    # In the scanner frame they are 30 mm away, but not from the middle of the image.
    away = [at(moved, (6, 14, 5), (14, 10, 5))]
    assert blind_error(training, away) == pytest.approx(0.75 * (4 + 0) / 2)
    # The other way round: the field of view has moved, not the head.
    shifted = [at(moved, (6 - 40, 14, 5), (14 - 40, 10, 5))]
    assert blind_error(training, shifted) == pytest.approx(0.75 * (4 + 0) / 2)
    assert np.isnan(
        blind_error(
            training, [at(affine, (math.nan, math.nan, math.nan), (math.nan, math.nan, math.nan))]
        )
    )
