from __future__ import annotations

import pytest
import torch

from tmsprep.methods.duennwald2021.networks import PatchUNet, PatchUNetSettings


@pytest.mark.parametrize('block', [1, 2])
@pytest.mark.parametrize('shape', [(16, 16, 16), (7, 10, 9)])
def test_one_map_per_label_and_voxel(block: int, shape: tuple[int, int, int]) -> None:
    network = PatchUNet(PatchUNetSettings(features=(8, 8), block=block)).eval()
    with torch.no_grad():
        assert network(torch.randn(2, *shape)).shape == (2, 3, *shape)


def test_people_of_a_batch_do_not_meet() -> None:
    torch.manual_seed(0)
    network = PatchUNet(PatchUNetSettings(features=(8, 16), block=2)).eval()
    patches = torch.randn(3, 8, 8, 8)
    with torch.no_grad():
        together = network(patches)
        alone = torch.cat([network(patch[None]) for patch in patches])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_settings_survive_json() -> None:
    settings = PatchUNetSettings(features=(8, 16), block=2, patch=(24, 24, 32))
    again = PatchUNetSettings(**settings.as_dict())
    assert again == settings
    assert again.patch == (24, 24, 32)
