from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.learning.loop import Schedule
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.segmenter_task import (
    _Segmenting,
    segmentation_loss,
    train_patch_unet,
)
from tmsprep.methods.duennwald2021.volumes import Volume

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Schedule(epochs=3, batch=1, learning_rate=1e-3),
    patch_schedule=Schedule(epochs=3, batch=2, learning_rate=3e-3, decay='cosine'),
    patch_network={'features': (8, 16), 'patch': (12, 12, 12)},
    jitter=1.5,
)


def someone(seed: int) -> Volume:
    """Two boxes of voxels, 1 and 2 above the noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = (24, 20, 16)
    labels = torch.zeros(shape, dtype=torch.uint8)
    x, y = (7 + torch.randint(4, (2,), generator=generator)).tolist()
    labels[x : x + 2, y : y + 2, 5:11] = 1
    labels[x + 6 : x + 8, y : y + 2, 5:11] = 2
    points = torch.tensor([[x + 0.5, y + 0.5, 7.5], [x + 6.5, y + 0.5, 7.5]])
    volume = labels.float() + 0.1 * torch.randn(shape, generator=generator)
    return Volume(f'p{seed}', volume, np.diag([0.75, 0.75, 0.75, 1]), points, labels)


@pytest.fixture(scope='module')
def people() -> list[Volume]:
    return [someone(seed) for seed in range(5)]


def test_the_loss_by_hand() -> None:
    # Four voxels: background, left, left, right; even probabilities of a third.
    labels = torch.tensor([0, 1, 1, 2]).reshape(1, 1, 1, 4)
    left = (2 * 2 / 3 + 1) / (4 / 3 + 2 + 1)
    right = (2 * 1 / 3 + 1) / (4 / 3 + 1 + 1)
    expected = math.log(3) + 1 - (left + right) / 2
    loss = segmentation_loss(torch.zeros(1, 3, 1, 1, 4), labels)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    # With the background twice as likely, and left and right three times as heavy.
    logits = torch.tensor([math.log(2), 0, 0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 1, 4)
    entropy = (math.log(2) + 3 * 3 * math.log(4)) / (1 + 3 * 3)
    left, right = (2 * 2 / 4 + 1) / (4 / 4 + 2 + 1), (2 * 1 / 4 + 1) / (4 / 4 + 1 + 1)
    expected = entropy + 1 - (left + right) / 2
    assert segmentation_loss(logits, labels, 3.0).item() == pytest.approx(expected, rel=1e-6)


def test_certain_and_right_costs_nothing() -> None:
    labels = torch.tensor([0, 1, 2, 0]).reshape(1, 1, 2, 2)
    logits = 100 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert segmentation_loss(logits, labels).item() == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros_like(labels)
    background = torch.tensor([100.0, 0, 0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
    assert segmentation_loss(background, nothing).item() == pytest.approx(0, abs=1e-6)


def test_every_other_patch_lies_around_the_locus_coeruleus(people: list[Volume]) -> None:
    still = replace(RECIPE, patch_augmentation=VolumeAugmentation(0, 0, 0))
    task = _Segmenting(people, [], still, (12, 12, 12), 1, 'cpu')
    for epoch in range(1, 6):
        for number in range(0, 10, 2):
            intensities, labels = task._training_patch(number, epoch)
            # 12 voxels hold both boxes, 8 voxels wide, also when moved by 2.
            assert labels.eq(1).sum() == labels.eq(2).sum() == 2 * 2 * 6
            assert intensities[labels > 0].mean() > 0.8
            assert intensities[labels == 0].mean().abs() < 0.1
    elsewhere = [task._training_patch(n, e)[1].gt(0).sum() for e in range(5) for n in (1, 3, 5)]
    assert min(elsewhere) < 48


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, people: list[Volume]
) -> None:
    unbroken = train_patch_unet(people[:3], people[3:], RECIPE, seed=1)
    path = tmp_path / 'run.pt'

    def stop(row: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_patch_unet(people[:3], people[3:], RECIPE, seed=1, checkpoint=path, report=stop)
    torch.manual_seed(12345)
    resumed = train_patch_unet(people[:3], people[3:], RECIPE, seed=1, checkpoint=path)
    assert resumed.log == unbroken.log
    expected = unbroken.network.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in resumed.network.state_dict().items())
    other = replace(RECIPE, rare_weight=2.0)
    with pytest.raises(ValueError, match=r'run\.pt belongs to another training'):
        train_patch_unet(people[:3], people[3:], other, seed=1, checkpoint=path)


def test_people_without_masks_are_not_used(people: list[Volume]) -> None:
    nobody = replace(people[0], labels=torch.empty(0, dtype=torch.uint8))
    with pytest.raises(ValueError, match='nobody to train on has a mask'):
        train_patch_unet([nobody], people, RECIPE, seed=1)
    done = train_patch_unet([nobody, people[1]], [nobody], RECIPE, seed=1)
    assert [row['epoch'] for row in done.log] == [1, 2, 3]
    assert math.isnan(done.log[0]['validation'])


def test_a_person_without_points_gives_patches_from_anywhere(people: list[Volume]) -> None:
    healthy = replace(
        people[0],
        points=torch.full((2, 3), math.nan),
        labels=torch.zeros_like(people[0].labels),
    )
    done = train_patch_unet([healthy, people[1]], [healthy], RECIPE, seed=1)
    assert all(math.isfinite(row['loss']) for row in done.log)


def test_a_tiny_network_finds_the_boxes(people: list[Volume]) -> None:
    recipe = replace(
        RECIPE,
        patch_schedule=Schedule(epochs=40, batch=2, learning_rate=3e-3, decay='cosine'),
        patch_network={'features': (16, 16), 'patch': (12, 12, 12)},
        patch_augmentation=VolumeAugmentation(0, 0, 0),
        patches=4,
    )
    done = train_patch_unet(people[:4], people[4:], recipe, seed=1)
    unseen = people[4]
    with torch.inference_mode():
        found = done.network(unseen.intensities[None, 6:18, 4:16, 2:14])[0].argmax(dim=0)
    truth = unseen.labels[6:18, 4:16, 2:14]
    for label in (1, 2):
        both = (found == label) & (truth == label)
        dice = 2 * both.sum() / ((found == label).sum() + (truth == label).sum())
        assert dice > 0.9
