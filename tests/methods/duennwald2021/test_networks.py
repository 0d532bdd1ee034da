from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.files import file_sha256
from tmsprep.methods.duennwald2021.locate import locate_volume
from tmsprep.methods.duennwald2021.networks import (
    CoeruleusModel,
    CoReUNet,
    CoReUNetSettings,
    PatchUNet,
    PatchUNetSettings,
    load_coeruleus,
    save_coeruleus,
)
from tmsprep.networks.archive import WeightsError
from tmsprep.networks.brain_extraction import save_brain_unet
from tmsprep.networks.settings import UNetSettings
from tmsprep.networks.unet import BrainUNet, pad_to_multiple

TINY = {'features': (8, 8, 8)}


def network(block: int = 1) -> CoReUNet:
    torch.manual_seed(0)
    return CoReUNet(CoReUNetSettings(**TINY, block=block)).eval()


@pytest.mark.parametrize('block', [1, 2])
@pytest.mark.parametrize('shape', [(16, 8, 24), (13, 9, 17), (5, 4, 3)])
def test_any_shape(block: int, shape: tuple[int, int, int]) -> None:
    with torch.no_grad():
        points, heatmaps = network(block)(torch.randn(2, *shape))
    assert points.shape == (2, 2, 3)
    assert heatmaps.shape == (2, 2, *shape)
    torch.testing.assert_close(heatmaps.sum((-3, -2, -1)), torch.ones(2, 2))
    grid = torch.from_numpy(np.indices(shape)).float()
    torch.testing.assert_close(points, torch.einsum('btnmk,cnmk->btc', heatmaps, grid))


@pytest.mark.parametrize('block', [1, 2])
def test_points_by_hand(block: int) -> None:
    """With a bias alone the left map is uniform, and the right one favours octant (1, 1, 1)."""
    untrained = network(block)
    torch.nn.init.zeros_(untrained.head.weight)
    torch.nn.init.zeros_(untrained.head.bias)
    with torch.no_grad():
        # The last output is the last place in the block of the last target.
        untrained.head.bias[-1] = math.log(3)
        points, _ = untrained(torch.randn(1, 8, 8, 8))
    torch.testing.assert_close(points[0, 0], torch.full((3,), 3.5))
    # With blocks of 2 an eighth of the voxels, at odd places, weigh 3: 3/10 and 7 times 1/10.
    # Their mean index is 4; that of the others (8 * 3.5 - 4) / 7.
    odd = (3 * 4 + 7 * (8 * 3.5 - 4) / 7) / 10
    torch.testing.assert_close(points[0, 1], torch.full((3,), 3.5 if block == 1 else odd))


def test_padding() -> None:
    volume = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad_to_multiple(volume, 4)
    assert padded.shape == (1, 4, 4, 4)
    assert padded[0, 3, :, :].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    assert pad_to_multiple(volume, 1) is volume


def test_gradients() -> None:
    trained = network().train()
    points, _ = trained(torch.randn(1, 9, 8, 10))
    points.square().sum().backward()
    without = [name for name, p in trained.named_parameters() if not p.grad.abs().sum() > 0]
    # A softmax does not change when a number is added to all of its map.
    assert without in ([], ['head.bias'])


def test_localizer_settings() -> None:
    settings = CoReUNetSettings(features=(8, 16), block=2, targets=3)
    assert CoReUNetSettings(**settings.as_dict()) == settings


@pytest.mark.parametrize('block', [1, 2])
@pytest.mark.parametrize('shape', [(16, 16, 16), (7, 10, 9)])
def test_patch_shape(block: int, shape: tuple[int, int, int]) -> None:
    network = PatchUNet(PatchUNetSettings(features=(8, 8), block=block)).eval()
    with torch.no_grad():
        assert network(torch.randn(2, *shape)).shape == (2, 3, *shape)


def test_batch_is_independent() -> None:
    torch.manual_seed(0)
    network = PatchUNet(PatchUNetSettings(features=(8, 16), block=2)).eval()
    patches = torch.randn(3, 8, 8, 8)
    with torch.no_grad():
        together = network(patches)
        alone = torch.cat([network(patch[None]) for patch in patches])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_patch_settings() -> None:
    settings = PatchUNetSettings(features=(8, 16), block=2, patch=(24, 24, 32))
    again = PatchUNetSettings(**settings.as_dict())
    assert again == settings
    assert again.patch == (24, 24, 32)


@pytest.fixture
def model() -> CoeruleusModel:
    torch.manual_seed(0)
    localizers = [CoReUNet(CoReUNetSettings((8, 8), block)).eval() for block in (1, 2)]
    segmenter = PatchUNet(PatchUNetSettings((8, 16), patch=(16, 16, 24))).eval()
    card = {'name': 'test', 'data': 'simulated images'}
    return CoeruleusModel(('LLC', 'RLC'), tuple(localizers), (segmenter,), card, 0.75)


def test_weights_round_trip(tmp_path: Path, model: CoeruleusModel) -> None:
    again = load_coeruleus(save_coeruleus(tmp_path / 'w.safetensors', model))
    assert (again.labels, again.card, again.voxel_mm) == (model.labels, model.card, 0.75)
    before = (*model.localizers, *model.segmenters)
    after = (*again.localizers, *again.segmenters)
    assert [type(network) for network in after] == [CoReUNet, CoReUNet, PatchUNet]
    for network, original in zip(after, before, strict=True):
        assert network.settings == original.settings
        assert not network.training
        expected = original.state_dict()
        assert list(network.state_dict()) == list(expected)
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, expected[name], rtol=2**-11, atol=2**-25)


def test_weights_bytes(tmp_path: Path, model: CoeruleusModel) -> None:
    first = save_coeruleus(tmp_path / 'a.safetensors', model)
    second = save_coeruleus(tmp_path / 'b.safetensors', load_coeruleus(first))
    assert file_sha256(first) == file_sha256(second)


def test_other_weights(tmp_path: Path) -> None:
    path = save_brain_unet(tmp_path / 'brain.safetensors', BrainUNet(UNetSettings((8, 8))), {})
    with pytest.raises(WeightsError, match=r'brain\.safetensors does not hold'):
        load_coeruleus(path)
    with pytest.raises(WeightsError, match=r'none\.safetensors'):
        load_coeruleus(tmp_path / 'none.safetensors')


def test_ensemble(
    model: CoeruleusModel,
) -> None:
    intensities = np.random.default_rng(0).random((11, 9, 10), dtype=np.float32)
    located = locate_volume(model, intensities)
    assert located.points.shape == (2, 2, 3)
    assert located.heatmaps.shape == (2, 11, 9, 10)
    np.testing.assert_allclose(located.heatmaps.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    # The mean of the points is the point of the mean heatmap: both are linear.
    of_mean = np.einsum('tnmk,cnmk->tc', located.heatmaps, np.indices((11, 9, 10)))
    np.testing.assert_allclose(located.points.mean(axis=0), of_mean, atol=1e-4)
    assert not np.allclose(located.points[0], located.points[1], atol=1e-3)


def test_wrong_arguments(model: CoeruleusModel) -> None:
    with pytest.raises(ValueError, match='three dimensions'):
        locate_volume(model, np.zeros((1, 8, 8, 8), np.float32))
    empty = CoeruleusModel(model.labels, (), model.segmenters, {})
    with pytest.raises(ValueError, match='no localising network'):
        locate_volume(empty, np.zeros((8, 8, 8), np.float32))
