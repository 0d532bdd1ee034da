from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tmsprep.learning.kept import load_checked
from tmsprep.learning.loop import Schedule, Task, Trained, cosine_rate, fit, rounded

SGD = Schedule(4, 1, lambda p: torch.optim.SGD(p, lr=1.0), lambda step: 0.25)


class Shrinking(Task):
    """Half the square of each weight: a step of rate r multiplies it by 1 - r."""

    def __init__(
        self,
        schedule: Schedule = SGD,
        starts: Sequence[float] = (8.0,),
        measured: Callable[[float], float] | None = None,
    ) -> None:
        self.schedule, self.networks = schedule, []
        self.measured = measured
        for start in starts:
            network = nn.Linear(1, 1, bias=False)
            nn.init.constant_(network.weight, start)
            self.networks.append(network)

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        return 0.5 * network.weight.square().sum()

    def validate(self, network: nn.Module) -> float:
        return math.nan if self.measured is None else self.measured(network.weight.item())


def weight(trained: Trained) -> float:
    return trained.network.weight.item()


def test_steps_by_hand() -> None:
    trained = fit(Shrinking())
    assert weight(trained) == pytest.approx(8 * 0.75**4)
    assert [row['loss'] for row in trained.log] == pytest.approx(
        [0.5 * (8 * 0.75**i) ** 2 for i in range(4)]
    )
    assert [row['step'] for row in trained.log] == [1, 2, 3, 4]
    assert trained.best == 4
    assert not trained.network.training


def test_rounds() -> None:
    # Two steps each, and one in the last; the loss is their mean.
    schedule = replace(SGD, steps=5, steps_per_round=2)
    log = fit(Shrinking(schedule)).log
    assert [row['step'] for row in log] == [2, 4, 5]
    assert log[0]['loss'] == pytest.approx((32 + 18) / 2)
    log = fit(Shrinking(replace(schedule, unit='epoch'))).log
    assert [row['epoch'] for row in log] == [1, 2, 3]


def test_rate() -> None:
    schedule = replace(SGD, steps=2, rate=lambda step: [0.5, 0.25][step])
    assert weight(fit(Shrinking(schedule))) == pytest.approx(8 * 0.5 * 0.75)


def test_clip() -> None:
    # The gradient, 8, is cut to 1.
    assert weight(fit(Shrinking(replace(SGD, steps=1, clip=1.0)))) == pytest.approx(7.75)


def test_average() -> None:
    # The mean begins with the first weights after a step: 6, then half of 6 and 4.5.
    schedule = replace(SGD, steps=2, keep='average', averaging=0.5)
    assert weight(fit(Shrinking(schedule))) == pytest.approx(5.25)


def test_best() -> None:
    # 6, 4.5, 3.375, 2.53: the second is nearest to 4.
    schedule = replace(SGD, keep='best')
    trained = fit(Shrinking(schedule, measured=lambda w: abs(w - 4)))
    assert (trained.best, weight(trained)) == (2, 4.5)
    assert trained.kept['validation'] == 0.5
    # Without a validation set the last is kept.
    assert fit(Shrinking(schedule)).best == 4


def test_validate_every() -> None:
    schedule = replace(SGD, steps=5, validate_every=2)
    log = fit(Shrinking(schedule, measured=lambda w: 1.0)).log
    assert [math.isnan(row['validation']) for row in log] == [True, False, True, False, False]


def test_rivals() -> None:
    told: list[dict] = []
    task = Shrinking(replace(SGD, trial_rounds=2), starts=(3.0, 0.5, 2.0))
    trained = fit(task, report=told.append)
    assert trained.log[0]['loss'] == 0.125
    assert weight(trained) == pytest.approx(0.5 * 0.75**4)
    assert [row['step'] for row in told] == [1, 2, 3, 4]
    # The first rival was left after its trial.
    assert task.networks[0].weight.item() == pytest.approx(3 * 0.75**2)


ADAM = replace(
    SGD, optimiser=torch.optim.Adam, steps=6, steps_per_round=2, rate=cosine_rate(0.1, 6)
)


@pytest.mark.parametrize(
    'changes', [{}, {'keep': 'best'}, {'keep': 'average', 'averaging': 0.9}, {'trial_rounds': 1}]
)
def test_resume(tmp_path: Path, changes: dict[str, Any]) -> None:
    def task() -> Shrinking:
        starts = (1.0, 2.0) if 'trial_rounds' in changes else (1.0,)
        return Shrinking(replace(ADAM, **changes), starts, lambda w: abs(w - 0.8))

    unbroken = fit(task(), 'id')

    def stop(row: dict) -> None:
        if row['step'] == 4:
            raise KeyboardInterrupt

    path = tmp_path / 'run.pt'
    with pytest.raises(KeyboardInterrupt):
        fit(task(), 'id', path, stop)
    assert [p.name for p in tmp_path.iterdir()] == ['run.pt']
    told: list[dict] = []
    resumed = fit(task(), 'id', path, told.append)
    assert [row['step'] for row in told] == [6]
    assert (resumed.log, resumed.best) == (unbroken.log, unbroken.best)
    assert weight(resumed) == weight(unbroken)
    # A finished training is not repeated.
    assert weight(fit(task(), 'id', path, told.append)) == weight(unbroken)
    assert len(told) == 1


def test_foreign_checkpoint(tmp_path: Path) -> None:
    fit(Shrinking(), 'one', tmp_path / 'run.pt')
    with pytest.raises(ValueError, match=r'run\.pt belongs to another training'):
        fit(Shrinking(), 'two', tmp_path / 'run.pt')


@pytest.mark.parametrize('damage', ['cut', 'zeros', 'flipped', 'empty', 'text', 'of_torch'])
def test_damaged_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """It is named and replaced, and the training gives what an uninterrupted one does."""
    monkeypatch.setattr(logging.getLogger('tmsprep'), 'propagate', True)
    path, task = tmp_path / 'run.pt', Shrinking
    unbroken = weight(fit(task(), 'one', path))
    content = path.read_bytes()
    state = load_checked(path)
    if damage == 'of_torch':
        torch.save(state, path)
    else:
        # A bit of the weight itself, which Torch would not notice.
        flipped = content.index(state['network']['weight'].numpy().tobytes())
        path.write_bytes(
            {
                'cut': content[: len(content) // 2],
                'zeros': bytes(len(content)),
                'flipped': content[:flipped]
                + bytes([content[flipped] ^ 1])
                + content[flipped + 1 :],
                'empty': b'',
                'text': b'half',
            }[damage]
        )
    told: list[dict] = []
    assert weight(fit(task(), 'one', path, told.append)) == unbroken
    assert [row['step'] for row in told] == [1, 2, 3, 4]
    (message,) = {record.getMessage() for record in caplog.records}
    assert message.startswith(f'{path}: damaged')
    assert load_checked(path)['step'] == 4


def test_diverged() -> None:
    wild = replace(SGD, steps=400, rate=lambda step: 1e30)
    with pytest.raises(FloatingPointError, match='the training diverged'):
        fit(Shrinking(wild))


@pytest.mark.parametrize(
    ('changes', 'message'), [({'steps': 0}, 'at least 1'), ({'keep': 'first'}, 'keep must be')]
)
def test_bad_schedule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SGD, **changes)


def test_cosine_rate() -> None:
    rate = cosine_rate(2.0, 100)
    assert rate(0) == pytest.approx(0.04)
    assert rate(50) == pytest.approx(1.0)
    assert rate(100) == pytest.approx(0, abs=1e-12)


def test_rounded() -> None:
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 1 + 2**-12)
    assert rounded(network).weight.item() == 1.0
    # The largest number of half precision is 65504.
    nn.init.constant_(network.weight, 70_000)
    with pytest.raises(FloatingPointError, match='too large for the weights file'):
        rounded(network)


def test_not_finite() -> None:
    """Weights, and what else a network keeps, are looked at once more when the training ends."""
    for name in ('weight', 'running_mean'):
        task = Shrinking(replace(SGD, steps=1))
        network = nn.BatchNorm1d(1)
        task.networks = [network]
        getattr(network, name).data.fill_(math.nan)
        task.loss = lambda network, step: network.bias.square().sum()
        with pytest.raises(FloatingPointError, match='its weights are not finite'):
            fit(task)
