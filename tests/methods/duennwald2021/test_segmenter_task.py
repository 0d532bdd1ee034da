from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tmsprep.learning.loop import Trained, fit
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe, Epochs
from tmsprep.methods.duennwald2021.segmenter_task import (
    SegmenterTask,
    segmentation_loss,
)
from tmsprep.methods.duennwald2021.volumes import Volume

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Epochs(epochs=3, batch=1, learning_rate=1e-3),
    patch_schedule=Epochs(epochs=3, batch=2, learning_rate=3e-3, decay='cosine'),
    patch_network={'features': (8, 16), 'patch': (12, 12, 12)},
    jitter=1.5,
)


def make_volume(seed: int) -> Volume:
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
def volumes() -> list[Volume]:
    return [make_volume(seed) for seed in range(5)]


def test_loss() -> None:
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


def test_loss_zero() -> None:
    labels = torch.tensor([0, 1, 2, 0]).reshape(1, 1, 2, 2)
    logits = 100 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert segmentation_loss(logits, labels).item() == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros_like(labels)
    background = torch.tensor([100.0, 0, 0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
    assert segmentation_loss(background, nothing).item() == pytest.approx(0, abs=1e-6)


def train(
    training: list[Volume], validation: list[Volume], recipe: CoeruleusRecipe = RECIPE, **more: Any
) -> Trained:
    return fit(SegmenterTask(training, validation, recipe, seed=1), 'id', **more)


def test_patches(volumes: list[Volume]) -> None:
    still = replace(RECIPE, patch_augmentation=VolumeAugmentation(0, 0, 0))
    task = SegmenterTask(volumes, [], still, seed=1)
    for epoch in range(1, 6):
        for number in range(0, 10, 2):
            intensities, labels = task.training_patch(number, epoch)
            # 12 voxels hold both boxes, 8 voxels wide, also when moved by 2.
            assert labels.eq(1).sum() == labels.eq(2).sum() == 2 * 2 * 6
            assert intensities[labels > 0].mean() > 0.8
            assert intensities[labels == 0].mean().abs() < 0.1
    elsewhere = [task.training_patch(n, e)[1].gt(0).sum() for e in range(5) for n in (1, 3, 5)]
    assert min(elsewhere) < 48


def test_resume(tmp_path: Path, volumes: list[Volume]) -> None:
    unbroken = train(volumes[:3], volumes[3:])
    path = tmp_path / 'run.pt'

    def stop(row: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(volumes[:3], volumes[3:], checkpoint=path, report=stop)
    torch.manual_seed(12345)
    resumed = train(volumes[:3], volumes[3:], checkpoint=path)
    assert resumed.log == unbroken.log
    expected = unbroken.network.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in resumed.network.state_dict().items())


def test_without_masks(volumes: list[Volume]) -> None:
    bare = replace(volumes[0], labels=torch.empty(0, dtype=torch.uint8))
    with pytest.raises(ValueError, match='no image of the training set has a mask'):
        train([bare], volumes)
    trained = train([bare, volumes[1]], [bare])
    assert [row['epoch'] for row in trained.log] == [1, 2, 3]
    assert math.isnan(trained.log[0]['validation'])


def test_empty_mask(volumes: list[Volume]) -> None:
    healthy = replace(
        volumes[0],
        points=torch.full((2, 3), math.nan),
        labels=torch.zeros_like(volumes[0].labels),
    )
    trained = train([healthy, volumes[1]], [healthy])
    assert all(math.isfinite(row['loss']) for row in trained.log)


def test_learns_boxes(volumes: list[Volume]) -> None:
    recipe = replace(
        RECIPE,
        patch_schedule=Epochs(epochs=40, batch=2, learning_rate=3e-3, decay='cosine'),
        patch_network={'features': (16, 16), 'patch': (12, 12, 12)},
        patch_augmentation=VolumeAugmentation(0, 0, 0),
        patches=4,
    )
    network, unseen = train(volumes[:4], volumes[4:], recipe).network, volumes[4]
    with torch.inference_mode():
        found = network(unseen.intensities[None, 6:18, 4:16, 2:14])[0].argmax(dim=0)
    truth = unseen.labels[6:18, 4:16, 2:14]
    for label in (1, 2):
        both = (found == label) & (truth == label)
        dice = 2 * both.sum() / ((found == label).sum() + (truth == label).sum())
        assert dice > 0.9
