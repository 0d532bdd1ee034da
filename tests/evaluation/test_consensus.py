from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.consensus import CONSENSUS_STATUSES, Agreement, agree, consensus
from tmsprep.points import PointSet

MISSING = (np.nan,) * 3


def on_a_line(*places: float) -> np.ndarray:
    return np.array([(x, 0.0, 0.0) for x in places])


def agree_on(points: np.ndarray, threshold_mm: float = 12.0) -> Agreement:
    """Consensus of one point, shape (raters, 3)."""
    found = agree(np.array([points]), threshold_mm)
    agreeing = tuple(np.flatnonzero(found.agreeing[0]))
    return Agreement(found.points[0], agreeing, found.statuses[0])


def test_equal_pairs() -> None:
    # 0 and 10 agree, 10 and 20 agree, 0 and 20 do not.
    found = agree_on(on_a_line(0, 10, 20))
    assert (found.agreeing, found.status) == ((0, 1), 'consensus')
    np.testing.assert_allclose(found.point, [5, 0, 0])


def test_closer_pair() -> None:
    found = agree_on(on_a_line(0, 10, 19))
    assert found.agreeing == (1, 2)
    np.testing.assert_allclose(found.point, [14.5, 0, 0])


def test_all_three_agree() -> None:
    found = agree_on(np.array([[0.0, 0, 0], [6, 0, 3], [0, 9, 0]]))
    assert (found.agreeing, found.status) == ((0, 1, 2), 'consensus')
    np.testing.assert_allclose(found.point, [2, 3, 1])


@pytest.mark.parametrize(('apart', 'status'), [(12.0, 'consensus'), (12.001, 'no_consensus')])
def test_limit_included(apart: float, status: str) -> None:
    assert agree_on(on_a_line(0, apart)).status == status


def test_no_two_agree() -> None:
    found = agree_on(on_a_line(0, 20, 40))
    assert (found.agreeing, found.status) == ((), 'no_consensus')
    assert np.isnan(found.point).all()


def test_missing_points() -> None:
    points = np.array([MISSING, (4.0, 5, 6), MISSING])
    found = agree_on(points)
    assert (found.agreeing, found.status) == ((1,), 'single')
    np.testing.assert_array_equal(found.point, [4, 5, 6])
    pair = agree_on(np.array([(0.0, 0, 0), MISSING, (0, 8, 0)]))
    assert (pair.agreeing, pair.status) == ((0, 2), 'consensus')
    none = agree_on(np.array([MISSING, MISSING]))
    assert (none.agreeing, none.status) == ((), 'missing')
    assert np.isnan(none.point).all()


def test_larger_group() -> None:
    # 0, 5 and 11 are within 12 mm of each other; 11 and 14 are the closest, 0 and 14 too far.
    found = agree_on(on_a_line(0, 14, 5, 11))
    assert found.agreeing == (1, 2, 3)
    np.testing.assert_allclose(found.point, [10, 0, 0])
    chain = agree_on(on_a_line(0, 13, 5, 11.5))
    assert chain.agreeing == (1, 2, 3)


def test_another_threshold() -> None:
    assert agree_on(on_a_line(0, 4, 8), threshold_mm=3).status == 'no_consensus'
    assert agree_on(on_a_line(0, 4, 20), threshold_mm=30).agreeing == (0, 1, 2)
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match='not a positive number'):
            agree_on(on_a_line(0, 1), threshold_mm=bad)


coordinate = st.floats(-15, 15)
raters = st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=5)


@settings(max_examples=60)
@given(raters, st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_order_and_motion(rows: list, random: object, seed: int) -> None:
    points = np.array(rows)
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)[np.triu_indices(len(points), 1)]
    gaps = np.sort([*gaps, 12.0])
    # Ties are broken by the order.
    assume(np.diff(gaps, prepend=-1).min() > 1e-3)
    order = list(range(len(points)))
    random.shuffle(order)
    generator = np.random.default_rng(seed)
    turn, shift = Rotation.random(random_state=seed).as_matrix(), generator.normal(size=3) * 50
    plain, moved = agree_on(points), agree_on(points[order] @ turn.T + shift)
    assert moved.status == plain.status
    assert {order[i] for i in moved.agreeing} == set(plain.agreeing)
    np.testing.assert_allclose(moved.point, turn @ plain.point + shift, atol=1e-9)


def test_many_points() -> None:
    lines = [(0, 6, 30), (0, 10, 20), (0, 20, 40), (np.nan, 5, np.nan), (np.nan,) * 3]
    found = agree(np.array([[(x, 0 * x, 0 * x) for x in line] for line in lines]))
    np.testing.assert_array_equal(found.points[:, 0], [3, 5, np.nan, 5, np.nan])
    statuses = ['consensus', 'consensus', 'no_consensus', 'single', 'missing']
    assert found.statuses.tolist() == statuses
    agreeing = [[True, True, False], [True, True, False], [False] * 3, [False, True, False]]
    assert found.agreeing.tolist() == [*agreeing, [False] * 3]


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([3.0, 7.0, 12.0]))
def test_points_do_not_mix(raters: int, seed: int, threshold: float) -> None:
    random = np.random.default_rng(seed)
    # Whole numbers make ties.
    several = random.integers(0, 8, (6, raters, 3)) * 2.0
    several[random.random((6, raters)) < 0.2] = np.nan
    found = agree(several, threshold)
    for i, points in enumerate(several):
        alone = agree_on(points, threshold)
        assert found.statuses[i] == alone.status
        assert tuple(np.flatnonzero(found.agreeing[i])) == alone.agreeing
        np.testing.assert_array_equal(found.points[i], alone.point)
        assert alone.agreeing == by_definition(points, threshold)


def by_definition(points: np.ndarray, threshold: float) -> tuple[int, ...]:
    """Try all groups: the largest, then the nearest to each other, then of the first raters."""

    def mean(group: tuple[int, ...]) -> float:
        pairs = combinations(group, 2)
        return round(float(np.mean([np.linalg.norm(points[i] - points[j]) for i, j in pairs])), 6)

    every = list(groups(points, threshold))
    if len(every) == 1:
        return every[0]
    several = [group for group in every if len(group) > 1]
    return min(several, key=lambda group: (-len(group), mean(group), group), default=())


@pytest.mark.parametrize('spread', [1, 4, 7])
def test_many_raters(spread: float) -> None:
    """As many raters as nobody has, who agree, agree in part, or hardly."""
    points = np.random.default_rng(3).normal(0, spread, (11, 60, 3))
    found = agree(points)
    assert set(found.statuses) == {'consensus'}
    for point, agreeing in zip(points, found.agreeing, strict=True):
        gaps = np.linalg.norm(point[:, None] - point, axis=-1)
        assert (gaps[np.ix_(agreeing, agreeing)] <= 12).all()
        # Nobody could join.
        assert not (gaps[np.ix_(~agreeing, agreeing)] <= 12).all(axis=1).any()
    assert found.agreeing.all() == (spread == 1)


@pytest.mark.parametrize(('pairs', 'status'), [(12, 'consensus'), (40, 'no_consensus')])
def test_too_many_groups(pairs: int, status: str) -> None:
    """Pairs of raters on opposite sides of a ball, too far apart, while all others are near."""
    sides = np.random.default_rng(1).normal(size=(pairs, 3))
    sides *= 6.001 / np.linalg.norm(sides, axis=1)[:, None]
    found = agree_on(np.concatenate([sides, -sides]))
    assert found.status == status
    assert len(found.agreeing) == (pairs if status == 'consensus' else 0)


def groups(points: np.ndarray, threshold: float) -> Iterator[tuple[int, ...]]:
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)
    for size in range(1, len(points) + 1):
        for group in combinations(range(len(points)), size):
            if (gaps[np.ix_(group, group)] <= threshold + 1e-6).all():
                yield group


def test_targets() -> None:
    one = PointSet.from_mapping({'A': (0, 0, 0), 'B': (1, 1, 1)})
    two = PointSet.from_mapping({'C': (50, 0, 0), 'A': (2, 0, 0)})
    three = PointSet.from_mapping({'C': (0, 0, 0), 'A': (70, 0, 0)})
    points, found = consensus({'x': one, 'y': two, 'z': three}, ('A', 'B', 'C', 'D'))
    assert [a.status for a in found] == ['consensus', 'single', 'no_consensus', 'missing']
    assert [a.agreeing for a in found] == [(0, 1), (0,), (), ()]
    assert {a.status for a in found} == set(CONSENSUS_STATUSES)
    expected = [(1, 0, 0), (1, 1, 1), MISSING, MISSING]
    np.testing.assert_array_equal(points.coordinates, expected)
    assert points.labels == ('A', 'B', 'C', 'D')
