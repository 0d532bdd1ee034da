from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from nibabel.spatialimages import SpatialImage
from scipy import ndimage

from tmsprep.reports.planes import VIEWS, Volume, bounding_box, plane_in_box, sample_plane

PLACE = np.array([-21.0, 14.0, 30.0])
CODES = ('RAS', 'LPS', 'LAS', 'PSR', 'SAL', 'IRP')


def rotation(degrees_x: float, degrees_y: float, degrees_z: float) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad([degrees_x, degrees_y, degrees_z])):
        turn = np.eye(3)
        i, j = [a for a in range(3) if a != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def bright_voxel(codes: str, turn: np.ndarray) -> nib.Nifti1Image:
    """One bright voxel whose centre is PLACE, in an image of any axis order."""
    shape, voxel, zooms = (50, 60, 40), np.array([20, 35, 12]), np.array([1.0, 1.3, 2.0])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(zooms)
    affine[:3, 3] = PLACE - affine[:3, :3] @ voxel
    data = np.zeros(shape, dtype=np.float32)
    data[tuple(voxel)] = 100
    image = nib.Nifti1Image(data, affine)
    change = ornt_transform(nib.io_orientation(np.eye(4)), axcodes2ornt(codes))
    moved = nib.apply_orientation(data, change)
    return nib.Nifti1Image(moved, image.affine @ inv_ornt_aff(change, shape))


@pytest.mark.parametrize('turn', [(0, 0, 0), (12, -8, 20)], ids=['straight', 'oblique'])
@pytest.mark.parametrize('codes', CODES)
@pytest.mark.parametrize('order', [1, 3])
@pytest.mark.parametrize('view', VIEWS, ids=lambda view: view.name)
def test_brightest_sample(view, order, codes, turn):
    volume = Volume.from_image(bright_voxel(codes, rotation(*turn)))
    across, up = PLACE[view.across], PLACE[view.up]
    plane = sample_plane(
        volume,
        view,
        PLACE[view.through],
        (across - 20, across + 21),
        (up - 15, up + 16),
        spacing=0.5,
        order=order,
    )
    row, column = np.unravel_index(plane.data.argmax(), plane.data.shape)
    assert abs(plane.across[column] - across) <= 0.25
    assert abs(plane.up[row] - up) <= 0.25


@settings(max_examples=20)
@given(
    angles=st.tuples(*[st.floats(-40, 40)] * 3),
    zooms=st.tuples(*[st.floats(0.5, 3)] * 3),
    slope=st.tuples(*[st.floats(-2, 2)] * 3),
    at=st.floats(-3, 3),
)
def test_linear_image(angles, zooms, slope, at):
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ np.diag(zooms)
    affine[:3, 3] = -affine[:3, :3] @ np.array([20.0] * 3)
    index = np.moveaxis(np.indices((41, 41, 41)), 0, -1)
    data = (index @ affine[:3, :3].T + affine[:3, 3]) @ np.array(slope)
    volume = Volume.from_image(nib.Nifti1Image(data.astype(np.float32), affine))
    for view in VIEWS:
        plane = sample_plane(volume, view, at, (-5, 5), (-4, 4))
        world = np.zeros((*plane.data.shape, 3))
        world[..., view.across] = plane.across
        world[..., view.up] = plane.up[:, None]
        world[..., view.through] = at
        np.testing.assert_allclose(plane.data, world @ np.array(slope), atol=1e-3)


def test_resample():
    image = bright_voxel('PSR', rotation(10, 5, -15))
    volume = Volume.from_image(image)
    box = np.stack([PLACE - 6, PLACE + 6])
    grid = volume.resample(box, 1.5)
    axes = [np.arange(low + 0.75, high, 1.5) for low, high in box.T]
    world = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    assert grid.shape == (8, 8, 8)
    to_voxel = np.linalg.inv(image.affine)
    index = np.moveaxis(world @ to_voxel[:3, :3].T + to_voxel[:3, 3], -1, 0)
    expected = ndimage.map_coordinates(image.get_fdata(), index, order=1)
    np.testing.assert_allclose(grid, expected, atol=1e-4)


def test_cubic_samples_of_part():
    rng = np.random.default_rng(0)
    data = rng.uniform(0, 255, (40, 40, 40)).astype(np.float32)
    volume = Volume.from_image(nib.Nifti1Image(data, np.eye(4)))
    plane = sample_plane(volume, VIEWS[0], 20.3, (15, 25), (15, 25), spacing=0.5, order=3)
    index = np.stack(np.meshgrid(plane.across, plane.up, [20.3], indexing='ij'))
    expected = ndimage.map_coordinates(data, index, order=3)[..., 0].T
    # Half a grey level of 256.
    np.testing.assert_allclose(plane.data, expected, atol=0.5)


def test_outside_image(head):
    volume = Volume.from_image(head)
    plane = sample_plane(volume, VIEWS[0], 500.0, (-10, 10), (-10, 10))
    assert not plane.data.any()


def test_head_box(head):
    box = Volume.from_image(head).box
    assert (box[0] <= -58).all()
    assert (box[1] >= 58).all()
    assert (np.abs(box) <= 75).all()


def test_neck_left_out():
    data = np.zeros((40, 40, 150), dtype=np.float32)
    data[10:30, 10:30] = 50
    box = Volume.from_image(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]))).box
    assert box[1, 2] - box[0, 2] == 180


@pytest.mark.parametrize('codes', [''.join(c) for c in itertools.permutations('RPS')])
def test_bounding_box(codes):
    image = bright_voxel(codes, np.eye(3))
    box = bounding_box(image.get_fdata() > 50, image.affine)
    np.testing.assert_allclose(box, [PLACE, PLACE], atol=1e-9)


def test_empty_bounding_box():
    assert bounding_box(np.zeros((3, 3, 3), dtype=bool), np.eye(4)) is None


def test_constant_and_nan():
    data = np.full((20, 20, 20), 7.0, dtype=np.float32)
    data[0, 0, 0] = np.nan
    volume = Volume.from_image(nib.Nifti1Image(data, np.eye(4)))
    assert np.isfinite(volume.data).all()
    assert plane_in_box(volume, VIEWS[0], 5.0, volume.box).data.max() == 7.0


def test_last_axis_of_one():
    image = nib.Nifti1Image(np.ones((9, 8, 7, 1), dtype=np.float32), np.eye(4))
    assert Volume.from_image(image).data.shape == (9, 8, 7)


@pytest.mark.parametrize(
    ('shape', 'affine', 'message'),
    [
        ((4, 4, 4, 2), np.eye(4), 'three-dimensional'),
        ((4, 4), np.eye(4), 'three-dimensional'),
        ((4, 4, 4), np.diag([1.0, 1.0, 0.0, 1.0]), 'inverted'),
    ],
)
def test_refused_images(shape, affine, message):
    with pytest.raises(ValueError, match=message):
        Volume.from_image(SpatialImage(np.ones(shape, dtype=np.float32), affine))
