from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.network import MultiResolutionNet, Sampler
from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.networks.crops import crop_positions

# A left and a right point, and one on the left without a partner; mm from the corner.
POINTS = torch.tensor([[170.0, 110.0, 150.0], [90.0, 112.0, 148.0], [165.0, 150.0, 105.0]])
MIRROR = (1, 0, None)
WEIGHTS = torch.tensor([1.0, 1.0, 3.0])


def rotation(angles: Sequence[float]) -> torch.Tensor:
    x, y, z = angles
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(cross)


class CentresOfMass(MultiResolutionNet):
    """Finds points as the centre of mass around where it starts; errs by 3 mm to the left."""

    bias = torch.tensor([3.0, 0.0, 0.0])

    def __init__(self) -> None:
        super().__init__(NetworkSettings(3, kernels=1, channels=1, hidden=1, residual='none'))
        self.starts: list[torch.Tensor] = []

    def forward(
        self,
        samplers: Sequence[Sampler],
        jitter: None = None,
        start: torch.Tensor | None = None,
        levels: slice = slice(None),
    ) -> torch.Tensor:
        """Like that of `MultiResolutionNet`; the coarse levels know where the points lie."""
        if start is None:
            start = self.coarse[None]
            found = start
        else:
            self.starts.append(start)
            positions = crop_positions(start, 1.0, 41)
            mass = torch.stack([s(0, p) for s, p in zip(samplers, positions, strict=True)])
            weighted = (mass[..., None] * positions).sum(dim=(2, 3, 4))
            found = weighted / mass.sum(dim=(2, 3, 4))[..., None] + self.bias
        return found[:, None].expand(-1, 6, -1, -1)


def blobs(points: torch.Tensor) -> Sampler:
    """Image with a smooth blob at each point."""

    def sampler(level: int, positions: torch.Tensor) -> torch.Tensor:
        distance = (positions[..., None, :] - points).square().sum(dim=-1)
        return (WEIGHTS * torch.exp(-distance / 50)).sum(dim=-1)

    return sampler


@pytest.fixture
def moved() -> tuple[torch.Tensor, torch.Tensor]:
    """Rotation with scale of a head, and where its points come to lie."""
    matrix = (1.1 * rotation([0.3, -0.2, 0.4])).float()
    middle = torch.full((3,), 128.0)
    return matrix, (POINTS - middle) @ matrix.T + middle + torch.tensor([20.0, -15.0, 10.0])


def test_second_pass_pose(
    moved: tuple[torch.Tensor, torch.Tensor],
) -> None:
    matrix, points = moved
    network = CentresOfMass()
    network.coarse = points
    found = locate(network, blobs(points), shape=POINTS)
    torch.testing.assert_close(network.starts[0][0], POINTS, rtol=0, atol=1e-3)
    # The bias to the left is one of the upright head.
    expected = points + network.bias @ matrix.T
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_a_mirror_cancels_a_bias_to_one_side(moved: tuple[torch.Tensor, torch.Tensor]) -> None:
    matrix, points = moved
    network = CentresOfMass()
    network.coarse = points
    found = locate(network, blobs(points), shape=POINTS, mirror=MIRROR)
    expected = points.clone()
    # What has no partner is looked at once, and keeps its bias.
    expected[2] += network.bias @ matrix.T
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_unpaired_target_keeps_side(
    moved: tuple[torch.Tensor, torch.Tensor],
) -> None:
    network = CentresOfMass()
    network.coarse = moved[1]
    locate(network, blobs(moved[1]), shape=POINTS, mirror=MIRROR)
    direct, reflected = network.starts[0]
    torch.testing.assert_close(direct[2], reflected[2])
    # The midline lies at x = 130.
    torch.testing.assert_close(reflected[0], direct[1] * torch.tensor([-1.0, 1, 1]) + 260 * _X)


_X = torch.tensor([1.0, 0.0, 0.0])


def test_single_pass_without_shape() -> None:
    torch.manual_seed(1)
    settings = NetworkSettings(
        3, crops=(8, 4, 4), kernels=2, channels=2, hidden=3, residual='none'
    )
    network = MultiResolutionNet(settings).eval()
    with torch.inference_mode():
        found = locate(network, blobs(POINTS), mirror=MIRROR)
        assert torch.equal(found, network([blobs(POINTS)])[0, -1])


def test_finest_levels_averaged() -> None:
    torch.manual_seed(1)
    settings = NetworkSettings(
        3, crops=(8, 4, 4), kernels=2, channels=2, hidden=3, residual='none', readout=2
    )
    network = MultiResolutionNet(settings).eval()
    with torch.inference_mode():
        levels = network([blobs(POINTS)])[0]
        torch.testing.assert_close(locate(network, blobs(POINTS)), (levels[1] + levels[2]) / 2)


@pytest.mark.parametrize('readout', [0, 7])
def test_a_readout_needs_levels(readout: int) -> None:
    with pytest.raises(ValueError, match='readout must be a whole number from 1 to 6'):
        NetworkSettings(3, readout=readout)
