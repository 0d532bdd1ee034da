from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.evaluation.conformal import ErrorRadius, calibrate

ONE = ('A',)
MM = st.floats(0, 60, allow_nan=False)


def column(*errors: float) -> np.ndarray:
    return np.array(errors, dtype=float)[:, None]


@pytest.mark.parametrize(
    ('n', 'level', 'quantile'),
    [
        # ceil(10 * 0.9) = 9, ceil(11 * 0.9) = 10, ceil(20 * 0.9) = 18, ceil(30 * 0.9) = 27.
        *[(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (29, 0.9, 27)],
        # ceil(9 * 0.9) = 9 of 8 participants, ceil(1 * 0.9) = 1 of none.
        *[(8, 0.9, math.inf), (0, 0.9, math.inf)],
        # ceil(100 * 0.07) = 7, though 100 * 0.07 > 7 in binary.
        (99, 0.07, 7),
    ],
)
def test_quantile_by_hand(n: int, level: float, quantile: float) -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))[:, None]
    found = calibrate(errors, None, ONE, level)
    assert found == ErrorRadius(ONE, level, (quantile,), (n,), None)


def test_missing_references() -> None:
    errors = np.column_stack([np.arange(1.0, 11), np.arange(10.0, 0, -1)])
    errors[9, 0] = errors[:2, 1] = np.nan
    found = calibrate(errors, None, ('A', 'B'))
    assert found.n == (9, 8)
    assert found.quantiles == (9.0, math.inf)


def test_scaled_by_hand() -> None:
    # Errors 1 ... 9 with dispersion 1 and floor 1: scores 0.5 ... 4.5.
    found = calibrate(column(*range(1, 10)), np.ones((9, 1)), ONE, floor_mm=1.0)
    assert found.quantiles == (4.5,)
    assert [found.finite_radii({'A': d}) for d in (0.0, 1.0, 3.0)] == [
        {'A': 4.5},
        {'A': 9.0},
        {'A': 18.0},
    ]
    assert found.finite_radii({'A': math.nan}) == {}


@pytest.mark.parametrize(('floor_mm', 'radius'), [(None, 2.0), (1.0, 8.0)])
def test_finite_radii(floor_mm: float | None, radius: float) -> None:
    calibration = ErrorRadius(('A', 'B', 'C'), 0.9, (2.0, math.inf, 2.0), (9, 8, 9), floor_mm)
    assert calibration.finite_radii({'A': 3.0, 'B': 1.0, 'D': 1.0}) == {'A': radius}


def test_point_not_found() -> None:
    errors, dispersions = column(*range(1, 10)), np.ones((9, 1))
    errors[0], dispersions[0] = np.inf, np.nan
    assert calibrate(errors, None, ONE).quantiles == (math.inf,)
    assert calibrate(errors, dispersions, ONE).quantiles == (math.inf,)


@given(st.lists(MM, min_size=10, max_size=30, unique=True))
@settings(max_examples=30)
def test_exact_coverage(pool: list[float]) -> None:
    # Exchangeable: each of n + 1 is as likely as any other to be the new one, and exactly
    # ceil((n + 1) 0.9) of them have a score up to the quantile of the others.
    n = len(pool) - 1
    held = [
        pool[i] <= calibrate(column(*pool[:i], *pool[i + 1 :]), None, ONE).quantiles[0]
        for i in range(n + 1)
    ]
    assert sum(held) == math.ceil((n + 1) * 9 / 10)


@pytest.mark.parametrize('floor_mm', [None, 0.1])
def test_json_round_trip(floor_mm: float | None) -> None:
    radius = ErrorRadius(('A', 'B'), 0.9, (1 / 3, math.inf), (14, 8), floor_mm)
    text = json.dumps(radius.as_dict(), allow_nan=False)
    assert ErrorRadius.from_dict(json.loads(text)) == radius


GOOD = {'labels': ['A'], 'level': 0.9, 'quantiles': [3.0], 'n': [12], 'floor_mm': 1.0}


@pytest.mark.parametrize(
    'wrong',
    [
        *[{'labels': ['A', 'B']}, {'level': 90}, {'quantiles': [-1]}, {'quantiles': ['x']}],
        *[{'quantiles': [math.nan]}, {'floor_mm': 0}, {'n': None}],
    ],
)
def test_no_calibration(wrong: dict) -> None:
    with pytest.raises(ValueError, match='calibration of the error radius'):
        ErrorRadius.from_dict({**GOOD, **wrong})
    with pytest.raises(ValueError, match='calibration of the error radius'):
        ErrorRadius.from_dict({key: GOOD[key] for key in GOOD if key not in wrong})


def test_impossible_errors() -> None:
    with pytest.raises(ValueError, match='negative'):
        calibrate(column(-1, 2), None, ONE)
    with pytest.raises(ValueError, match='no dispersion'):
        calibrate(column(1, 2), column(1, np.nan), ONE)
    with pytest.raises(ValueError, match='dispersions are'):
        calibrate(column(1, 2), np.ones(2), ONE)
    with pytest.raises(ValueError, match='1 targets'):
        calibrate(np.ones(3), None, ONE)


def test_expected_coverage() -> None:
    # 19 participants: 18 / 20 exactly, whatever the distribution and however errors and
    # dispersions belong together.
    generator = np.random.default_rng(5)
    spread = generator.gamma(2.0, 1.0, size=(20, 4000))
    errors = spread * generator.gamma(3.0, 1.0, size=spread.shape)
    found = calibrate(errors[:19], spread[:19], tuple(map(str, range(4000))), floor_mm=1.0)
    inside = errors[19] <= np.array(found.quantiles) * (spread[19] + 1.0)
    assert inside.mean() == pytest.approx(0.9, abs=0.015)  # three standard errors


@given(st.lists(MM, min_size=9, max_size=15), st.sampled_from([0.25, 2.0, 1024.0]))
@settings(max_examples=30)
def test_common_scale(errors: list[float], scale: float) -> None:
    measured, spread = column(*errors), column(*errors[::-1])
    (plain,) = calibrate(measured, None, ONE).quantiles
    assert calibrate(scale * measured, None, ONE).quantiles == (scale * plain,)
    (scaled,) = calibrate(measured, spread, ONE, floor_mm=1.0).quantiles
    larger = calibrate(scale * measured, scale * spread, ONE, floor_mm=scale)
    assert larger.quantiles == pytest.approx((scaled,))
