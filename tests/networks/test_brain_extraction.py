from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tmsprep.networks.archive import WeightsError
from tmsprep.networks.brain_extraction import (
    BrainExtractionError,
    extract_brain,
    largest_component,
    load_brain_unet,
    save_brain_unet,
)
from tmsprep.networks.settings import UNetSettings
from tmsprep.networks.unet import BrainUNet


def decided(log_odds: float) -> BrainUNet:
    """Network that says the same of every voxel."""
    network = BrainUNet(UNetSettings(features=(8,), block=4))
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, log_odds)
    return network.eval()


def conformed(size: int) -> nib.Nifti1Image:
    data = np.random.default_rng(0).random((size,) * 3, dtype=np.float32)
    affine = np.diag([-1.0, -1, 1, 1])
    affine[:3, 3] = [10, 20, -30]
    return nib.Nifti1Image(data, affine)


def test_largest_component() -> None:
    mask = np.zeros((12, 12, 12), bool)
    mask[1:6, 1:6, 1:6] = True
    whole = mask.copy()
    mask[3, 3, 3] = False  # a hole inside
    mask[8:11, 8:11, 8:11] = True  # a smaller part
    mask[6, 6, 6] = True  # touches the larger one at a corner only
    np.testing.assert_array_equal(largest_component(mask), whole)


def test_empty_mask() -> None:
    assert not largest_component(np.zeros((3, 3, 3), bool)).any()


@pytest.mark.parametrize(('log_odds', 'volume'), [(-5.0, '0'), (5.0, '2986')])
def test_implausible_volume(log_odds: float, volume: str) -> None:
    # 144 mm cubed are 2986 mL.
    with pytest.raises(BrainExtractionError, match=f'measures {volume} mL.*--derivatives'):
        extract_brain(conformed(144), decided(log_odds))


def test_grid_of_mask() -> None:
    image = conformed(96)  # 885 mL, and all of it brain
    mask = extract_brain(image, decided(5.0))
    assert mask.get_data_dtype() == np.uint8
    assert mask.shape == image.shape
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert np.asarray(mask.dataobj).all()


def test_weights_round_trip(tmp_path: Path) -> None:
    network = decided(1.5)
    again = load_brain_unet(save_brain_unet(tmp_path / 'b.safetensors', network, {'name': 'x'}))
    assert again.settings == network.settings
    assert not again.training
    torch.testing.assert_close(again.head.bias, network.head.bias)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r'none\.safetensors'):
        load_brain_unet(tmp_path / 'none.safetensors')
