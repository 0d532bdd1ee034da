"""Mean offsets of an atlas, against offsets that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tmsprep.evaluation.offsets import by_participant, estimate_offsets, mean_of_others
from tmsprep.points import PointSet

NAN = (np.nan,) * 3
ATLAS = PointSet(('A', 'B', 'C'), [[-30.0, 10, 20], [31, 11, 20], NAN])
TRUE = np.array([[2.0, -3, 4], [0, 5, 0]])


def heads(number: int) -> np.ndarray:
    """Affines from the atlas to heads that are turned, stretched and moved."""
    random = np.random.default_rng(4)
    affines = np.tile(np.eye(4), (number, 1, 1))
    affines[:, :3, :3] += random.normal(0, 0.2, (number, 3, 3))
    affines[:, :3, 3] = random.normal(0, 30, (number, 3))
    return affines


def test_round_trip() -> None:
    """Raters who place targets beside the atlas's points: the moved atlas finds their points."""
    there = np.vstack([ATLAS.coordinates[:2] + TRUE, [NAN]])
    affines = heads(5)
    given = np.stack([apply_affine(affine, there) for affine in affines])
    given[0, 1] = np.nan
    back = np.stack(
        [apply_affine(np.linalg.inv(a), points) for a, points in zip(affines, given, strict=True)]
    )
    offsets = estimate_offsets(back[:4], ATLAS)
    np.testing.assert_allclose(offsets.mean[:2], TRUE, atol=1e-9)
    assert np.isnan(offsets.mean[2]).all()
    assert offsets.n.tolist() == [4, 3, 0]
    # The last participant took no part.
    moved = offsets.shift(ATLAS).transformed(affines[4])
    np.testing.assert_allclose(moved.coordinates[:2], given[4, :2], atol=1e-9)


def test_numbers() -> None:
    places = np.array([[[1.0, 0, 0]], [[3, 0, 0]], [[5, 0, 6]]])
    offsets = estimate_offsets(places, PointSet(('A',), [[0.0, 0, 0]]))
    assert offsets.mean.tolist() == [[3, 0, 2]]
    # Variances 4 along x and 12 along z.
    assert offsets.sd.tolist() == [4.0]


def test_too_few() -> None:
    """Two participants are no mean: the target stays, and n says why."""
    places = np.tile(ATLAS.coordinates + 5, (3, 1, 1))
    places[0, 0] = np.nan
    offsets = estimate_offsets(places, ATLAS)
    assert offsets.n.tolist() == [2, 3, 0]
    assert np.isnan(offsets.mean[0]).all()
    assert np.isnan(offsets.sd[[0, 2]]).all()
    expected = [ATLAS.coordinates[0], ATLAS.coordinates[1] + 5, NAN]
    np.testing.assert_array_equal(offsets.shift(ATLAS).coordinates, expected)


def test_order_of_labels() -> None:
    places = np.tile(np.add(ATLAS.coordinates, [1, 2, 3]), (3, 1, 1))
    other = PointSet(('B', 'X'), [[0.0, 0, 0], [7, 7, 7]])
    moved = estimate_offsets(places, ATLAS).shift(other)
    assert moved.coordinates.tolist() == [[1, 2, 3], [7, 7, 7]]


def test_mean_of_others() -> None:
    values = np.full((5, 2, 3), np.nan)
    values[:4, 0] = np.array([1.0, 2, 4, 9])[:, None]
    values[:3, 1] = 1
    means = mean_of_others(values)
    assert means[:, 0, 0].tolist() == pytest.approx([5, 14 / 3, 4, 7 / 3, 4])
    # Of three, two are left for each, and three for the fourth.
    assert np.isnan(means[:3, 1]).all()
    assert (means[3:, 1] == 1).all()


def test_images_of_a_participant() -> None:
    values = np.array([[[1.0] * 3], [[5.0] * 3], [[3.0] * 3], [NAN]])
    names, means = by_participant(values, ['sub-02', 'sub-01', 'sub-02', 'sub-03'])
    assert names == ['sub-02', 'sub-01', 'sub-03']
    np.testing.assert_array_equal(means[:, 0, 0], [2, 5, np.nan])
