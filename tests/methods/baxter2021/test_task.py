from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.imaging.volume import average_pyramid
from tmsprep.learning.loop import Trained, fit
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.loss import multi_resolution_loss
from tmsprep.methods.baxter2021.network import (
    NetworkSettings,
    pyramid_sampler,
)
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.methods.baxter2021.recipes import BAXTER2021, RECIPES, Recipe, recipe_named
from tmsprep.methods.baxter2021.task import (
    Images,
    MultiResolutionTask,
    bfloat16_is_fast,
    choose,
    rate_of,
)
from tmsprep.methods.baxter2021.validation import errors_of, mean_shape
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


def make_image(seed: int) -> PreparedImage:
    """Image of smooth random voxels; levels may be coarser than they claim to be."""
    generator = np.random.default_rng(seed)
    volume = generator.random((32, 32, 32), dtype=np.float32)
    pyramid = tuple(torch.from_numpy(v) for v in average_pyramid(volume, 3))
    points = torch.from_numpy(generator.uniform(90, 160, (2, 3)).astype(np.float32))
    return PreparedImage(f'p{seed}', pyramid, points)


@pytest.fixture(scope='module')
def images() -> list[PreparedImage]:
    return [make_image(seed) for seed in range(5)]


def make_task(
    images: Sequence[PreparedImage], recipe: Recipe = RECIPE, seed: int = 1, **more: object
) -> MultiResolutionTask:
    return MultiResolutionTask(Images(images), SETTINGS, recipe, PROTOCOL, seed, **more)


def train(images: Sequence[PreparedImage], recipe: Recipe = RECIPE, seed: int = 1) -> Trained:
    return fit(make_task(images, recipe, seed))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_reproducible(images: list[PreparedImage]) -> None:
    first = train(images).network
    assert same(first, train(images).network)
    assert not same(first, train(images, seed=2).network)


@pytest.mark.parametrize('optimiser', ['adamw', 'sgd'])
def test_resume(tmp_path: Path, images: list[PreparedImage], optimiser: str) -> None:
    recipe = replace(RECIPE, optimiser=optimiser)
    unbroken = train(images, recipe)

    def stop(row: dict) -> None:
        if row['step'] == 4:
            raise KeyboardInterrupt

    checkpoint = tmp_path / 'run.pt'
    with pytest.raises(KeyboardInterrupt):
        fit(make_task(images, recipe), 'id', checkpoint, stop)
    # Global random numbers play no part after the start.
    torch.manual_seed(12345)
    rows: list[dict] = []
    resumed = fit(make_task(images, recipe), 'id', checkpoint, rows.append)
    assert [row['step'] for row in rows] == [5, 6]
    assert same(resumed.network, unbroken.network)
    assert str(resumed.log) == str(unbroken.log)


def test_averaging(images: list[PreparedImage]) -> None:
    averaged, last = train(images), train(images, replace(RECIPE, averaging=0.0))
    assert not same(averaged.network, last.network)
    assert not last.network.training


@pytest.mark.parametrize(('count', 'batch'), [(7, 3), (5, 5), (3, 8), (10, 4), (1, 2)])
def test_choose(count: int, batch: int) -> None:
    steps = count * 4
    order = [i for step in range(steps) for i in choose(count, batch, seed=3, step=step)]
    assert len(order) == steps * batch
    passes = [order[i : i + count] for i in range(0, len(order), count)]
    assert all(sorted(p) == list(range(count)) for p in passes)
    if count > 4:
        assert len({tuple(p) for p in passes}) > 1


def test_rates() -> None:
    # The paper: 1e-3 / (1 + 0.1 i); with 32 people and batches of 16 step 20 is pass 10.
    assert rate_of(BAXTER2021, 0, 32) == 1e-3
    assert rate_of(BAXTER2021, 20, 32) == pytest.approx(1e-3 / 2)
    # Half of the cosine is left at half of the steps, nothing at the end.
    recipe = recipe_named('default', steps=1000, learning_rate=2e-3)
    assert rate_of(recipe, 0, 32) == pytest.approx(2e-5)
    assert rate_of(recipe, 500, 32) == pytest.approx(1e-3)
    assert rate_of(recipe, 1000, 32) == pytest.approx(0, abs=1e-12)


def test_paper_recipe() -> None:
    assert (BAXTER2021.optimiser, BAXTER2021.batch, BAXTER2021.learning_rate) == ('sgd', 16, 1e-3)
    assert BAXTER2021.alpha == 8.0
    assert BAXTER2021.augmentation == Augmentation(rotation=10.0, translation=10.0)
    assert recipe_named('baxter2021') is not None
    assert sorted(RECIPES) == ['baxter2021', 'crossval', 'default', 'quick']
    with pytest.raises(KeyError):
        recipe_named('none')


def test_unknown_optimiser() -> None:
    with pytest.raises(ValueError, match="'sgd' or 'adamw'"):
        make_task([make_image(1)], replace(RECIPE, optimiser='lbfgs'))


def blob_image() -> PreparedImage:
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
    return PreparedImage('blobs', pyramid, torch.from_numpy(points))


def test_overfit() -> None:
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
    image = blob_image()
    network = fit(MultiResolutionTask(Images([image]), settings, recipe, PROTOCOL, 1)).network
    with torch.inference_mode():
        found = locate(network, pyramid_sampler(image.pyramid, SETTINGS.extent))
    assert (found - image.points).norm(dim=-1).max() < 1.0


@pytest.mark.parametrize('residual', ['shared', 'separate', 'none'])
def test_gradient_by_level(images: list[PreparedImage], residual: str) -> None:
    settings = replace(SETTINGS, residual=residual)
    lacking = images[1].points.clone()
    lacking[0] = torch.nan
    some = [images[0], replace(images[1], points=lacking)]
    recipe = replace(RECIPE, augmentation=Augmentation(mirror=0.5))
    task = MultiResolutionTask(Images(some), settings, recipe, PROTOCOL, 3)
    (network,) = task.networks
    total = task.backward(network, 0)
    by_level = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    # All levels at once, as written in the paper.
    samplers, truth, jitter = task.draw(0)
    loss = multi_resolution_loss(
        network(samplers, jitter),
        truth,
        torch.tensor(settings.resolutions),
        torch.tensor(settings.crops, dtype=torch.float32),
    )
    loss.backward()
    assert total == pytest.approx(loss.item(), rel=1e-5)
    for parameter, gradient in zip(network.parameters(), by_level, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_start(images: list[PreparedImage]) -> None:
    start = train(images).network
    untouched = replace(RECIPE, learning_rate=0.0, steps=1, averaging=0.0)
    assert same(fit(make_task(images, untouched, 9, start=start)).network, start)


def test_diverged(images: list[PreparedImage]) -> None:
    wild = replace(RECIPE, optimiser='sgd', learning_rate=1e30, averaging=0.0)
    with pytest.raises(FloatingPointError, match='diverged'):
        train(images, wild)


def test_missing_point(images: list[PreparedImage]) -> None:
    # An image without any point must not make weights NaN.
    blank = replace(images[0], points=torch.full((2, 3), torch.nan))
    trained = train([images[1], blank], replace(RECIPE, batch=2))
    assert all(values.isfinite().all() for values in trained.network.parameters())


def test_validation(images: list[PreparedImage]) -> None:
    # A row in a hundred, of which every fifth validates, and the last one.
    recipe = replace(RECIPE, steps=7)
    task = MultiResolutionTask(Images(images[:3], images[3:]), SETTINGS, recipe, PROTOCOL, 1)
    log = fit(task).log
    assert [row['step'] for row in log if np.isfinite(row['validation'])] == [5, 7]


def test_errors_by_hand() -> None:
    truth = replace(make_image(1), points=torch.tensor([[0.0, 0, 0], [1, 1, 1], [np.nan] * 3]))
    members = np.array([[[3.0, 4, 0], [1, 1, 1], [0, 0, 0]], [[3, 4, 0], [1, 1, 3], [0, 0, 0]]])
    np.testing.assert_allclose(errors_of(members[None], [truth]), [[5.0, 1.0, np.nan]])


@pytest.mark.parametrize(
    ('flags', 'fast'), [('fpu avx512_bf16', True), ('amx_bf16', True), ('avx512f', False)]
)
def test_bfloat16(tmp_path: Path, flags: str, fast: bool) -> None:
    (tmp_path / 'cpuinfo').write_text(f'flags : {flags}\n')
    assert bfloat16_is_fast('cpu', tmp_path / 'cpuinfo') is fast
    assert not bfloat16_is_fast('cpu', tmp_path / 'absent')


def test_mean_shape() -> None:
    shape = torch.tensor([[10.0, 0.0, 0.0], [-10.0, 0.0, 4.0]])
    pyramid = (torch.zeros(2, 2, 2),)
    shifts = [torch.tensor([100.0, 90.0, 80.0]), torch.tensor([150.0, 120.0, 140.0])]
    several = [PreparedImage('p', pyramid, shape + shift) for shift in shifts]
    # An image that lacks a target has another centre, and is left out.
    several.append(PreparedImage('q', pyramid, torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3])))
    expected = shape - torch.tensor([0.0, 0.0, 2.0]) + 128
    torch.testing.assert_close(mean_shape(several), expected)


def test_shape_missing_target() -> None:
    points = torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3])
    with pytest.raises(ValueError, match='no point in any image'):
        mean_shape([PreparedImage('p', (torch.zeros(2, 2, 2),), points)])


def test_forcing(images: list[PreparedImage]) -> None:
    truth = torch.full((50, 2, 3), 100.0)
    truth[:, 1] = math.nan
    estimate = torch.zeros_like(truth)
    task = make_task(images, replace(RECIPE, forcing=0.7))
    starts = [task.start_of(step, 1, truth, estimate) for step in range(20)]
    found = torch.stack([start for start in starts if start is not None])
    # What is missing cannot be drawn around; of the rest 70 % are, 1.2 voxels of the level away.
    assert not found[:, :, 1].any()
    forced = found[:, :, 0][(found[:, :, 0] != 0).any(dim=-1)]
    assert len(forced) / 1000 == pytest.approx(0.7, abs=0.05)
    sd = 1.2 * SETTINGS.resolutions[1]
    assert forced.mean().item() == pytest.approx(100, abs=0.1 * sd)
    assert forced.std().item() == pytest.approx(sd, rel=0.05)
    assert torch.equal(starts[3], task.start_of(3, 1, truth, estimate))
    # The first level sees the whole volume; without forcing, all look where they are pointed.
    assert task.start_of(0, 0, truth, None) is None
    assert make_task(images).start_of(0, 1, truth, estimate) is estimate
