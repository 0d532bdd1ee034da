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
from tmsprep.methods.duennwald2021.localizer_task import LocalizerTask, euclidean_loss, stack
from tmsprep.methods.duennwald2021.recipes import (
    DUENNWALD2021,
    CoeruleusRecipe,
    Epochs,
    recipe_named,
)
from tmsprep.methods.duennwald2021.volumes import Volume

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Epochs(epochs=4, batch=2, learning_rate=3e-3, decay='cosine'),
    patch_schedule=Epochs(epochs=4, batch=2, learning_rate=3e-3),
    network={'features': (8, 8)},
)


def make_volume(seed: int, shape: tuple[int, int, int] = (16, 12, 10)) -> Volume:
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


@pytest.fixture(scope='module')
def volumes() -> list[Volume]:
    return [make_volume(seed, (16, 12, 10 + seed % 3)) for seed in range(5)]


def test_paper_recipe() -> None:
    schedule = DUENNWALD2021.schedule
    assert (schedule.epochs, schedule.learning_rate, schedule.decay) == (500, 1e-3, 'none')
    rate = schedule.schedule(82).rate
    assert rate(0) == rate(40000) == 1e-3
    assert DUENNWALD2021.augmentation == VolumeAugmentation(15, 0.5, 0.2, 1, 0, 0)
    assert DUENNWALD2021.network_settings().block == 1
    quick = recipe_named('quick').augmentation
    assert replace(quick, view=1.0) == DUENNWALD2021.augmentation
    short = recipe_named('duennwald2021', epochs=3)
    assert (short.schedule.epochs, short.patch_schedule.epochs) == (3, 3)
    with pytest.raises(KeyError):
        recipe_named('none')


def test_distances() -> None:
    truth = torch.tensor([[[1.0, 2, 3], [4, 5, 6]], [[math.nan] * 3, [0, 0, 0]]])
    points = truth.nan_to_num(100) + torch.tensor(
        [[[3.0, 4, 0], [0, 0, 0]], [[9, 9, 9], [0, 0, 1]]]
    )
    # Of 5, 0 and 1 voxels of 0.75 mm; a missing point has no loss.
    loss = euclidean_loss(points.requires_grad_(), truth, 0.75)
    assert loss.item() == pytest.approx(0.75 * 6 / 3)
    loss.backward()
    points = points.detach()
    nothing = torch.full((1, 2, 3), math.nan)
    assert euclidean_loss(points[:1], nothing, 0.75).item() == 0


def test_missing_point() -> None:
    truth = torch.tensor([[[1.0, 2, 3], [math.nan] * 3]])
    points = torch.tensor([[[1.0, 2, 3], [5.0, 5, 5]]], requires_grad=True)
    euclidean_loss(points, truth, 1.0).backward()
    # Neither has one that is met exactly.
    assert points.grad.eq(0).all()


def test_stack() -> None:
    batch = stack([torch.ones(2, 3, 4), torch.ones(3, 1, 2)])
    assert batch.shape == (2, 3, 3, 4)
    assert batch.sum((1, 2, 3)).tolist() == [24, 6]
    assert batch[1, 2, 0, 1] == 1


def train(
    training: list[Volume],
    validation: list[Volume],
    recipe: CoeruleusRecipe = RECIPE,
    *,
    augment: bool = True,
    seed: int = 1,
    **more: Any,
) -> Trained:
    task = LocalizerTask(training, validation, recipe, augment=augment, seed=seed)
    return fit(task, 'id', **more)


def test_reproducible(volumes: list[Volume]) -> None:
    def state(seed: int, augment: bool) -> dict[str, torch.Tensor]:
        trained = train(volumes[:3], volumes[3:], augment=augment, seed=seed)
        return trained.network.state_dict()

    first = state(1, True)
    for same, again in zip((True, False, False), ((1, True), (2, True), (1, False)), strict=True):
        other = state(*again)
        assert all(torch.equal(first[name], other[name]) for name in first) is same


@pytest.mark.parametrize(('decay', 'starts'), [('none', 1), ('cosine', 1), ('cosine', 3)])
def test_resume(tmp_path: Path, volumes: list[Volume], decay: str, starts: int) -> None:
    schedule = replace(RECIPE.schedule, decay=decay)
    recipe = replace(RECIPE, schedule=schedule, starts=starts, trial_epochs=1, rising_epochs=2)
    unbroken = train(volumes[:3], volumes[3:], recipe)

    def stop(row: dict) -> None:
        if row['epoch'] == 2:
            raise KeyboardInterrupt

    path = tmp_path / 'run.pt'
    with pytest.raises(KeyboardInterrupt):
        train(volumes[:3], volumes[3:], recipe, checkpoint=path, report=stop)
    # Global random numbers play no part after the start.
    torch.manual_seed(12345)
    rows: list[dict] = []
    resumed = train(volumes[:3], volumes[3:], recipe, checkpoint=path, report=rows.append)
    assert [row['epoch'] for row in rows] == [3, 4]
    assert (resumed.log, resumed.best) == (unbroken.log, unbroken.best)
    expected, found = unbroken.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_best_epoch(volumes: list[Volume]) -> None:
    trained = train(volumes[:3], volumes[3:], augment=False)
    with torch.inference_mode():
        errors = [
            euclidean_loss(trained.network(v.intensities[None])[0], v.points[None], 0.75).item()
            for v in volumes[3:]
        ]
    logged = [row['validation'] for row in trained.log]
    assert sum(errors) / 2 == pytest.approx(min(logged), rel=1e-5)
    assert trained.best == 1 + logged.index(min(logged))


def test_no_validation(volumes: list[Volume]) -> None:
    trained = train(volumes, [])
    assert trained.best == 4
    assert all(math.isnan(row['validation']) for row in trained.log)


def test_without_points(volumes: list[Volume]) -> None:
    blank = replace(volumes[0], points=torch.full((2, 3), math.nan))
    one_side = replace(volumes[1], points=volumes[1].points.clone())
    one_side.points[0] = math.nan
    with pytest.raises(ValueError, match='no image of the training set has a point'):
        train([blank], volumes)
    trained = train([blank, one_side], [blank])
    assert all(math.isfinite(row['loss']) for row in trained.log)


def test_diverged(volumes: list[Volume]) -> None:
    broken = replace(volumes[0], intensities=volumes[0].intensities * math.nan)
    with pytest.raises(FloatingPointError, match='its loss is nan at epoch 1'):
        train([broken], [], augment=False)


def test_overfit() -> None:
    recipe = replace(
        RECIPE,
        schedule=Epochs(epochs=60, batch=1, learning_rate=1e-2, decay='cosine'),
        network={'features': (8, 16), 'block': 1},
    )
    volume = make_volume(1)
    trained = train([volume], [volume], recipe, augment=False)
    with torch.inference_mode():
        points, _ = trained.network(volume.intensities[None])
    assert 0.75 * (points[0] - volume.points).norm(dim=-1).max() < 0.75


def test_schedules() -> None:
    schedule = Epochs(epochs=10, batch=3, learning_rate=4e-3, decay='cosine').schedule(7)
    assert (schedule.steps, schedule.steps_per_round) == (30, 3)
    assert schedule.rate(15) == pytest.approx(2e-3)
    with pytest.raises(ValueError, match="'none' or 'cosine'"):
        Epochs(epochs=1, batch=1, learning_rate=1e-3, decay='linear')
    with pytest.raises(ValueError, match='at least 1'):
        Epochs(epochs=0, batch=1, learning_rate=1e-3)
