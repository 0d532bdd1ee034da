from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.face import TOWARDS_FACE, face_plane, without_face
from tmsprep.evaluation.head import Limits, MeanHead
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

LABELS = ('a', 'b', 'c', 'd')
LANDMARKS = np.array([[-30.0, 50, -30], [30, 40, 20], [-40, -30, 30], [20, -50, -10]])


@pytest.fixture(scope='module')
def model() -> MeanHead:
    """A mean head whose brain is a ball of 60 mm around the origin."""
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -80
    grid = apply_affine(affine, np.moveaxis(np.indices((81, 81, 81)), 0, -1))
    inside = np.linalg.norm(grid, axis=-1) <= 60
    limits = Limits(0.6, 0.6, (0.8, 1.2), (0.9, 1.1), 75, 6, 1, 1)
    return MeanHead(LABELS, LANDMARKS, inside.astype(np.float32), inside, affine, limits, {})


def test_touches_the_brain(model: MeanHead) -> None:
    plane = face_plane(model, PointSet(LABELS, LANDMARKS))
    assert plane is not None
    np.testing.assert_allclose(
        plane.normal, TOWARDS_FACE / np.linalg.norm(TOWARDS_FACE), atol=1e-9
    )
    # A ball is touched at its radius; its voxels have 2 mm.
    assert plane.offset == pytest.approx(60, abs=1)


def test_moves_with_the_head(model: MeanHead) -> None:
    matrix = 0.9 * Rotation.from_euler('xyz', [10, -5, 15], degrees=True).as_matrix()
    shift = np.array([12.0, -7, 30])
    plane = face_plane(model, PointSet(LABELS, LANDMARKS @ matrix.T + shift))
    assert plane is not None
    np.testing.assert_allclose(plane.normal, matrix @ TOWARDS_FACE / 0.9, atol=1e-3)
    # From the centre of the ball, at `shift`, to the plane.
    assert plane.offset - plane.normal @ shift == pytest.approx(0.9 * 60, abs=1)


def test_too_few_points(model: MeanHead) -> None:
    points = PointSet(LABELS, np.vstack([LANDMARKS[:3], [np.nan] * 3]))
    assert face_plane(model, points) is None


def test_removed(model: MeanHead) -> None:
    """Of a larger ball, all of the brain stays, and a nose and a chin go."""
    plane = face_plane(model, PointSet(LABELS, LANDMARKS))
    assert plane is not None
    affine = np.array([[-2.0, 0, 0, 100], [0, -2, 0, 100], [0, 0, 2, -100], [0, 0, 0, 1]])
    grid = apply_affine(affine, np.moveaxis(np.indices((101, 101, 101)), 0, -1))
    data = np.ones((101, 101, 101), np.float32)
    left = without_face(data, affine, plane)
    assert left.dtype == np.float32
    assert (left[np.linalg.norm(grid, axis=-1) <= 59] == 1).all()
    np.testing.assert_array_equal(left == 0, grid @ plane.normal > plane.offset)

    def at(*mm: float) -> float:
        return float(left[tuple(np.rint(apply_affine(np.linalg.inv(affine), mm)).astype(int))])

    assert (at(0, 80, -60), at(0, 60, -90)) == (0, 0)
    assert (at(0, 70, 20), at(0, -90, -60), at(0, 0, 90)) == (1, 1, 1)


def test_shipped_head() -> None:
    """The eyes of the mean head go; its targets, the brow and the vertex stay."""
    protocol = load_protocol('tms')
    model = MeanHead.load(protocol.file(protocol.head))
    plane = face_plane(model, PointSet(model.labels, model.landmarks))
    assert plane is not None
    eyes, brow, vertex = [[-28.0, 70, -55], [35.0, 70, -55]], [[4.0, 80, -15]], [[4.0, 0, 45]]
    assert (np.array(eyes) @ plane.normal > plane.offset).all()
    for kept in (brow, vertex, model.landmarks, model.grid[model.inside]):
        assert (np.array(kept) @ plane.normal <= plane.offset + 1e-6).all()
