from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scalp_data import CENTRE, grid, spheres

from tmsprep.scalp.entry import scalp_entry
from tmsprep.scalp.surface import head_surface, level_points

GRIDS = {
    'straight': grid(),
    'left-handed': grid(flip=-1),
    'oblique': grid(euler=(10, -15, 20)),
    'anisotropic': grid(voxel=(0.9, 1.2, 1.5), euler=(5, 8, -10), flip=-1),
    'coarse': grid(voxel=(2, 2, 2)),
}


@pytest.mark.parametrize('name', GRIDS)
def test_spheres(name: str) -> None:
    """Over each target is the radial point; distance and normal follow from the radius."""
    surface = head_surface(spheres(*GRIDS[name]))
    directions = np.random.default_rng(1).normal(size=(12, 3))
    for direction in directions / np.linalg.norm(directions, axis=1, keepdims=True):
        for depth in (15.0, 35.0):
            entry = scalp_entry(CENTRE + (90 - depth) * direction, surface)
            assert entry.distance_mm == pytest.approx(depth, abs=0.35)
            assert np.linalg.norm(entry.point - CENTRE - 90 * direction) < 0.5
            assert np.degrees(np.arccos(min(1.0, entry.normal @ direction))) < 0.8
            # The axis of a coil on the scalp passes through the target.
            axis = entry.point - (CENTRE + (90 - depth) * direction)
            np.testing.assert_allclose(axis / np.linalg.norm(axis), entry.normal, atol=1e-9)
    assert surface.volume_ml == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.05)


def test_dim_and_noisy_scalp() -> None:
    """The edge is that of the skin, though it is darker than what is below, and air is noisy."""
    layers = ((90.0, 350.0), (87.0, 900.0), (84.0, 60.0), (75.0, 1000.0))
    image = spheres(*GRIDS['straight'], layers)
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 30, (2, *image.shape)).astype(np.float32)
    data = np.hypot(image.get_fdata(dtype=np.float32) + noise[0], noise[1])
    surface = head_surface(nib.Nifti1Image(data, image.affine))
    for direction in np.vstack([np.eye(3), -np.eye(3)]):
        entry = scalp_entry(CENTRE + 70 * direction, surface)
        assert entry.distance_mm == pytest.approx(20, abs=0.7)


def test_rays_leave_the_head() -> None:
    surface = head_surface(spheres(*GRIDS['oblique']))
    directions = np.vstack([np.eye(3), -np.eye(3)])
    points = surface.outermost(CENTRE + np.array([0, 0, 10]), directions)
    radius = np.linalg.norm(points - CENTRE, axis=1)
    np.testing.assert_allclose(radius, 90, atol=1.5)
    outside = surface.outermost(CENTRE + np.array([0, 0, 120]), np.array([[0.0, 0, 1]]))
    assert np.isnan(outside).all()


def test_normals_under_any_affine() -> None:
    """Plane fields whose normal is known in the world, on a sheared left-handed grid."""
    affine = np.array([[-2.0, 0.3, 0, 5], [0, 1, 0.2, -7], [0.1, 0, 1.5, 3], [0, 0, 0, 1]])
    normal = np.array([0.48, -0.6, 0.64])
    index = np.moveaxis(np.indices((12, 13, 14)), 0, -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    middle = world.reshape(-1, 3).mean(axis=0)
    points, normals = level_points(-(world - middle) @ normal, affine, 0.0)
    np.testing.assert_allclose((points - middle) @ normal, 0, atol=1e-9)
    np.testing.assert_allclose(normals, np.broadcast_to(normal, normals.shape), atol=1e-9)


@pytest.mark.parametrize('intensity', [0.0, 5.0])
def test_nothing_to_see(intensity: float) -> None:
    image = nib.Nifti1Image(np.full((40, 40, 40), intensity, np.float32), np.eye(4))
    with pytest.raises(ValueError, match='the image is empty or constant'):
        head_surface(image)
