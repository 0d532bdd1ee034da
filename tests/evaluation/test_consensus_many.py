from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.evaluation.consensus import agree
from tmsprep.evaluation.consensus_many import agree_many

NAN = np.nan


def on_a_line(*places: float) -> np.ndarray:
    return np.array([(x, 0 * x, 0 * x) for x in places])


def test_known_points() -> None:
    several = np.stack(
        [
            on_a_line(0, 6, 30),
            on_a_line(0, 10, 20),
            on_a_line(0, 20, 40),
            on_a_line(NAN, 5, NAN),
            on_a_line(NAN, NAN, NAN),
        ]
    )
    found = agree_many(several, 12.0)
    np.testing.assert_array_equal(found.points[:, 0], [3, 5, NAN, 5, NAN])
    assert found.statuses.tolist() == [
        *('consensus', 'consensus', 'no_consensus', 'single', 'missing')
    ]
    assert found.agreeing.tolist() == [
        [True, True, False],
        [True, True, False],
        [False] * 3,
        [False, True, False],
        [False] * 3,
    ]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([3.0, 12.0]))
def test_it_says_what_agree_says_of_each(raters: int, seed: int, threshold: float) -> None:
    random = np.random.default_rng(seed)
    # Whole numbers make ties.
    several = random.integers(0, 8, (6, raters, 3)) * 2.0
    several[random.random((6, raters)) < 0.2] = NAN
    found = agree_many(several, threshold)
    for i, points in enumerate(several):
        alone = agree(points, threshold)
        assert found.statuses[i] == alone.status
        assert tuple(np.flatnonzero(found.agreeing[i])) == alone.agreeing
        np.testing.assert_allclose(found.points[i], alone.point)


def test_a_threshold_must_be_positive() -> None:
    with pytest.raises(ValueError, match='not a positive number of mm'):
        agree_many(np.zeros((1, 2, 3)), 0.0)
