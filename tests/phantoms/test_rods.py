from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from tmsprep.phantoms.neuromelanin.anatomy import Rod

UP = np.array([0.0, 0.0, 1.0])
ORIGIN = np.zeros(3)


def fine_grid(half_mm: float, voxel_mm: float) -> tuple[tuple[int, int, int], np.ndarray]:
    count = 2 * round(half_mm / voxel_mm) + 1
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = -(count - 1) / 2 * voxel_mm
    return (count,) * 3, affine


def test_depth_by_hand():
    rod = Rod.spindle(ORIGIN, UP, length=12, thickness=2)
    points = np.array([[0, 0, 0], [0.4, 0, 0], [3, 0, 0], [0, -1.5, 0]], float)
    # The radius is 1 in the middle.
    np.testing.assert_allclose(rod.depth(points), [1, 0.6, -2, -0.5], atol=1e-9)


def test_centroid_of_bent_rod():
    rod = Rod.spindle(ORIGIN, UP, length=100, thickness=1, bend=np.array([1.0, 0, 0]))
    # Integral of (1 - u^2)(1 - u^4) over that of (1 - u^4): (1 - 1/3 - 1/5 + 1/7) / (1 - 1/5).
    np.testing.assert_allclose(rod.centroid, [(1 - 1 / 3 - 1 / 5 + 1 / 7) / 0.8, 0, 0], atol=5e-3)


def test_label_volume_of_capsule():
    # Off the lattice, on which a round disc of whole voxels would be 2 % too small.
    rod = Rod(np.array([[0.05, 0.03, -3.02], [0.05, 0.03, 2.98]]), np.array([1.0, 1.0]))
    shape, affine = fine_grid(5, 0.125)
    labels = np.zeros(shape, np.uint8)
    rod.label(labels, affine, 2)
    volume = (labels == 2).sum() * 0.125**3
    assert volume == pytest.approx(np.pi * 6 + 4 / 3 * np.pi, rel=0.01)
    assert set(np.unique(labels)) == {0, 2}


def test_paint_by_hand():
    rod = Rod(np.array([[0, 0, -3.0], [0, 0, 3.0]]), np.array([1.0, 1.0]))
    shape, affine = fine_grid(5, 0.5)
    volume = np.full(shape, 10.0)
    rod.paint(volume, affine, 20.0)
    middle = shape[0] // 2
    np.testing.assert_allclose(volume[middle : middle + 4, middle, middle], [20, 20, 15, 10])


def test_rod_outside_volume():
    rod = Rod.spindle(np.array([0, 0, 100.0]), UP, length=10, thickness=2)
    shape, affine = fine_grid(5, 0.5)
    volume, labels = np.ones(shape), np.zeros(shape, np.uint8)
    rod.paint(volume, affine, 2.0)
    rod.label(labels, affine, 1)
    assert volume.min() == volume.max() == 1
    assert not labels.any()


@given(
    direction=st.tuples(*[st.floats(-1, 1)] * 2),
    bend=st.floats(-1, 1),
    length=st.floats(10, 15),
    thickness=st.floats(1, 2.5),
    shift=st.floats(-0.2, 0.2),
)
@settings(max_examples=20)
def test_label_centre_of_mass(direction, bend, length, thickness, shift):
    axis = np.array([*direction, 2.0])
    axis /= np.linalg.norm(axis)
    rod = Rod.spindle(
        np.full(3, shift), axis, length=length, thickness=thickness, bend=np.array([bend, 0, 0])
    )
    shape, affine = fine_grid(9, 0.15)
    labels = np.zeros(shape, np.uint8)
    rod.label(labels, affine, 1)
    found = apply_affine(affine, np.argwhere(labels)).mean(axis=0)
    assert np.linalg.norm(found - rod.centroid) < 0.1
