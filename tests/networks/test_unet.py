from __future__ import annotations

import pytest
import torch

from tmsprep.networks.settings import UNetSettings
from tmsprep.networks.unet import BrainUNet, fold, unfold


@pytest.mark.parametrize('block', [1, 2, 4])
def test_fold_round_trip(block: int) -> None:
    volume = torch.randn(2, 8, 12, 16)
    channels = fold(volume, block)
    assert channels.shape == (2, block**3, 8 // block, 12 // block, 16 // block)
    torch.testing.assert_close(unfold(channels, block), volume, rtol=0, atol=0)


def test_fold_by_hand() -> None:
    volume = torch.arange(4**3.0).reshape(1, 4, 4, 4)
    # The block of voxels 2-3, 0-1, 2-3 holds 16 x + 4 y + z.
    expected = torch.tensor([34.0, 35, 38, 39, 50, 51, 54, 55])
    torch.testing.assert_close(fold(volume, 2)[0, :, 1, 0, 1], expected)


@pytest.mark.parametrize('block', [1, 2])
def test_output_shape(block: int) -> None:
    network = BrainUNet(UNetSettings(features=(8, 16, 8), block=block)).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 16, 24, 32)).shape == (2, 16, 24, 32)


def test_intensity_scale() -> None:
    torch.manual_seed(0)
    network = BrainUNet(UNetSettings(features=(8, 8))).eval()
    volume = torch.randn(1, 8, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network(volume), network(1000 * volume + 50), atol=1e-4, rtol=0)


def test_settings_round_trip() -> None:
    settings = UNetSettings(features=(8, 16), block=1)
    assert UNetSettings(**settings.as_dict()) == settings
