from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.files import file_sha256
from tmsprep.methods.duennwald2021.locate import locate_volume
from tmsprep.methods.duennwald2021.networks import (
    CoReUNet,
    CoReUNetSettings,
    PatchUNet,
    PatchUNetSettings,
)
from tmsprep.methods.duennwald2021.weights import CoeruleusModel, load_coeruleus, save_coeruleus
from tmsprep.networks.archive import WeightsError
from tmsprep.networks.brain_extraction import save_brain_unet
from tmsprep.networks.unet import BrainUNet, UNetSettings


@pytest.fixture
def model() -> CoeruleusModel:
    torch.manual_seed(0)
    localizers = [CoReUNet(CoReUNetSettings((8, 8), block)).eval() for block in (1, 2)]
    segmenter = PatchUNet(PatchUNetSettings((8, 16), patch=(16, 16, 24))).eval()
    card = {'name': 'test', 'data': 'simulated images'}
    return CoeruleusModel(('LLC', 'RLC'), tuple(localizers), (segmenter,), card, 0.75)


def test_round_trip_in_half_precision(tmp_path: Path, model: CoeruleusModel) -> None:
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


def test_the_same_networks_give_the_same_bytes(tmp_path: Path, model: CoeruleusModel) -> None:
    first = save_coeruleus(tmp_path / 'a.safetensors', model)
    second = save_coeruleus(tmp_path / 'b.safetensors', load_coeruleus(first))
    assert file_sha256(first) == file_sha256(second)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = save_brain_unet(tmp_path / 'brain.safetensors', BrainUNet(UNetSettings((8, 8))), {})
    with pytest.raises(WeightsError, match=r'brain\.safetensors does not hold'):
        load_coeruleus(path)
    with pytest.raises(WeightsError, match=r'none\.safetensors'):
        load_coeruleus(tmp_path / 'none.safetensors')


def test_an_ensemble_gives_each_members_points_and_the_mean_heatmap(
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


def test_a_volume_and_a_network_are_needed(model: CoeruleusModel) -> None:
    with pytest.raises(ValueError, match='three dimensions'):
        locate_volume(model, np.zeros((1, 8, 8, 8), np.float32))
    empty = CoeruleusModel(model.labels, (), model.segmenters, {})
    with pytest.raises(ValueError, match='no localising network'):
        locate_volume(empty, np.zeros((8, 8, 8), np.float32))
