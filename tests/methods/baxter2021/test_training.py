from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.imaging.volume import average_pyramid
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.loss import multi_resolution_loss
from tmsprep.methods.baxter2021.network import (
    MultiResolutionNet,
    NetworkSettings,
    pyramid_sampler,
)
from tmsprep.methods.baxter2021.recipes import BAXTER2021, RECIPES, Recipe, recipe_named
from tmsprep.methods.baxter2021.training import (
    Training,
    _choose,
    _rate,
    mean_shape,
)
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol(
    'test',
    'test',
    'test',
    (Target('LA', 'L', 'left a', '', 'RA'), Target('RA', 'R', 'right a', '', 'LA')),
)
SETTINGS = NetworkSettings(
    2,
    crops=(8, 6, 6),
    kernels=4,
    channels=2,
    hidden=4,
    residual_layers=2,
    residual_width=4,
)
RECIPE = Recipe(
    'quick',
    steps=6,
    batch=2,
    optimiser='adamw',
    learning_rate=1e-2,
    averaging=0.9,
    jitter=0.5,
    augmentation=Augmentation(mirror=0.5, noise=0.1, gamma=0.1),
)


def someone(seed: int) -> Person:
    """Person of smooth random voxels; levels may be coarser than they claim to be."""
    generator = np.random.default_rng(seed)
    volume = generator.random((32, 32, 32), dtype=np.float32)
    pyramid = tuple(torch.from_numpy(v) for v in average_pyramid(volume, 3))
    points = torch.from_numpy(generator.uniform(90, 160, (2, 3)).astype(np.float32))
    return Person(f'p{seed}', pyramid, points)


@pytest.fixture(scope='module')
def people() -> list[Person]:
    return [someone(seed) for seed in range(5)]


def train(people: Sequence[Person], recipe: Recipe = RECIPE, seed: int = 1) -> Training:
    training = Training(SETTINGS, recipe, PROTOCOL, seed)
    training.run(people)
    return training


def assert_same(one: MultiResolutionNet, other: MultiResolutionNet) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def differ(one: MultiResolutionNet, other: MultiResolutionNet) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return any(not torch.equal(first[name], second[name]) for name in first)


def test_one_seed_gives_one_network(people: list[Person]) -> None:
    assert_same(train(people).result(), train(people).result())
    assert differ(train(people).result(), train(people, seed=2).result())


@pytest.mark.parametrize('optimiser', ['adamw', 'sgd'])
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, people: list[Person], optimiser: str
) -> None:
    recipe = replace(RECIPE, optimiser=optimiser)
    unbroken = train(people, recipe)

    class Interrupted(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        if step == 4:
            raise Interrupted

    checkpoint = tmp_path / 'run.pt'
    first = Training(SETTINGS, recipe, PROTOCOL, seed=1)
    with pytest.raises(Interrupted):
        first.run(people, checkpoint, every=3, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ['run.pt']
    # Global random numbers play no part after the start.
    torch.manual_seed(12345)
    second = Training(SETTINGS, recipe, PROTOCOL, seed=1)
    steps = []
    second.run(people, checkpoint, every=3, progress=lambda step, loss: steps.append(step))
    assert steps == [4, 5, 6]
    assert_same(second.network, unbroken.network)
    assert_same(second.result(), unbroken.result())


def test_a_finished_run_is_not_run_again(tmp_path: Path, people: list[Person]) -> None:
    checkpoint = tmp_path / 'run.pt'
    done = Training(SETTINGS, RECIPE, PROTOCOL, seed=1).run(people, checkpoint)
    steps = []
    again = Training(SETTINGS, RECIPE, PROTOCOL, seed=1)
    network = again.run(people, checkpoint, progress=lambda step, loss: steps.append(step))
    assert steps == []
    assert_same(network, done)


def test_the_running_mean_is_kept_if_the_recipe_says_so(people: list[Person]) -> None:
    averaged = train(people)
    assert differ(averaged.result(), averaged.network)
    last = train(people, replace(RECIPE, averaging=0.0))
    assert last.result() is last.network
    assert not last.result().training


@pytest.mark.parametrize(('count', 'batch'), [(7, 3), (5, 5), (3, 8), (10, 4), (1, 2)])
def test_everyone_takes_part_once_per_pass(count: int, batch: int) -> None:
    steps = count * 4
    order = [i for step in range(steps) for i in _choose(count, batch, seed=3, step=step)]
    assert len(order) == steps * batch
    passes = [order[i : i + count] for i in range(0, len(order), count)]
    assert all(sorted(p) == list(range(count)) for p in passes)
    if count > 4:
        assert len({tuple(p) for p in passes}) > 1


def test_rates_by_hand() -> None:
    # The paper: 1e-3 / (1 + 0.1 i); with 32 people and batches of 16 step 20 is pass 10.
    assert _rate(BAXTER2021, 0, 32) == 1e-3
    assert _rate(BAXTER2021, 20, 32) == pytest.approx(1e-3 / 2)
    # Ours: half of the cosine is left at half of the steps, nothing at the end.
    recipe = recipe_named('default', steps=1000, learning_rate=2e-3)
    assert _rate(recipe, 0, 32) == pytest.approx(2e-5)
    assert _rate(recipe, 500, 32) == pytest.approx(1e-3)
    assert _rate(recipe, 1000, 32) == pytest.approx(0, abs=1e-12)


def test_the_papers_recipe() -> None:
    assert (BAXTER2021.optimiser, BAXTER2021.batch, BAXTER2021.learning_rate) == ('sgd', 16, 1e-3)
    assert BAXTER2021.alpha == 8.0
    assert BAXTER2021.augmentation == Augmentation(rotation=10.0, translation=10.0)
    assert recipe_named('baxter2021') is not None
    assert sorted(RECIPES) == ['baxter2021', 'default', 'quick']
    with pytest.raises(KeyError):
        recipe_named('none')


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match="'sgd' or 'adamw'"):
        Training(SETTINGS, replace(RECIPE, optimiser='lbfgs'), PROTOCOL, seed=1)


def blob_person() -> Person:
    """Two blobs of different height in a volume of 256 mm at 4 mm, and levels below."""
    points = np.array([[150.0, 118.0, 140.0], [98.0, 122.0, 142.0]], np.float32)
    centres = 4 * np.arange(64) + 2.0
    volume = np.zeros((64, 64, 64), np.float32)
    for point, height in zip(points, (1.0, 2.0), strict=True):
        x, y, z = np.exp(-0.5 * ((centres - point[:, None]) / 12) ** 2).astype(np.float32)
        volume += height * x[:, None, None] * y[:, None] * z
    levels = average_pyramid(volume, 4)
    # A pyramid from 1 mm on, whose two finest levels hold no more than the third.
    pyramid = tuple(torch.from_numpy(v) for v in (levels[0], levels[0], *levels))
    return Person('blobs', pyramid, torch.from_numpy(points))


def test_a_tiny_network_learns_one_phantom() -> None:
    settings = NetworkSettings(2, crops=(8,) * 6, kernels=8, channels=4, hidden=8, residual='none')
    recipe = Recipe(
        'overfit',
        steps=150,
        batch=2,
        optimiser='adamw',
        learning_rate=1e-2,
        jitter=0.5,
        augmentation=Augmentation(rotation=3.0, translation=3.0),
    )
    person = blob_person()
    network = Training(settings, recipe, PROTOCOL, seed=1).run([person])
    with torch.inference_mode():
        found = locate(network, pyramid_sampler(person.pyramid, SETTINGS.extent))
    assert (found - person.points).norm(dim=-1).max() < 1.0


@pytest.mark.parametrize('residual', ['shared', 'separate', 'none'])
def test_levels_one_by_one_give_the_gradient_of_all_together(
    people: list[Person], residual: str
) -> None:
    settings = replace(SETTINGS, residual=residual)
    training = Training(settings, RECIPE, PROTOCOL, seed=3)
    samplers = [pyramid_sampler(person.pyramid, settings.extent) for person in people]
    truth = torch.stack([person.points for person in people])
    truth[1, 0] = torch.nan
    jitter = [torch.zeros(5, 2, 3), 3 * torch.ones(5, 2, 3), -torch.ones(5, 2, 3)]
    total = training._backward(samplers, truth, jitter)
    one_by_one = [parameter.grad.clone() for parameter in training.network.parameters()]
    training.optimiser.zero_grad()
    loss = multi_resolution_loss(
        training.network(samplers, jitter),
        truth,
        torch.tensor(settings.resolutions),
        torch.tensor(settings.crops, dtype=torch.float32),
    )
    loss.backward()
    assert total == pytest.approx(loss.item(), rel=1e-5)
    for parameter, gradient in zip(training.network.parameters(), one_by_one, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_training_can_start_from_other_weights(people: list[Person]) -> None:
    start = train(people).result()
    untouched = replace(RECIPE, learning_rate=0.0, steps=1)
    training = Training(SETTINGS, untouched, PROTOCOL, seed=9, start=start)
    training.run(people)
    assert_same(training.network, start)


def test_the_mean_shape_forgets_where_heads_lie() -> None:
    shape = torch.tensor([[10.0, 0.0, 0.0], [-10.0, 0.0, 4.0]])
    pyramid = (torch.zeros(2, 2, 2),)
    shifts = [torch.tensor([100.0, 90.0, 80.0]), torch.tensor([150.0, 120.0, 140.0])]
    several = [Person('p', pyramid, shape + shift) for shift in shifts]
    # Somebody who lacks a target has another centre, and is left out.
    several.append(Person('q', pyramid, torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3])))
    expected = shape - torch.tensor([0.0, 0.0, 2.0]) + 128
    torch.testing.assert_close(mean_shape(several), expected)


def test_a_shape_needs_every_target() -> None:
    points = torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3])
    with pytest.raises(ValueError, match='no point in any person'):
        mean_shape([Person('p', (torch.zeros(2, 2, 2),), points)])
