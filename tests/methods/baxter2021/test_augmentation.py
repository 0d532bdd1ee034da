from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tmsprep.imaging.volume import average_pyramid
from tmsprep.methods.baxter2021.augmentation import (
    Augmentation,
    BiasField,
    Gamma,
    Planes,
    ThickSlices,
    View,
    draw_affine,
    draw_view,
)
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.networks.crops import crop_positions
from tmsprep.protocols import Protocol, Target

TARGETS = (
    Target('LA', 'L', 'left a', '', mirror='RA'),
    Target('RA', 'R', 'right a', '', mirror='LA'),
    Target('LB', 'L', 'left b', ''),
)
PROTOCOL = Protocol('test', 'test', 'test', TARGETS)
MIRROR = torch.from_numpy(PROTOCOL.mirror_permutation())
HAS_MIRROR = torch.from_numpy(PROTOCOL.has_mirror())
# mm from the corner, far from the faces and from each other.
POINTS = torch.tensor([[160.0, 110.0, 150.0], [95.0, 112.0, 148.0], [150.0, 150.0, 105.0]])
HEIGHTS = (1.0, 2.0, 3.0)
WIDTH_MM = 4.0

GEOMETRY = Augmentation(rotation=10.0, translation=8.0, far=0.2, scale=0.06)
MIRRORED = Augmentation(rotation=10.0, translation=8.0, mirror=1.0)
EVERYTHING = Augmentation(
    far=0.5,
    scale=0.1,
    mirror=0.5,
    gamma=0.2,
    bias=0.2,
    noise=0.1,
    blur=0.3,
    stripped=0.5,
    cuts=0.5,
    corners=0.5,
    thick=0.5,
)


@pytest.fixture(scope='module')
def image() -> PreparedImage:
    """Image with a smooth blob at each target, of a height that tells which one it is."""
    centres = np.arange(256) + 0.5
    volume = np.zeros((256, 256, 256), np.float32)
    for point, height in zip(POINTS.numpy(), HEIGHTS, strict=True):
        x, y, z = np.exp(-0.5 * ((centres - point[:, None]) / WIDTH_MM) ** 2).astype(np.float32)
        volume += height * x[:, None, None] * y[:, None] * z
    pyramid = tuple(torch.from_numpy(v) for v in average_pyramid(volume, 6))
    hull = torch.tensor([[x, y, z] for x in (60.0, 190) for y in (50.0, 200) for z in (90.0, 200)])
    return PreparedImage('blobs', pyramid, POINTS, pyramid[1:], hull)


def view_of(image: PreparedImage, settings: Augmentation, seed: int) -> View:
    generator = torch.Generator().manual_seed(seed)
    return draw_view(image, settings, generator, MIRROR, HAS_MIRROR)


def centroids(view: View, level: int, size: int) -> torch.Tensor:
    """Centre of mass of what lies around each point of the view, shape (targets, 3), mm."""
    positions = crop_positions(view.points, 2.0**level, size)
    mass = view.sampler(level, positions)[..., None]
    return (mass * positions).sum(dim=(1, 2, 3)) / mass.sum(dim=(1, 2, 3))


@pytest.mark.parametrize('seed', range(6))
def test_points(image: PreparedImage, seed: int) -> None:
    view = view_of(image, GEOMETRY, seed)
    assert (view.points - POINTS).norm(dim=-1).min() > 1.0
    assert (centroids(view, 0, 33) - view.points).norm(dim=-1).max() < 0.02
    assert (centroids(view, 1, 17) - view.points).norm(dim=-1).max() < 0.02
    torch.testing.assert_close(view.to_image(view.points), POINTS, rtol=0, atol=1e-3)


@pytest.mark.parametrize('seed', range(4))
def test_mirror(image: PreparedImage, seed: int) -> None:
    view = view_of(image, MIRRORED, seed)
    # A target without a counterpart has no place in the reflected image.
    assert view.points[2].isnan().all()
    seen = View(view.sampler, view.points[:2], view.to_image)
    assert (centroids(seen, 0, 33) - seen.points).norm(dim=-1).max() < 0.02
    # What is called left now shows what was the right one, and lies on the left (larger x).
    heights = view.sampler(0, seen.points)
    torch.testing.assert_close(heights, torch.tensor([2.0, 1.0]), rtol=0.05, atol=0)
    assert seen.points[0, 0] > seen.points[1, 0]


def test_mirror_by_hand(image: PreparedImage) -> None:
    view = view_of(image, Augmentation(rotation=0.0, translation=0.0, mirror=1.0), 0)
    # x becomes 256 - x: the right target at 95 is the left one at 161 now.
    expected = torch.tensor([[161.0, 112.0, 148.0], [96.0, 110.0, 150.0], [math.nan] * 3])
    torch.testing.assert_close(view.points, expected, equal_nan=True)


def test_no_augmentation(image: PreparedImage) -> None:
    view = view_of(image, Augmentation(rotation=0.0, translation=0.0), 0)
    torch.testing.assert_close(view.points, POINTS)
    torch.testing.assert_close(view.sampler(0, POINTS), torch.tensor(HEIGHTS), rtol=0.05, atol=0)


def test_missing_point(image: PreparedImage) -> None:
    points = POINTS.clone()
    points[1] = math.nan
    partial = PreparedImage('partial', image.pyramid, points)
    assert view_of(partial, GEOMETRY, 0).points.isnan().any(dim=-1).tolist() == [
        False,
        True,
        False,
    ]
    # In the reflected image the right target is where the left one was, so the left is missing.
    assert view_of(partial, MIRRORED, 0).points.isnan().any(dim=-1).tolist() == [True, False, True]


def test_reproducible(image: PreparedImage) -> None:
    positions = crop_positions(POINTS, 2.0, 9)
    for seed in range(5):
        one, other = (view_of(image, EVERYTHING, seed) for _ in range(2))
        torch.testing.assert_close(one.points, other.points, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(one.sampler(1, positions), other.sampler(1, positions))
    another = view_of(image, EVERYTHING, 99)
    assert not torch.allclose(one.points, another.points, equal_nan=True)


@pytest.mark.parametrize('seed', range(10))
def test_cuts(image: PreparedImage, seed: int) -> None:
    full = tuple(torch.ones(64, 64, 64) for _ in range(6))
    solid = PreparedImage('solid', full, POINTS, (), image.hull)
    # A probability of cuts / 2 for each of the five planes: all of them.
    view = view_of(solid, Augmentation(rotation=0.0, translation=0.0, cuts=2.0), seed)
    shares = torch.rand(500, len(image.hull), generator=torch.Generator().manual_seed(seed))
    inside = (shares / shares.sum(dim=1, keepdim=True)) @ image.hull
    # A fifth nearer to its middle every side of this box is 11 mm or more inside.
    middle = image.hull.mean(dim=0)
    inside, hull = (middle + 0.8 * (points - middle) for points in (inside, image.hull))
    torch.testing.assert_close(
        view.sampler(0, torch.cat([inside, hull])), torch.ones(len(inside) + len(hull))
    )
    # The planes are there: in front below nothing is left.
    assert view.sampler(0, torch.tensor([[125.0, 5.0, 5.0]])) == 0


def test_noise(image: PreparedImage) -> None:
    flat = tuple(torch.full((2, 2, 2), 5.0) for _ in range(6))
    positions = torch.full((20000, 3), 128.0)
    settings = Augmentation(rotation=0.0, translation=0.0, noise=0.2)
    generator = torch.Generator().manual_seed(0)
    view = draw_view(PreparedImage('flat', flat, POINTS), settings, generator, MIRROR, HAS_MIRROR)
    fine, coarse = (view.sampler(level, positions).std().item() for level in (0, 2))
    assert 0 < fine <= 0.2 * 1.05
    # Averaging 8 voxels twice divides independent noise by 8.
    assert fine / coarse == pytest.approx(8, rel=0.05)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_thick_slices(axis: int) -> None:
    slices = ThickSlices(axis, thickness=4.0, phase=1.0)
    # One bright voxel layer from 20 to 21 mm lies in the slice from 17 to 21 mm, whose three
    # sub-slices have their middles at 17.67, 19 and 20.33 mm: linear interpolation sees 5/6 of
    # the layer at the last one, and nothing at the others.
    volume = torch.zeros(256, 256, 256)
    volume.movedim(axis, 0)[20] = 1.0
    positions = torch.full((5, 3), 100.0)
    positions[:, axis] = torch.tensor([11.0, 15.0, 17.0, 19.0, 23.0])
    expected = torch.tensor([0.0, 0.0, 0.5, 1.0, 0.0]) * (1 - 1 / 6) / 3
    torch.testing.assert_close(slices.sample(volume, positions), expected, rtol=0, atol=1e-5)


def test_thick_slices_ramp() -> None:
    ramp = (torch.arange(256) + 0.5).expand(256, 256, 256)
    positions = 60 + 100 * torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    found = ThickSlices(2, thickness=5.3, phase=0.7).sample(ramp, positions)
    torch.testing.assert_close(found, positions[:, 2], rtol=0, atol=1e-3)


@pytest.mark.parametrize('seed', range(5))
def test_corners(image: PreparedImage, seed: int) -> None:
    full = view_of(image, Augmentation(0.0, 0.0), seed)
    view = view_of(image, Augmentation(0.0, 0.0, corners=1.0), seed)
    inside = image.hull * 0.999 + 0.001 * image.hull.mean(dim=0)
    torch.testing.assert_close(view.sampler(1, inside), full.sampler(1, inside))
    bright = PreparedImage('bright', (torch.ones(256, 256, 256),) * 6, POINTS, (), image.hull)
    corners = torch.cartesian_prod(*[torch.tensor([1.0, 255.0])] * 3)
    seen = view_of(bright, Augmentation(0.0, 0.0, corners=1.0), seed).sampler(0, corners)
    assert 6 <= (seen > 0).sum() <= 7


@pytest.mark.parametrize('seed', range(20))
def test_far(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix, shift = draw_affine(Augmentation(far=1.0), generator, mirrored=False)
    angle = torch.rad2deg(torch.arccos((matrix.trace() - 1) / 2))
    assert angle <= 30.01
    assert shift.abs().max() <= 40.0


def test_gamma_by_hand() -> None:
    values = torch.tensor([0.0, 0.25, 1.0, 4.0])
    found = Gamma(torch.tensor([0.5])).apply(values, torch.zeros(4, 3), 0)
    assert found.tolist() == [0, 0.5, 1, 2]


def test_bias_field_by_hand() -> None:
    # Twice as bright at the far face along x, half at the near one, as it is in the middle.
    field = BiasField(torch.tensor([math.log(2.0), *[0.0] * 8]))
    positions = torch.tensor([[256.0, 128, 128], [0, 128, 128], [128, 40, 200]])
    found = field.apply(torch.ones(3), positions, 0)
    torch.testing.assert_close(found, torch.tensor([2.0, 0.5, 1.0]))


def test_planes_by_hand() -> None:
    planes = Planes(((torch.tensor([0.0, 0, 1]), 100.0), (torch.tensor([1.0, 0, 0]), 200.0)))
    positions = torch.tensor([[10.0, 10, 99], [10, 10, 101], [201, 10, 10]])
    assert planes.apply(torch.ones(3), positions, 0).tolist() == [1, 0, 0]
