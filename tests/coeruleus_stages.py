"""Networks of two stages with known answers: they find what is bright."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.methods.duennwald2021.networks import (
    CoeruleusModel,
    CoReUNet,
    CoReUNetSettings,
    PatchUNet,
    PatchUNetSettings,
)
from tmsprep.methods.duennwald2021.two_stages import TwoStages
from tmsprep.networks.unet import UNet

EDGE, VOXEL_MM = 16, 0.75
CARD = {'name': 'known', 'data': 'bright cubes; not tested in patients', 'licence': 'none'}

#: Where the first stage puts its landmarks, mm from the middle of the image along L, P and S.
OFFSETS = {
    'LLC': (5.25, 3.0, 0.0),
    'RLC': (-5.25, 3.0, 0.0),
    'PONS': (0.0, -9.0, 0.0),
    'LSN': (9.0, -15.0, 15.0),
    'RSN': (-9.0, -15.0, 15.0),
    'PINEAL': (0.0, 3.0, 27.0),
}


def finder(offsets: Mapping[str, tuple[float, float, float]] = OFFSETS) -> MultiResolutionNet:
    """Network of one level that puts every landmark at a fixed offset from the middle."""
    settings = NetworkSettings(len(offsets), crops=(8,), kernels=1, channels=1, residual_layers=1)
    network = MultiResolutionNet(settings)
    with torch.no_grad():
        network.levels[0].maps.zero_()
        (layers,) = network.residuals
        shift = torch.tensor([*offsets.values()])
        layers.layers[0][2].bias.copy_((shift / layers.scale).flatten())
    return network.eval()


def pass_on(network: UNet) -> None:
    """Make the first feature the intensity, clipped and scaled, and the others 0."""
    with torch.no_grad():
        for layer in network.down[0]:
            if isinstance(layer, nn.Conv3d):
                layer.weight.zero_()
                layer.bias.zero_()
                layer.weight[0, 0, 1, 1, 1] = 1
        network.head.weight.zero_()
        network.head.bias.zero_()


def brightest() -> CoReUNet:
    """Localizer whose heatmap lies on the brightest voxels."""
    network = CoReUNet(CoReUNetSettings((8,), block=1, targets=1))
    pass_on(network)
    with torch.no_grad():
        network.head.weight[0, 0] = 20
    return network.eval()


def fixed(voxel: tuple[int, int, int]) -> CoReUNet:
    """Localizer that answers a voxel of the crop, whatever it sees."""
    network = CoReUNet(CoReUNetSettings((8,), block=EDGE, targets=1))
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        network.head.bias.view((EDGE,) * 3)[voxel] = 60.0
    return network.eval()


def bright() -> PatchUNet:
    """Segmenter that labels what stands out by its brightness."""
    network = PatchUNet(PatchUNetSettings((8,), block=1, patch=(EDGE,) * 3))
    pass_on(network)
    with torch.no_grad():
        network.head.weight[1, 0] = 4
        network.head.bias[0], network.head.bias[2] = 40, -60
    return network.eval()


def stages(
    localizers: tuple[CoReUNet, ...] | None = None,
    segmenters: tuple[PatchUNet, ...] | None = None,
    offsets: Mapping[str, tuple[float, float, float]] = OFFSETS,
    **changes: object,
) -> TwoStages:
    """Model of two stages; by default it finds the brightest voxels near the offsets."""
    shape = torch.tensor([*OFFSETS.values()]) + 128
    first = Localizer(tuple(offsets), (finder(offsets),), {}, shape=shape)
    crop = CoeruleusModel(
        ('LC',),
        localizers or (brightest(),),
        (bright(),) if segmenters is None else segmenters,
        {},
    )
    given = {'labels': ('LLC', 'RLC'), 'card': CARD, **changes}
    return TwoStages(finder=first, crop=crop, shape=(EDGE,) * 3, **given)


def cubes(
    shape: tuple[int, int, int], *middles: tuple[int, int, int], seed: int = 1
) -> np.ndarray:
    """Smooth noise of mean 100 and sd 10 with cubes of 3 voxels of 200 around voxels, float32."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 4)
    volume = 100 + 10 * noise / noise.std()
    for middle in middles:
        volume[tuple(slice(i - 1, i + 2) for i in middle)] = 200
    return volume.astype(np.float32)
