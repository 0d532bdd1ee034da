from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from tmsprep.methods.baxter2021.localize import Localization, localize
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.settings import NetworkSettings
from tmsprep.methods.baxter2021.weights import Localizer

LABELS = ('A', 'B', 'C')
SMALL = {'kernels': 4, 'channels': 2, 'hidden': 4, 'residual': 'none', 'crops': (8, 4, 4, 4)}
AFFINE = np.array([[-1.0, 0, 0, 120], [0, -1, 0, 130], [0, 0, 1, -110], [0, 0, 0, 1]])


def member(seed: int) -> MultiResolutionNet:
    torch.manual_seed(seed)
    network = MultiResolutionNet(NetworkSettings(len(LABELS), **SMALL))
    for level in network.levels:
        # Maps with contrast, so that the points are not all in the middle.
        level.maps.data *= 20
    return network.eval()


@pytest.fixture(scope='module')
def voxels() -> np.ndarray:
    data = np.zeros((256, 256, 256), np.float32)
    generator = np.random.default_rng(0)
    data[64:192, 64:192, 64:192] = 100 * generator.random((128, 128, 128), dtype=np.float32)
    return data


def run(voxels: np.ndarray, affine: np.ndarray, *members: MultiResolutionNet) -> Localization:
    localizer = Localizer(LABELS, members, {})
    return localize(nib.Nifti1Image(voxels, affine), (0.0, 100.0), localizer)


@pytest.fixture(scope='module')
def found(voxels: np.ndarray) -> Localization:
    return run(voxels, AFFINE, member(1), member(2), member(3))


def test_mean_of_members(found: Localization) -> None:
    assert found.points.labels == LABELS
    assert found.members.shape == (3, len(LABELS), 3)
    np.testing.assert_allclose(found.points.coordinates, found.members.mean(axis=0))
    assert np.ptp(found.members, axis=0).max() > 0.1


def test_a_member_alone_says_the_same(voxels: np.ndarray, found: Localization) -> None:
    alone = run(voxels, AFFINE, member(2))
    np.testing.assert_allclose(alone.points.coordinates, found.members[1], atol=1e-3)


def test_the_points_move_with_the_frame(voxels: np.ndarray, found: Localization) -> None:
    shift = np.array([12.5, -40.25, 7.0])
    moved = AFFINE.copy()
    moved[:3, 3] += shift
    again = run(voxels, moved, member(1), member(2), member(3))
    np.testing.assert_allclose(again.members, found.members + shift, rtol=0, atol=1e-9)


def test_the_points_turn_with_the_frame(voxels: np.ndarray, found: Localization) -> None:
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=0.3, y=-0.2, x=0.1), [1, 2, 3])
    again = run(voxels, turn @ AFFINE, member(1), member(2), member(3))
    expected = nib.affines.apply_affine(turn, found.members)
    np.testing.assert_allclose(again.members, expected, rtol=0, atol=1e-9)


def test_the_middle_of_the_volume_by_hand(voxels: np.ndarray) -> None:
    undecided = member(1)
    for level in undecided.levels:
        torch.nn.init.zeros_(level.maps)
    # 128 mm from the outer corner is voxel 127.5: (120 - 127.5, 130 - 127.5, -110 + 127.5).
    points = run(voxels, AFFINE, undecided).points.coordinates
    np.testing.assert_allclose(points, [[-7.5, 2.5, 17.5]] * 3, atol=1e-4)


def test_intensities_below_window(voxels: np.ndarray) -> None:
    dark = voxels < 50
    # Averages of dark and bright voxels differ at coarse levels, so only the finest is looked at.
    fine = MultiResolutionNet(NetworkSettings(len(LABELS), **{**SMALL, 'crops': (8,)})).eval()
    black, blacker = (np.where(dark, np.float32(value), voxels) for value in (0, -1000))
    np.testing.assert_array_equal(
        run(blacker, AFFINE, fine).members, run(black, AFFINE, fine).members
    )
