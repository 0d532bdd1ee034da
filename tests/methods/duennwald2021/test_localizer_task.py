from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.learning.loop import Schedule, fit
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.localizer_task import euclidean_loss, stack, train_coreunet
from tmsprep.methods.duennwald2021.recipes import (
    DUENNWALD2021,
    CoeruleusRecipe,
    coeruleus_recipe,
)
from tmsprep.methods.duennwald2021.volumes import Volume

RECIPE = CoeruleusRecipe(
    'test',
    schedule=Schedule(epochs=4, batch=2, learning_rate=3e-3, decay='cosine'),
    patch_schedule=Schedule(epochs=4, batch=2, learning_rate=3e-3),
    network={'features': (8, 8)},
)


def someone(seed: int, shape: tuple[int, int, int] = (16, 12, 10)) -> Volume:
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
def people() -> list[Volume]:
    return [someone(seed, (16, 12, 10 + seed % 3)) for seed in range(5)]


def test_the_papers_recipe() -> None:
    schedule = DUENNWALD2021.schedule
    assert (schedule.epochs, schedule.learning_rate, schedule.decay) == (500, 1e-3, 'none')
    assert schedule.rate(0.0) == schedule.rate(0.99) == 1e-3
    assert DUENNWALD2021.augmentation == VolumeAugmentation(15, 0.5, 0.2, 1, 0, 0)
    assert DUENNWALD2021.network_settings().block == 1
    quick = coeruleus_recipe('quick').augmentation
    assert replace(quick, view=1.0) == DUENNWALD2021.augmentation
    short = coeruleus_recipe('duennwald2021', epochs=3)
    assert (short.schedule.epochs, short.patch_schedule.epochs) == (3, 3)
    with pytest.raises(KeyError):
        coeruleus_recipe('none')


def test_distances_by_hand() -> None:
    truth = torch.tensor([[[1.0, 2, 3], [4, 5, 6]], [[math.nan] * 3, [0, 0, 0]]])
    points = truth.nan_to_num(100) + torch.tensor(
        [[[3.0, 4, 0], [0, 0, 0]], [[9, 9, 9], [0, 0, 1]]]
    )
    # Of 5, 0 and 1 voxels of 0.75 mm; nothing is asked where there is no point.
    loss = euclidean_loss(points.requires_grad_(), truth, 0.75)
    assert loss.item() == pytest.approx(0.75 * 6 / 3)
    loss.backward()
    points = points.detach()
    nothing = torch.full((1, 2, 3), math.nan)
    assert euclidean_loss(points[:1], nothing, 0.75).item() == 0


def test_a_missing_point_has_no_gradient() -> None:
    truth = torch.tensor([[[1.0, 2, 3], [math.nan] * 3]])
    points = torch.tensor([[[1.0, 2, 3], [5.0, 5, 5]]], requires_grad=True)
    euclidean_loss(points, truth, 1.0).backward()
    # Neither has one that is met exactly.
    assert points.grad.eq(0).all()


def test_volumes_of_several_shapes_in_one_batch() -> None:
    batch = stack([torch.ones(2, 3, 4), torch.ones(3, 1, 2)])
    assert batch.shape == (2, 3, 3, 4)
    assert batch.sum((1, 2, 3)).tolist() == [24, 6]
    assert batch[1, 2, 0, 1] == 1


def test_one_seed_gives_one_network(people: list[Volume]) -> None:
    def state(seed: int, augment: bool) -> dict[str, torch.Tensor]:
        done = train_coreunet(people[:3], people[3:], RECIPE, augment=augment, seed=seed)
        return done.network.state_dict()

    first = state(1, True)
    for same, again in zip((True, False, False), ((1, True), (2, True), (1, False)), strict=True):
        other = state(*again)
        assert all(torch.equal(first[name], other[name]) for name in first) is same


@pytest.mark.parametrize(('decay', 'starts'), [('none', 1), ('cosine', 1), ('cosine', 3)])
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, people: list[Volume], decay: str, starts: int
) -> None:
    schedule = replace(RECIPE.schedule, decay=decay)
    recipe = replace(RECIPE, schedule=schedule, starts=starts, trial_epochs=1, rising_epochs=2)
    train = partial(train_coreunet, people[:3], people[3:], recipe, augment=True, seed=1)
    unbroken = train()

    class Interrupted(Exception):
        pass

    def stop(row: dict) -> None:
        if row['epoch'] == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(checkpoint=tmp_path / 'run.pt', report=stop)
    assert [path.name for path in tmp_path.iterdir()] == ['run.pt']
    # Global random numbers play no part after the start.
    torch.manual_seed(12345)
    epochs = []
    resumed = train(checkpoint=tmp_path / 'run.pt', report=lambda row: epochs.append(row['epoch']))
    assert epochs == [3, 4]
    assert resumed.log == unbroken.log
    assert resumed.best_epoch == unbroken.best_epoch
    expected = unbroken.network.state_dict()
    found = resumed.network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    again = train(checkpoint=tmp_path / 'run.pt', report=lambda row: epochs.append(row['epoch']))
    assert epochs == [3, 4]
    assert again.log == unbroken.log


class _Shrinking:
    """The task of becoming 0."""

    steps_per_epoch = 1

    def losses(self, network: torch.nn.Module, epoch: int) -> Iterator[torch.Tensor]:
        yield network.weight.square().sum()

    def validate(self, network: torch.nn.Module) -> float:
        return math.nan


def test_of_several_starts_the_one_that_has_learnt_most_goes_on() -> None:
    starts = [torch.nn.Linear(1, 1, bias=False) for _ in range(3)]
    for network, weight in zip(starts, (3.0, 0.5, 2.0), strict=True):
        torch.nn.init.constant_(network.weight, weight)
    schedule, told = Schedule(epochs=3, batch=1, learning_rate=0.1), []
    done = fit(
        starts[0],
        _Shrinking(),
        schedule,
        (),
        report=told.append,
        rivals=starts[1:],
        trial_epochs=2,
    )
    # Adam's first steps are as long as the rate: 0.5, 0.4, 0.3.
    assert done.log[0]['loss'] == pytest.approx(0.25)
    assert done.network.weight.item() == pytest.approx(0.2, abs=0.01)
    assert [row['epoch'] for row in told] == [1, 2, 3]
    # The first rival was left after its trial, two steps from 3.
    assert starts[0].weight.item() == pytest.approx(2.8, abs=0.01)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, people: list[Volume]) -> None:
    path = tmp_path / 'run.pt'
    train_coreunet(people[:2], people[3:], RECIPE, augment=True, seed=1, checkpoint=path)
    for changed in ({'augment': False, 'seed': 1}, {'augment': True, 'seed': 2}):
        with pytest.raises(ValueError, match=r'run\.pt belongs to another training'):
            train_coreunet(people[:2], people[3:], RECIPE, **changed, checkpoint=path)
    with pytest.raises(ValueError, match='belongs to another training'):
        train_coreunet(people[:3], people[3:], RECIPE, augment=True, seed=1, checkpoint=path)


class Downhill:
    """A loss whose gradient is 1, so that Adam goes down by its rate in each step."""

    steps_per_epoch = 2

    def __init__(self, validation: list[float]):
        self.validation = iter(validation)

    def losses(self, network: torch.nn.Module, epoch: int) -> Iterator[torch.Tensor]:
        for _ in range(2):
            yield network.bias.sum()

    def validate(self, network: torch.nn.Module) -> float:
        return next(self.validation)


@pytest.mark.parametrize(
    ('validation', 'best'), [([3, 1, 2], 2), ([1, 1, 1], 1), ([math.nan, 5, math.nan], 2)]
)
def test_the_epoch_of_the_lowest_validation_loss_is_kept(
    validation: list[float], best: int
) -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(network.bias)
    done = fit(network, Downhill(validation), Schedule(3, 1, 0.1), ())
    assert done.best_epoch == best
    assert done.network.bias.item() == pytest.approx(-0.1 * 2 * best, rel=1e-4)
    assert [row['loss'] for row in done.log] == pytest.approx([-0.05, -0.25, -0.45], rel=1e-4)


def test_the_kept_network_has_the_logged_error(people: list[Volume]) -> None:
    done = train_coreunet(people[:3], people[3:], RECIPE, augment=False, seed=1)
    assert not done.network.training
    with torch.inference_mode():
        errors = [
            euclidean_loss(done.network(v.intensities[None])[0], v.points[None], 0.75).item()
            for v in people[3:]
        ]
    logged = [row['validation'] for row in done.log]
    assert sum(errors) / 2 == pytest.approx(min(logged), rel=1e-5)
    assert done.best_epoch == 1 + logged.index(min(logged))


def test_without_validation_people_the_last_epoch_is_kept(people: list[Volume]) -> None:
    done = train_coreunet(people, [], RECIPE, augment=True, seed=1)
    assert done.best_epoch == 4
    assert all(math.isnan(row['validation']) for row in done.log)


def test_people_without_points_are_not_used(people: list[Volume]) -> None:
    nobody = replace(people[0], points=torch.full((2, 3), math.nan))
    one_side = replace(people[1], points=people[1].points.clone())
    one_side.points[0] = math.nan
    with pytest.raises(ValueError, match='nobody to train on'):
        train_coreunet([nobody], people, RECIPE, augment=True, seed=1)
    done = train_coreunet([nobody, one_side], [nobody], RECIPE, augment=True, seed=1)
    assert all(math.isfinite(row['loss']) for row in done.log)


def test_a_training_that_comes_apart_says_so(people: list[Volume]) -> None:
    broken = replace(people[0], intensities=people[0].intensities * math.nan)
    with pytest.raises(FloatingPointError, match='epoch 1 is nan'):
        train_coreunet([broken], [], RECIPE, augment=False, seed=1)


def test_a_tiny_network_learns_two_blobs() -> None:
    recipe = replace(
        RECIPE,
        schedule=Schedule(epochs=60, batch=1, learning_rate=1e-2, decay='cosine'),
        network={'features': (8, 16), 'block': 1},
    )
    person = someone(1)
    done = train_coreunet([person], [person], recipe, augment=False, seed=1)
    with torch.inference_mode():
        points, _ = done.network(person.intensities[None])
    assert 0.75 * (points[0] - person.points).norm(dim=-1).max() < 0.75


def test_schedules_by_hand() -> None:
    cosine = Schedule(epochs=10, batch=1, learning_rate=4e-3, decay='cosine')
    assert cosine.rate(0.5) == pytest.approx(2e-3)
    assert cosine.rate(1.0) == pytest.approx(0)
    assert cosine.rate(0.0) == pytest.approx(0.02 * 4e-3)
    with pytest.raises(ValueError, match="'none' or 'cosine'"):
        Schedule(epochs=1, batch=1, learning_rate=1e-3, decay='linear')
    with pytest.raises(ValueError, match='at least 1'):
        Schedule(epochs=0, batch=1, learning_rate=1e-3)
