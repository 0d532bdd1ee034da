from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.points import PointSet

NAN = (np.nan,) * 3
ABC = PointSet(('A', 'B', 'C'), np.array([[1.0, 2, 3], NAN, [0, 0, 0]]))


def test_names_and_coordinates() -> None:
    assert len(ABC) == 3
    assert 'A' in ABC
    assert 'D' not in ABC
    np.testing.assert_array_equal(ABC['A'], [1, 2, 3])
    with pytest.raises(ValueError, match='not in tuple'):
        ABC['D']


def test_missing_is_not_the_origin() -> None:
    assert ABC.found.tolist() == [True, False, True]


def test_reindex() -> None:
    again = ABC.reindex(['C', 'X', 'A'])
    assert again.labels == ('C', 'X', 'A')
    np.testing.assert_array_equal(again.coordinates, [[0, 0, 0], NAN, [1, 2, 3]])
    assert PointSet.from_mapping({}, ['A']).found.tolist() == [False]
    assert len(PointSet.from_mapping({})) == 0


def test_equality() -> None:
    assert PointSet(ABC.labels, ABC.coordinates) == ABC
    assert ABC.reindex('CBA') != ABC
    assert PointSet(('A', 'B', 'D'), ABC.coordinates) != ABC
    assert ABC.transformed(np.diag([2.0, 1, 1, 1])) != ABC
    assert ABC != 'ABC'
    with pytest.raises(TypeError):
        hash(ABC)


def test_distance_by_name() -> None:
    other = PointSet(('C', 'A'), np.array([[0.0, 3, 4], [1, 2, 5]]))
    np.testing.assert_array_equal(ABC.distance(other), [2, np.nan, 5])


def test_affine_by_hand() -> None:
    # A quarter turn about z takes x to y and y to -x; then 10 mm up.
    affine = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 10], [0, 0, 0, 1]])
    moved = ABC.transformed(affine)
    np.testing.assert_array_equal(moved.coordinates, [[-2, 1, 13], NAN, [0, 0, 10]])
    assert moved.labels == ABC.labels


@settings(max_examples=50)
@given(st.lists(st.floats(-200, 200), min_size=9, max_size=9), st.floats(-3, 3))
def test_inverse_affine(numbers: list[float], angle: float) -> None:
    points = PointSet(('A', 'B'), np.array(numbers[:6]).reshape(2, 3))
    turn = nib.eulerangles.euler2mat(angle, angle / 2, -angle)
    affine = nib.affines.from_matvec(turn @ np.diag([1.0, -2, 0.5]), numbers[6:])
    again = points.transformed(affine).transformed(np.linalg.inv(affine))
    np.testing.assert_allclose(again.coordinates, points.coordinates, atol=1e-9)


@pytest.mark.parametrize(
    ('labels', 'coordinates', 'message'),
    [
        (('A', 'B', 'A'), np.zeros((3, 3)), 'unique; repeated: A'),
        (('A', 'B'), np.zeros((3, 3)), r'shape \(2, 3\), not \(3, 3\)'),
        (('A',), np.zeros(3), r'not \(3,\)'),
        (('A',), [[1.0, np.nan, 3.0]], 'missing'),
        (('A',), [[1.0, 2.0, np.inf]], 'missing'),
        (('A',), [[np.inf] * 3], 'missing'),
    ],
)
def test_invalid_points(labels: tuple[str, ...], coordinates: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PointSet(labels, coordinates)


def test_points_are_read_only() -> None:
    source = np.ones((1, 3))
    points = PointSet(('A',), source)
    source[:] = 7
    np.testing.assert_array_equal(points['A'], [1, 1, 1])
    with pytest.raises(ValueError, match='read-only'):
        points.coordinates[0, 0] = 5
