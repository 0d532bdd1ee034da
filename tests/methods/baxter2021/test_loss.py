from __future__ import annotations

import math

import pytest
import torch

from tmsprep.methods.baxter2021.loss import level_weight, multi_resolution_loss

NAN = math.nan
# Two levels: 2 mm with 16 voxels (log2 f = 4) and 1 mm with 4 voxels (log2 f = 2).
RESOLUTION = torch.tensor([2.0, 1.0])
FIELD_OF_VIEW = torch.tensor([16.0, 4.0])
# Errors of 4 mm and 2 mm, both twice the resolution: log2 e - log2 r - 1 = 0, so w = 1/2.
ESTIMATES = torch.tensor([[[[4.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]]])
TRUTH = torch.zeros(1, 1, 3)


@pytest.mark.parametrize(
    ('error', 'resolution', 'width', 'exponent'),
    [
        (4.0, 2.0, 16.0, 0.0),  # -8 (2 - 1 - 1) / 4
        (8.0, 2.0, 16.0, -2.0),  # -8 (3 - 1 - 1) / 4
        (2.0, 2.0, 16.0, 2.0),  # -8 (1 - 1 - 1) / 4
        (1.0, 1.0, 4.0, 4.0),  # -8 (0 - 0 - 1) / 2
        (64.0, 32.0, 8.0, 0.0),  # -8 (6 - 5 - 1) / 3
    ],
)
def test_equation_2_weight_by_hand(
    error: float, resolution: float, width: float, exponent: float
) -> None:
    weight = level_weight(*(torch.tensor(v) for v in (error, resolution, width)), alpha=8.0)
    assert weight.item() == pytest.approx(1 / (1 + math.exp(-exponent)), abs=1e-6)


def test_a_perfect_level_has_weight_one() -> None:
    weight = level_weight(torch.tensor(0.0), torch.tensor(2.0), torch.tensor(16.0))
    assert weight.item() == 1.0


def test_equation_2_loss_by_hand() -> None:
    # 1/2 * 4^2 / 2^2 + 1/2 * 2^2 / 1^2 = 2 + 2
    loss = multi_resolution_loss(ESTIMATES, TRUTH, RESOLUTION, FIELD_OF_VIEW)
    assert loss.item() == pytest.approx(4.0)


def test_people_and_targets_are_averaged() -> None:
    # A second person without error: (4 + 0) / 2.
    estimates = torch.cat([ESTIMATES, torch.zeros_like(ESTIMATES)])
    loss = multi_resolution_loss(estimates, TRUTH.repeat(2, 1, 1), RESOLUTION, FIELD_OF_VIEW)
    assert loss.item() == pytest.approx(2.0)


def test_weight_is_detached() -> None:
    # With a constant weight the slope is 2 w e / r^2: 2 * 1/2 * 4 / 4 = 1 and 2 * 1/2 * 2 = 2.
    # A weight that moved with the error would add to both.
    estimates = ESTIMATES.clone().requires_grad_()
    multi_resolution_loss(estimates, TRUTH, RESOLUTION, FIELD_OF_VIEW).backward()
    expected = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]]])
    torch.testing.assert_close(estimates.grad, expected)
    error = torch.tensor(4.0, requires_grad=True)
    assert not level_weight(error, torch.tensor(2.0), torch.tensor(16.0)).requires_grad


def test_missing_reference() -> None:
    estimates = torch.cat([ESTIMATES, torch.full_like(ESTIMATES, 50.0)], dim=2).requires_grad_()
    truth = torch.tensor([[[0.0, 0.0, 0.0], [NAN, NAN, NAN]]])
    loss = multi_resolution_loss(estimates, truth, RESOLUTION, FIELD_OF_VIEW)
    loss.backward()
    assert loss.item() == pytest.approx(4.0)
    assert torch.isfinite(estimates.grad).all()
    assert (estimates.grad[:, :, 1] == 0).all()
    assert (estimates.grad[:, :, 0].abs().sum(dim=-1) > 0).all()


def test_zero_loss_has_finite_gradient() -> None:
    for truth in (torch.full((1, 1, 3), NAN), TRUTH):
        estimates = torch.zeros_like(ESTIMATES).requires_grad_()
        loss = multi_resolution_loss(estimates, truth, RESOLUTION, FIELD_OF_VIEW)
        loss.backward()
        assert loss.item() == 0.0
        assert (estimates.grad == 0).all()
