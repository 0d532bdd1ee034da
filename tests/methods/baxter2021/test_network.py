from __future__ import annotations

import pytest
import torch

from tmsprep.imaging.volume import average_pyramid
from tmsprep.methods.baxter2021.network import (
    MultiResolutionNet,
    NetworkSettings,
    ResidualLayers,
    pyramid_sampler,
)

EXTENT = 64
SMALL = {'kernels': 3, 'channels': 2, 'hidden': 5, 'residual_layers': 2, 'residual_width': 4}


def network(residual: str, crops: tuple[int, ...] = (6, 6, 6), targets: int = 2, **changes: int):
    torch.manual_seed(3)
    settings = NetworkSettings(
        targets, extent=EXTENT, crops=crops, residual=residual, **{**SMALL, **changes}
    )
    return MultiResolutionNet(settings)


def sampler(volume: torch.Tensor, levels: int = 3):
    pyramid = [torch.from_numpy(v) for v in average_pyramid(volume.numpy(), levels)]
    return pyramid_sampler(pyramid, EXTENT)


def head(seed: int = 0) -> torch.Tensor:
    """Random voxels in the middle of an empty volume, shape (64, 64, 64)."""
    volume = torch.zeros((EXTENT,) * 3)
    inside = slice(20, 44)
    generator = torch.Generator().manual_seed(seed)
    volume[inside, inside, inside] = torch.rand(24, 24, 24, generator=generator)
    return volume


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ('residual', 'copies', 'expected'),
    [('none', 0, 2254), ('shared', 1, 2370), ('separate', 2, 2486)],
)
def test_parameters_by_hand(residual: str, copies: int, expected: int) -> None:
    # A level, with 3 kernels, 2 targets, 2 channels and 5 hidden units, apart from its first
    # linear layer: convolutions 1*3*125+3 = 378, 3*3*27+3 = 246, 246; scale and shift 3*2*3 = 18
    # each; maps 2*2*3 = 12; weights 2*2*5 = 20; bias 2*2 = 4. Sum 942.
    # The first linear layer sees n^3 voxels: 8*5+5 = 45 and 64*5+5 = 325.
    # Two levels: 2*942 + 45 + 325 = 2254.
    # A residual layer on 2*3 coordinates, 4 wide: 6*4+4 + 4*6+6 = 58; two of them 116 per copy.
    net = network(residual, crops=(2, 4))
    assert len(net.residuals) == copies
    assert parameters(net) == expected == 2254 + 116 * copies


def test_the_papers_levels() -> None:
    settings = NetworkSettings(11)
    assert settings.resolutions == (32.0, 16.0, 8.0, 4.0, 2.0, 1.0)
    assert settings.crops[0] * settings.resolutions[0] == settings.extent
    assert settings.residual == 'shared'
    assert settings.residual_layers == 20
    assert NetworkSettings(**settings.as_dict()) == settings


def test_unknown_residual_is_refused() -> None:
    with pytest.raises(ValueError, match="'shared', 'separate' or 'none'"):
        NetworkSettings(2, residual='some')


def test_residual_identity_at_start() -> None:
    layers = ResidualLayers(NetworkSettings(11))
    assert len(layers.layers) == 20
    points = 200 * torch.rand(3, 11, 3)
    torch.testing.assert_close(layers(points), points)


def test_residual_layers_follow_the_head() -> None:
    layers = ResidualLayers(NetworkSettings(4, **SMALL))
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    points, shift = 100 * torch.rand(1, 4, 3), torch.tensor([7.0, -30.0, 11.0])
    assert not torch.allclose(layers(points), points)
    torch.testing.assert_close(layers(points + shift), layers(points) + shift)


@pytest.mark.parametrize('residual', ['none', 'separate'])
def test_gradient_stops_at_the_crop(residual: str) -> None:
    net = network(residual)
    net([sampler(head())])[:, -1].square().sum().backward()
    for coarse in [*net.levels[:-1], *net.residuals[:-1]]:
        assert all(p.grad is None or not p.grad.any() for p in coarse.parameters())
    assert net.levels[-1].maps.grad.any()
    assert net.levels[-1].flattened.weight.grad.any()


def test_gradient_per_level() -> None:
    net = network('none')
    net([sampler(head())])[:, 0].square().sum().backward()
    assert net.levels[0].maps.grad.any()
    assert not net.levels[1].maps.grad.any()


@pytest.mark.parametrize('shift', [(4, 0, 0), (0, -8, 4), (12, 8, -4)])
def test_translation_equivariance(shift: tuple[int, int, int]) -> None:
    # The first crop stands still in the volume, so it is moved by hand; all others follow.
    net = network('none', crops=(8, 6, 5))
    volume = head()
    moved = torch.roll(volume, shift, dims=(0, 1, 2))
    step = torch.tensor(shift, dtype=torch.float32)
    jitter = [step.expand(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)]
    with torch.no_grad():
        before, after = net([sampler(volume)]), net([sampler(moved)], jitter)
    assert before.shape == (1, 3, 2, 3)
    torch.testing.assert_close(after, before + step, rtol=0, atol=1e-3)


def test_uniform_heatmap() -> None:
    net = network('shared')
    for level in net.levels:
        torch.nn.init.zeros_(level.maps)
    with torch.no_grad():
        estimates = net([sampler(head())])
    torch.testing.assert_close(estimates, torch.full_like(estimates, EXTENT / 2))


def test_people_do_not_mix() -> None:
    net = network('shared')
    one, other = sampler(head(1)), sampler(head(2))
    with torch.no_grad():
        both = net([one, other])
        torch.testing.assert_close(both[:1], net([one]), rtol=0, atol=1e-4)
        torch.testing.assert_close(both[1:], net([other]), rtol=0, atol=1e-4)


def test_gain_of_the_scanner_does_not_matter() -> None:
    net = network('none')
    volume = 100 * head()
    with torch.no_grad():
        once, twice = net([sampler(volume)]), net([sampler(2 * volume)])
    torch.testing.assert_close(once, twice, rtol=0, atol=1e-2)
