from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from tmsprep.points import PointSet

from corruptions.catalogue import CORRUPTIONS
from corruptions.coverage import (
    crop_field_of_view,
    deface,
    remove_corners,
    thicken_slices,
)
from corruptions.intensities import (
    add_bias_field,
    add_noise,
    blur,
    change_contrast,
    strip_skull,
)
from corruptions.position import mirror, resize, rotate, shift, swap_sides
from corruptions.scan import Corrupted, Scan

SHAPE = (60, 62, 56)
# Axes posterior, superior, right: the first axis of the data is not the first of the world.
AFFINE = np.array(
    [[0.0, 0.0, 2.0, -55.0], [-2.0, 0.0, 0.0, 57.0], [0.0, 2.0, 0.0, -62.0], [0, 0, 0, 1]]
)


def blob_at(place: tuple[float, float, float], value: float = 100.0) -> Scan:
    """A blurred ball (sd 5 mm) at a place in mm, in a box of brain of 72 x 80 x 84 mm."""
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing='ij'), -1)
    world = nib.affines.apply_affine(AFFINE, voxels)
    data = value * np.exp(-((world - place) ** 2).sum(-1) / 50)
    brain = np.zeros(SHAPE, bool)
    brain[10:50, 10:52, 10:46] = True
    points = PointSet(('L', 'R', 'gone'), np.array([place, (0, 0, 0), [np.nan] * 3]))
    return Scan(nib.Nifti1Image(data.astype(np.float32), AFFINE), points, brain)


def flat(value: float = 100.0) -> Scan:
    scan = blob_at((0, 0, 0))
    return Scan(
        nib.Nifti1Image(np.full(SHAPE, value, np.float32), AFFINE), scan.points, scan.brain
    )


def centre(image: nib.Nifti1Image) -> np.ndarray:
    """Centre of the intensities in mm."""
    return nib.affines.apply_affine(image.affine, center_of_mass(np.asarray(image.dataobj)))


@pytest.mark.parametrize(
    ('move', 'strength'), [(rotate, 30), (shift, 20), (resize, 15), (mirror, 1)]
)
@pytest.mark.parametrize('seed', [0, 1])
def test_blob_follows_its_point(move, strength, seed):
    scan = blob_at((12, -6, 9))
    moved = move(scan, strength, seed)
    np.testing.assert_allclose(centre(moved.image), moved.points['L'], atol=0.1)
    again = scan.points.transformed(moved.motion)
    assert moved.points == again
    assert not moved.points.found[2]


def test_size_of_motion():
    scan = blob_at((12, -6, 9))
    assert np.linalg.norm(shift(scan, 20, 3).motion[:3, 3]) == pytest.approx(20)
    turn = rotate(scan, 30, 3).motion[:3, :3]
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(30)
    assert np.linalg.det(resize(scan, 10, 0).motion) == pytest.approx(1.331)
    assert np.linalg.det(resize(scan, 10, 1).motion) == pytest.approx(0.729)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_points_stay_in_view(seed):
    scan = blob_at((12, -6, 38))
    voxels = shift(scan, 20, seed).points.transformed(np.linalg.inv(AFFINE)).coordinates[:2]
    assert (voxels >= 7.0 - 1e-9).all()
    assert (voxels <= np.array(SHAPE) - 8.0 + 1e-9).all()


def test_mirror():
    scan = blob_at((12, -6, 9))
    once = mirror(scan)
    # The volume's middle along x is 0 mm: voxel centres run from -55 to 55 mm.
    np.testing.assert_allclose(once.points['L'], (-12, -6, 9), atol=1e-9)
    twice = mirror(Scan(once.image, once.points, scan.brain))
    assert np.array_equal(twice.image.dataobj, scan.image.dataobj)
    swapped = swap_sides(once.points, {'L': 'R', 'R': 'L'})
    np.testing.assert_allclose(swapped['R'], (-12, -6, 9), atol=1e-9)
    assert not swap_sides(once.points, {'L': 'R'}).found[1]


def test_noise_deviation():
    noisy = np.asarray(add_noise(flat(), 10, 5).image.dataobj)
    # Rician with a signal of ten sd: nearly normal, mean sqrt(100^2 + 10^2).
    assert noisy.std() == pytest.approx(10, rel=0.02)
    assert noisy.mean() == pytest.approx(np.hypot(100, 10), rel=0.002)
    silent = np.asarray(add_noise(flat(0.0), 10, 5).image.dataobj)
    assert (silent == 0).all()


def test_bias_field_ratio():
    scan = flat()
    gain = np.asarray(add_bias_field(scan, 2.0, 4).image.dataobj) / 100
    assert gain[scan.brain].max() / gain[scan.brain].min() == pytest.approx(2.0, rel=1e-4)
    # Smooth: from voxel to voxel by at most what a wave of 250 mm allows.
    assert np.abs(np.diff(np.log(gain), axis=0)).max() < 0.1


def test_contrast_power_law():
    scan = blob_at((0, 0, 0))
    for seed, exponent in ((0, 2.0), (1, 0.5)):
        changed = np.asarray(change_contrast(scan, 2.0, seed).image.dataobj)
        top = np.percentile(scan.data, 99.5)
        np.testing.assert_allclose(changed, top * (scan.data / top) ** exponent, rtol=1e-4)


def test_blur_width():
    data = np.zeros(SHAPE, np.float32)
    data[30, 30, 30] = 1
    image = nib.Nifti1Image(data, AFFINE)
    scan = Scan(image, flat().points, flat().brain)
    line = np.asarray(blur(scan, 2 * 2.3548 * 2, 0).image.dataobj)[30, :, 30]
    position = 2.0 * (np.arange(SHAPE[1]) - 30)
    # sd 4 mm: at 4 mm a Gaussian is at exp(-1/2) of its top.
    assert line[32] / line[30] == pytest.approx(np.exp(-0.5), rel=0.01)
    assert (line * position**2).sum() / line.sum() == pytest.approx(16, rel=0.02)


@pytest.mark.parametrize(('growth', 'voxels'), [(0, 36), (1, 38), (-1, 34)])
def test_strip_skull(growth, voxels):
    image = strip_skull(flat(), growth, 0).image
    line = np.asarray(image.dataobj)[30, 30]
    assert np.count_nonzero(line) == voxels
    assert set(np.unique(line)) == {0.0, 100.0}


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_thick_slices(axis):
    scan = blob_at((12, -6, 9))
    thick = thicken_slices(scan, 4.0, axis)
    assert nib.affines.voxel_sizes(thick.image.affine)[axis] == pytest.approx(4)
    assert thick.image.shape[axis] == SHAPE[axis] // 2
    pairs = np.moveaxis(scan.data, axis, 0)[: SHAPE[axis] // 2 * 2]
    means = (pairs[0::2] + pairs[1::2]) / 2
    np.testing.assert_allclose(np.moveaxis(thick.image.dataobj, axis, 0), means, atol=1e-4)
    np.testing.assert_allclose(centre(thick.image), (12, -6, 9), atol=0.05)
    odd = thicken_slices(scan, 3.0, axis).image
    np.testing.assert_allclose(centre(odd), (12, -6, 9), atol=0.05)


@pytest.mark.parametrize(
    ('seed', 'shape'), [(0, (60, 57, 56)), (1, (55, 62, 56)), (2, (55, 57, 56))]
)
def test_cropped_field_of_view(seed, shape):
    # Axis 0 runs backwards (front first), axis 1 upwards; the brain begins at voxel 10 of both.
    cropped = crop_field_of_view(blob_at((12, -6, 9)), 10.0, seed)
    assert cropped.image.shape == shape
    np.testing.assert_allclose(centre(cropped.image), (12, -6, 9), atol=0.05)


def test_cropped_brain():
    assert crop_field_of_view(flat(), -10.0, 0).image.shape == (60, 47, 56)


def test_deface():
    image = np.asarray(deface(flat(), 5.0, 0).image.dataobj)
    assert image[0, 0].max() == 0
    assert (image[flat().brain] == 100).all()
    assert image[-1].min() == 100
    assert image[:, -1].min() == 100
    deep = np.asarray(deface(flat(), -5.0, 0).image.dataobj)
    assert (deep[flat().brain] == 0).any()


@pytest.mark.parametrize('seed', range(4))
def test_missing_corners(seed):
    def lost(margin: float) -> np.ndarray:
        return np.asarray(remove_corners(flat(), margin, seed).image.dataobj) == 0

    assert 1 <= lost(5)[:: SHAPE[0] - 1, :: SHAPE[1] - 1, :: SHAPE[2] - 1].sum() <= 4
    assert not lost(5)[flat().brain].any()
    assert lost(-5)[flat().brain].any()


@pytest.mark.parametrize('name', list(CORRUPTIONS))
def test_same_seed(name):
    corruption = CORRUPTIONS[name]
    scan = blob_at((12, -6, 9))
    first, second = (corruption.apply(scan, corruption.value('middle'), 7) for _ in range(2))
    assert isinstance(first, Corrupted)
    assert np.array_equal(first.image.dataobj, second.image.dataobj)
    assert first.points == second.points
    assert np.isfinite(first.image.dataobj).all()
