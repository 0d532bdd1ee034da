from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.brain import Brain
from tmsprep.registration.starts import (
    SEARCH_SPACING_MM,
    best_start,
    fit_similarity,
    mutual_information,
)

ATLAS = default_atlas(load_protocol('tms'))


def _moved(brain: Brain, matrix: np.ndarray) -> Brain:
    """The brain after a motion of its world: only its header changes."""
    images = [nib.Nifti1Image(i.dataobj, matrix @ i.affine) for i in (brain.image, brain.mask)]
    return Brain(*images)


def _motion(angles: tuple, shift: tuple, scale: float = 1.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


@given(
    st.tuples(*[st.floats(-90, 90)] * 3),
    st.tuples(*[st.floats(-100, 100)] * 3),
    st.floats(0.8, 1.2),
)
def test_fit_similarity(angles, shift, scale) -> None:
    matrix = _motion(angles, shift, scale)
    found = fit_similarity(ATLAS.points, ATLAS.points.transformed(matrix))
    np.testing.assert_allclose(found, matrix, atol=1e-6)


def test_three_points() -> None:
    few = PointSet(ATLAS.points.labels[:3], ATLAS.points.coordinates[:3])
    assert fit_similarity(ATLAS.points, few) is None


def test_mutual_information() -> None:
    image = np.array([0, 0, 5, 5])
    assert mutual_information(image, image) == pytest.approx(np.log(2))
    assert mutual_information(image, np.array([1, 2, 1, 2])) == pytest.approx(0)


@pytest.mark.parametrize(
    ('angles', 'shift'),
    [((0, 0, 0), (0, 0, 0)), ((25, 0, 0), (40, -40, 40)), ((-40, 20, 10), (0, 100, -60))],
)
def test_rotations(angles: tuple, shift: tuple) -> None:
    brain = ATLAS.brain(SEARCH_SPACING_MM)
    matrix = _motion(angles, shift)
    start = best_start(brain, _moved(brain, matrix))
    wrong = ATLAS.points.transformed(matrix).distance(ATLAS.points.transformed(start.matrix))
    assert wrong.max() < 25  # from up to 150 mm; the linear stages do the rest
    assert start.name.startswith('centre of mass')


def test_good_points() -> None:
    brain = ATLAS.brain(SEARCH_SPACING_MM)
    matrix = _motion((22, 8, -7), (5, 5, 5))
    assert best_start(brain, _moved(brain, matrix), matrix).name == 'points'
