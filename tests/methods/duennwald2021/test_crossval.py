from __future__ import annotations

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

from tmsprep.learning.loop import Schedule
from tmsprep.methods.duennwald2021.crossval import (
    FoldTraining,
    evaluate_fold,
    point_rows,
    segmentation_rows,
    train_network,
)
from tmsprep.methods.duennwald2021.fit import model_of, part_people
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe, coeruleus_recipe
from tmsprep.methods.duennwald2021.records import (
    VolumeRecord,
    recipe_from_json,
    recipe_to_json,
    record_of,
)
from tmsprep.methods.duennwald2021.volumes import LabelledVolume, Volume

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Schedule(epochs=2, batch=2, learning_rate=1e-3),
    patch_schedule=Schedule(epochs=2, batch=2, learning_rate=1e-3),
    network={'features': (8, 8), 'block': 2},
    patch_network={'features': (8, 8), 'patch': (16, 16, 16)},
)
LOCALIZER = FoldTraining('localizer', True, 1)
SEGMENTER = FoldTraining('segmenter', True, 1)


def someone(folder: Path, label: str, seed: int) -> VolumeRecord:
    bids = write_bids(folder / 'bids')
    image, mask = write_image(bids, label, seed), write_mask(folder / 'rater', label, rods(seed))
    person = LabelledVolume(image.stem, image.path, mask=mask)
    return record_of(person, 'f', folder / 'cache', 0.75)


@pytest.fixture(scope='module')
def people(tmp_path_factory: pytest.TempPathFactory) -> list[VolumeRecord]:
    folder = tmp_path_factory.mktemp('people')
    return [someone(folder, f'{seed:02d}', seed) for seed in range(1, 6)]


def perturbed(record: VolumeRecord, folder: Path) -> VolumeRecord:
    """The same name with another image and another mask."""
    return someone(folder, record.name[4:6], 77)


@pytest.mark.parametrize('what', [LOCALIZER, SEGMENTER], ids=lambda what: what.network)
def test_nothing_of_validation_people_enters_a_training(
    people: list[VolumeRecord], tmp_path: Path, what: FoldTraining
) -> None:
    short = replace(
        RECIPE,
        schedule=replace(RECIPE.schedule, epochs=1),
        patch_schedule=replace(RECIPE.patch_schedule, epochs=1),
    )
    aside = [perturbed(people[4], tmp_path)]
    assert not torch.equal(aside[0].load().intensities, people[4].load().intensities)
    # With one epoch there is none to choose: even the weights are the same.
    before = train_network(people[:3], people[4:], what, short)
    after = train_network(people[:3], aside, what, short)
    expected, found = before.network.state_dict(), after.network.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert before.log[0]['validation'] != after.log[0]['validation']
    # With several, all that was learnt from is the same.
    before = train_network(people[:3], people[4:], what, RECIPE)
    after = train_network(people[:3], aside, what, RECIPE)
    assert [row['loss'] for row in before.log] == [row['loss'] for row in after.log]


def test_nobody_stands_on_both_sides(people: list[VolumeRecord]) -> None:
    with pytest.raises(ValueError, match='sub-03: both in training and validation'):
        train_network(people[:3], people[2:4], LOCALIZER, RECIPE)


def test_errors_of_points_by_hand(people: list[VolumeRecord]) -> None:
    person = people[0].load()
    found = person.points.numpy() + np.array([[4.0, 0, 0], [0, 0, -2.0]])
    left, right = point_rows(person, found)
    assert (left['label'], left['status'], right['label']) == ('LLC', 'ok', 'RLC')
    truth = centres_mm(1)
    assert left['x'] == pytest.approx(truth[0, 0] + 3)
    assert right['z'] == pytest.approx(truth[1, 2] - 1.5)
    assert [left[f'reference_{a}'] for a in 'xyz'] == pytest.approx(truth[0].tolist(), abs=1e-4)
    person.points[0] = torch.nan
    found[1] = np.nan
    assert [row['status'] for row in point_rows(person, found)] == ['no_reference', 'failed']


def test_measures_of_segmentations_by_hand(people: list[VolumeRecord]) -> None:
    person = people[0].load()
    raw = nib.Nifti1Image(intensities(1), image_affine())
    labels = person.labels.numpy().copy()
    count = np.count_nonzero(labels == 1)
    assert count == np.count_nonzero(labels == 2) == 2 * 2 * 8
    # Half of the left one, and the right one twice as large by voxels of noise.
    voxels = np.argwhere(labels == 1)
    labels[tuple(voxels[: count // 2].T)] = 0
    drawn = np.argwhere(labels == 2)
    labels[tuple((drawn + np.array([2, 0, 0])).T)] = 2
    left, right = segmentation_rows(person, raw, labels, person.points.numpy())
    assert (left['dice'], left['fdr']) == pytest.approx((2 / 3, 0))
    assert (right['dice'], right['fdr']) == pytest.approx((2 / 3, 0.5))
    assert left['volume_mm3'] == pytest.approx(count / 2 * 0.75**3)
    assert left['manual_volume_mm3'] == pytest.approx(count * 0.75**3)
    # Rods of 140 in noise of 100 +- 5; the reference is a median of hundreds.
    assert left['cr_median'] == pytest.approx(1.4, abs=0.02)
    assert left['cr_median'] == left['manual_cr_median'] == left['cr_maximum']
    assert right['cr_maximum'] == left['cr_maximum'] > right['cr_median']


def test_statuses_of_segmentations(people: list[VolumeRecord]) -> None:
    person = people[0].load()
    raw = nib.Nifti1Image(intensities(1), image_affine())
    nothing = np.zeros(person.labels.shape, np.uint8)
    left, right = segmentation_rows(person, raw, nothing, person.points.numpy())
    assert left['status'] == right['status'] == 'empty'
    assert (left['dice'], left['volume_mm3']) == (0, 0)
    assert np.isnan([left['fdr'], left['cr_median'], left['cr_maximum']]).all()
    person.labels[person.labels == 1] = 0
    left, right = segmentation_rows(person, raw, nothing, person.points.numpy())
    assert (left['status'], right['status']) == ('nothing_drawn', 'empty')
    assert np.isnan(left['dice'])
    bare = Volume(person.name, person.intensities, person.affine, person.points)
    rows = segmentation_rows(bare, raw, nothing, person.points.numpy())
    assert [row['status'] for row in rows] == ['no_mask', 'no_mask']
    assert 'dice' not in rows[0]


def test_a_fold_is_evaluated(people: list[VolumeRecord]) -> None:
    torch.manual_seed(0)
    localizer = model_of([CoReUNet(RECIPE.network_settings()).eval()], people[:3], {})
    segmenter = model_of([PatchUNet(RECIPE.patch_settings()).eval()], people[:3], {})
    broken = replace(people[3], error='gone')
    points, segments = evaluate_fold(
        [people[4], broken], 2, {'with': localizer}, segmenter, ['npp', 'pp', 'lpp']
    )
    assert [row['status'] for row in points] == ['ok', 'ok', 'failed', 'failed']
    assert {row['fold'] for row in points} == {2}
    assert [row['method'] for row in segments] == 2 * (2 * ['npp'] + 2 * ['pp'] + 2 * ['lpp'])
    assert {row['status'] for row in segments[6:]} == {'failed'}
    assert all(row['seconds'] > 0 for row in segments[:6])
    # An untrained network has not learnt a side that nobody in training had.
    unknown = replace(localizer, card={'targets': 'RLC'})
    points, _ = evaluate_fold(people[4:], 1, {'with': unknown}, None, ['lpp'])
    assert [row['status'] for row in points] == ['failed', 'ok']


def test_recipes_and_records_as_text(people: list[VolumeRecord]) -> None:
    for name in ('duennwald2021', 'quick'):
        recipe = coeruleus_recipe(name, 3)
        text = recipe_to_json(recipe)
        assert recipe_to_json(recipe_from_json(text)) == text
        assert recipe_from_json(text).network_settings() == recipe.network_settings()
    assert VolumeRecord.from_json(people[0].as_json()) == people[0]


def test_who_chooses_the_epoch(people: list[VolumeRecord]) -> None:
    training, validation = part_people(people)
    assert [p.participant for p in validation] == ['sub-05']
    assert len(training) == 4
    training, validation = part_people(people[:2])
    assert [p.participant for p in validation] == ['sub-02']
    with pytest.raises(ValueError, match='needs at least 2'):
        part_people(people[:1])
