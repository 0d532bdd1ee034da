from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.learning.loop import Task, Trained, fit
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.recipes import (
    DUENNWALD2021,
    CoeruleusRecipe,
    Epochs,
    recipe_named,
)
from tmsprep.methods.duennwald2021.tasks import (
    LocalizerTask,
    SegmenterTask,
    euclidean_loss,
    segmentation_loss,
    stack,
)
from tmsprep.methods.duennwald2021.volumes import Volume

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Epochs(epochs=4, batch=2, learning_rate=3e-3, decay='cosine'),
    network={'features': (8, 8)},
    patch_schedule=Epochs(epochs=3, batch=2, learning_rate=3e-3, decay='cosine'),
    patch_network={'features': (8, 16), 'patch': (12, 12, 12)},
    jitter=1.5,
)
NO_POINTS = torch.full((2, 3), math.nan)
STILL = VolumeAugmentation(0, 0, 0)


def blobs(seed: int, shape: tuple[int, int, int] = (16, 12, 10)) -> Volume:
    """Two soft blobs on noise, the right one twice as bright."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing='ij'), -1)
    middle = (torch.tensor(shape) - 1) / 2
    points = middle + torch.tensor([[-3.0, 0, 0], [3.0, 0, 0]])
    points = points + 2 * torch.rand(2, 3, generator=generator) - 1
    volume = 0.05 * torch.randn(shape, generator=generator)
    for point, height in zip(points, (1.0, 2.0), strict=True):
        volume += height * torch.exp(-0.5 * ((grid - point) / 1.5).square().sum(-1))
    return Volume(f'p{seed}', volume, np.diag([0.75, 0.75, 0.75, 1]), points)


def boxes(seed: int) -> Volume:
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
    return [blobs(seed, (16, 12, 10 + seed % 3)) for seed in range(5)]


@pytest.fixture(scope='module')
def masked() -> list[Volume]:
    return [boxes(seed) for seed in range(5)]


def localizer(
    training: list[Volume],
    validation: list[Volume],
    recipe: CoeruleusRecipe = RECIPE,
    *,
    augment: bool = True,
    seed: int = 1,
) -> LocalizerTask:
    return LocalizerTask(training, validation, recipe, augment=augment, seed=seed)


def segmenter(
    training: list[Volume], validation: list[Volume], recipe: CoeruleusRecipe = RECIPE
) -> SegmenterTask:
    return SegmenterTask(training, validation, recipe, seed=1)


def state(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


def equal(one: Trained, other: Trained) -> bool:
    return all(torch.equal(values, state(other)[name]) for name, values in state(one).items())


def test_recipes() -> None:
    schedule = DUENNWALD2021.schedule
    assert (schedule.epochs, schedule.learning_rate, schedule.decay) == (500, 1e-3, 'none')
    rate = schedule.schedule(10).rate
    assert rate(0) == rate(4999) == 1e-3
    assert DUENNWALD2021.augmentation == VolumeAugmentation(15, 0.5, 0.2, 1, 0, 0)
    assert DUENNWALD2021.network_settings().block == 1
    quick = recipe_named('quick').augmentation
    assert replace(quick, view=1.0) == DUENNWALD2021.augmentation
    short = recipe_named('duennwald2021', epochs=3)
    assert (short.schedule.epochs, short.patch_schedule.epochs) == (3, 3)
    with pytest.raises(KeyError):
        recipe_named('none')


def test_epochs() -> None:
    schedule = Epochs(epochs=10, batch=2, learning_rate=4e-3, decay='cosine').schedule(19)
    assert (schedule.steps, schedule.steps_per_round) == (100, 10)
    assert (schedule.keep, schedule.unit) == ('best', 'epoch')
    assert schedule.rate(50) == pytest.approx(2e-3, rel=0.1)
    with pytest.raises(ValueError, match="'none' or 'cosine'"):
        Epochs(epochs=1, batch=1, learning_rate=1e-3, decay='linear')
    with pytest.raises(ValueError, match='at least 1'):
        Epochs(epochs=0, batch=1, learning_rate=1e-3)


def test_distances_by_hand() -> None:
    truth = torch.tensor([[[1.0, 2, 3], [4, 5, 6]], [[math.nan] * 3, [0, 0, 0]]])
    points = truth.nan_to_num(100) + torch.tensor(
        [[[3.0, 4, 0], [0, 0, 0]], [[9, 9, 9], [0, 0, 1]]]
    )
    # Of 5, 0 and 1 voxels of 0.75 mm; a missing point has no distance.
    assert euclidean_loss(points, truth, 0.75).item() == pytest.approx(0.75 * 6 / 3)
    nothing = torch.full((1, 2, 3), math.nan)
    assert euclidean_loss(points[:1], nothing, 0.75).item() == 0


def test_missing_point_gradient() -> None:
    truth = torch.tensor([[[1.0, 2, 3], [math.nan] * 3]])
    points = torch.tensor([[[1.0, 2, 3], [5.0, 5, 5]]], requires_grad=True)
    euclidean_loss(points, truth, 1.0).backward()
    # The gradient of an exact point is 0 too.
    assert points.grad.eq(0).all()


def test_batch_of_shapes() -> None:
    batch = stack([torch.ones(2, 3, 4), torch.ones(3, 1, 2)])
    assert batch.shape == (2, 3, 3, 4)
    assert batch.sum((1, 2, 3)).tolist() == [24, 6]
    assert batch[1, 2, 0, 1] == 1


def test_seed(volumes: list[Volume]) -> None:
    training, validation = volumes[:3], volumes[3:]
    first = fit(localizer(training, validation))
    assert equal(first, fit(localizer(training, validation)))
    assert not equal(first, fit(localizer(training, validation, seed=2)))
    assert not equal(first, fit(localizer(training, validation, augment=False)))


def resumed(make: Callable[[], Task], folder: Path) -> tuple[Trained, Trained]:
    """Train once without interruption, and once interrupted after the second epoch."""
    unbroken, path = fit(make()), folder / 'run.pt'

    def stop(row: dict) -> None:
        if row['epoch'] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make(), checkpoint=path, report=stop)
    # Global random numbers play no part after the start.
    torch.manual_seed(12345)
    epochs = []
    again = fit(make(), checkpoint=path, report=lambda row: epochs.append(row['epoch']))
    assert epochs[0] == 3
    return unbroken, again


@pytest.mark.parametrize(('decay', 'starts'), [('none', 1), ('cosine', 1), ('cosine', 3)])
def test_resumed_localizer(tmp_path: Path, volumes: list[Volume], decay: str, starts: int) -> None:
    schedule = replace(RECIPE.schedule, decay=decay)
    recipe = replace(RECIPE, schedule=schedule, starts=starts, trial_epochs=1, rising_epochs=2)
    unbroken, again = resumed(lambda: localizer(volumes[:3], volumes[3:], recipe), tmp_path)
    assert (again.log, again.best) == (unbroken.log, unbroken.best)
    assert equal(again, unbroken)


def test_resumed_segmenter(tmp_path: Path, masked: list[Volume]) -> None:
    unbroken, again = resumed(lambda: segmenter(masked[:3], masked[3:]), tmp_path)
    assert again.log == unbroken.log
    assert equal(again, unbroken)


def test_kept_epoch(volumes: list[Volume]) -> None:
    done = fit(localizer(volumes[:3], volumes[3:], augment=False))
    assert not done.network.training
    with torch.inference_mode():
        errors = [
            euclidean_loss(done.network(v.intensities[None])[0], v.points[None], 0.75).item()
            for v in volumes[3:]
        ]
    logged = [row['validation'] for row in done.log]
    assert sum(errors) / 2 == pytest.approx(min(logged), rel=1e-5)
    assert done.best == 1 + logged.index(min(logged))


def test_no_validation_set(volumes: list[Volume]) -> None:
    done = fit(localizer(volumes, []))
    assert done.best == 4
    assert all(math.isnan(row['validation']) for row in done.log)


def test_images_without_points(volumes: list[Volume]) -> None:
    without = replace(volumes[0], points=NO_POINTS)
    one_side = replace(volumes[1], points=volumes[1].points.clone())
    one_side.points[0] = math.nan
    with pytest.raises(ValueError, match='no image of the training set has a point'):
        localizer([without], volumes)
    done = fit(localizer([without, one_side], [without]))
    assert all(math.isfinite(row['loss']) for row in done.log)


def test_divergence(volumes: list[Volume]) -> None:
    broken = replace(volumes[0], intensities=volumes[0].intensities * math.nan)
    with pytest.raises(FloatingPointError, match='nan at epoch 1'):
        fit(localizer([broken], [], augment=False))


def test_localizer_learns_blobs() -> None:
    recipe = replace(
        RECIPE,
        schedule=Epochs(epochs=60, batch=1, learning_rate=1e-2, decay='cosine'),
        network={'features': (8, 16), 'block': 1},
    )
    volume = blobs(1)
    done = fit(localizer([volume], [volume], recipe, augment=False))
    with torch.inference_mode():
        points, _ = done.network(volume.intensities[None])
    assert 0.75 * (points[0] - volume.points).norm(dim=-1).max() < 0.75


def test_segmentation_loss() -> None:
    # Four voxels: background, left, left, right; probabilities of a third.
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


def test_perfect_segmentation() -> None:
    labels = torch.tensor([0, 1, 2, 0]).reshape(1, 1, 2, 2)
    logits = 100 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert segmentation_loss(logits, labels).item() == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros_like(labels)
    background = torch.tensor([100.0, 0, 0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
    assert segmentation_loss(background, nothing).item() == pytest.approx(0, abs=1e-6)


def test_places_of_patches(masked: list[Volume]) -> None:
    task = segmenter(masked, [], replace(RECIPE, patch_augmentation=STILL))
    for epoch in range(1, 6):
        for number in range(0, 10, 2):
            intensities, labels = task.training_patch(number, epoch)
            # 12 voxels hold both boxes, 8 voxels wide, also when moved by 2.
            assert labels.eq(1).sum() == labels.eq(2).sum() == 2 * 2 * 6
            assert intensities[labels > 0].mean() > 0.8
            assert intensities[labels == 0].mean().abs() < 0.1
    elsewhere = [task.training_patch(n, e)[1].gt(0).sum() for e in range(5) for n in (1, 3, 5)]
    assert min(elsewhere) < 48


def test_images_without_masks(masked: list[Volume]) -> None:
    without = replace(masked[0], labels=torch.empty(0, dtype=torch.uint8))
    with pytest.raises(ValueError, match='no image of the training set has a mask'):
        segmenter([without], masked)
    done = fit(segmenter([without, masked[1]], [without]))
    assert [row['epoch'] for row in done.log] == [1, 2, 3]
    assert math.isnan(done.log[0]['validation'])


def test_empty_mask(masked: list[Volume]) -> None:
    empty = replace(masked[0], points=NO_POINTS, labels=torch.zeros_like(masked[0].labels))
    done = fit(segmenter([empty, masked[1]], [empty]))
    assert all(math.isfinite(row['loss']) for row in done.log)


def test_segmenter_learns_boxes(masked: list[Volume]) -> None:
    recipe = replace(
        RECIPE,
        patch_schedule=Epochs(epochs=40, batch=2, learning_rate=3e-3, decay='cosine'),
        patch_network={'features': (16, 16), 'patch': (12, 12, 12)},
        patch_augmentation=STILL,
        patches=4,
    )
    done = fit(segmenter(masked[:4], masked[4:], recipe))
    unseen = masked[4]
    with torch.inference_mode():
        found = done.network(unseen.intensities[None, 6:18, 4:16, 2:14])[0].argmax(dim=0)
    truth = unseen.labels[6:18, 4:16, 2:14]
    for label in (1, 2):
        both = (found == label) & (truth == label)
        dice = 2 * both.sum() / ((found == label).sum() + (truth == label).sum())
        assert dice > 0.9
