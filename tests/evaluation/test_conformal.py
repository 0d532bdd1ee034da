from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.evaluation.conformal import SHRINKAGE, ErrorRadius, calibrate, is_outdated

ONE = ('A',)
MM = st.floats(0, 60, allow_nan=False)


def column(*errors: float) -> np.ndarray:
    return np.array(errors, dtype=float)[:, None]


def people(n: int) -> list[str]:
    return [f'sub-{i:03}' for i in range(n)]


def equal(n: int, label: str = 'A', **more: object) -> ErrorRadius:
    """Errors 2 mm in each of n participants."""
    return calibrate(column(*[2.0] * n), None, (label,), people(n), **more)


@pytest.mark.parametrize(('n', 'radius'), [(9, 2.0), (30, 2.0), (8, None), (1, None), (0, None)])
def test_enough_participants(n: int, radius: float | None) -> None:
    found = equal(n).finite_radii({'A': 0.0})
    assert found == ({} if radius is None else {'A': pytest.approx(radius)})


def test_rank_counts_participants() -> None:
    """Ten participants, of whom one has errors in 90 images: still the largest of ten counts."""
    names = [*people(9), *['sub-far'] * 90]
    errors = column(*[1.0] * 9, *[5.0] * 90)
    found = calibrate(errors, None, ONE, names)
    # Scores are in scales fitted without their participant: 5 mm in scales of 1 mm.
    assert found.quantile == pytest.approx(5.0)
    # 20 participants: the 19th of 20 is enough, and that is 1 mm.
    more = calibrate(column(*[1.0] * 19, *[5.0] * 90), None, ONE, [*people(19), *['far'] * 90])
    assert more.quantile < 1.0


def test_pooled_over_targets() -> None:
    """A target does not rest on its own worst participant alone."""
    errors = np.full((20, 5), 2.0)
    errors[0, 0] = 20.0
    pooled = calibrate(errors, None, tuple('ABCDE'), people(20))
    radii = pooled.finite_radii(dict.fromkeys('ABCDE', 0.0))
    assert radii['B'] < radii['A'] < 20.0


def test_shrunk_scale() -> None:
    """Mean squares of 1 and 9, and 5 of both: each counts 10 of 15."""
    errors = np.tile([1.0, 3.0], (10, 1))
    scales = np.array(calibrate(errors, None, ('A', 'B'), people(10)).scales_mm)
    expected = (10 * np.array([1.0, 9.0]) + SHRINKAGE * 5.0) / (10 + SHRINKAGE)
    np.testing.assert_allclose(scales**2, expected)


def test_every_kind_holds() -> None:
    """One kind of eight has errors three times as large: the radius holds them too."""
    names = np.repeat(people(20), 8)
    kinds = list('abcdefgh') * 20
    errors = np.where(np.array(kinds) == 'h', 6.0, 2.0)[:, None]
    found = calibrate(errors, None, ONE, names, kinds)
    assert found.kinds == tuple('abcdefgh')
    assert found.finite_radii({'A': 0.0})['A'] == pytest.approx(6.0)
    # It is promised the same however many images of a kind there are.
    few = calibrate(errors[:-1], None, ONE, names[:-1], kinds[:-1])
    assert few.finite_radii({'A': 0.0})['A'] == pytest.approx(6.0, rel=0.02)


def test_dispersion() -> None:
    """Errors that are twice the dispersion, in half of the participants ten times as large."""
    spread = column(*[0.5, 5.0] * 10)
    found = calibrate(2 * spread, spread, ONE, people(20))
    assert found.slope > 1.5
    radii = [found.finite_radii({'A': d})['A'] for d in (0.5, 5.0)]
    assert radii[1] > 5 * radii[0]
    assert radii[1] >= 10.0
    assert found.finite_radii({'A': math.nan}) == {}


def test_missing_references() -> None:
    errors = np.full((10, 2), 2.0)
    errors[9, 0] = errors[:2, 1] = np.nan
    found = calibrate(errors, None, ('A', 'B'), people(10))
    assert found.n == (9, 8)
    assert list(found.finite_radii({'A': 0.0, 'B': 0.0, 'D': 1.0})) == ['A']


def test_point_not_found() -> None:
    errors, dispersions = column(*[2.0] * 9), np.ones((9, 1))
    errors[0], dispersions[0] = np.inf, np.nan
    assert calibrate(errors, None, ONE, people(9)).quantile == math.inf
    assert calibrate(errors, dispersions, ONE, people(9)).quantile == math.inf


@given(st.lists(MM, min_size=1, max_size=4), st.integers(9, 12))
@settings(max_examples=20, deadline=None)
def test_scale_of_errors(some: list[float], n: int) -> None:
    """Radii are in the unit of the errors, above the floor of the scales."""
    errors = column(*(1 + some[i % len(some)] for i in range(n)))
    (small,) = calibrate(errors, None, ONE, people(n)).finite_radii({'A': 0.0}).values()
    (large,) = calibrate(8 * errors, None, ONE, people(n)).finite_radii({'A': 0.0}).values()
    assert large == pytest.approx(8 * small)


GOOD = {
    'labels': ['A'],
    'level': 0.9,
    'scales_mm': [3.0],
    'slope': 1.0,
    'quantile': 2.0,
    'n': [12],
    'limits': {'match': 0.9},
    'kinds': ['noise'],
}


@pytest.mark.parametrize('quantile', [1 / 3, math.inf])
def test_json_round_trip(quantile: float) -> None:
    radius = ErrorRadius(('A', 'B'), 0.9, (1 / 3, 2.0), 0.7, quantile, (14, 8), {'match': 0.9})
    text = json.dumps(radius.as_dict(), allow_nan=False)
    assert ErrorRadius.from_dict(json.loads(text)) == radius
    assert not is_outdated(radius.as_dict())


@pytest.mark.parametrize(
    'wrong',
    [
        *[{'labels': ['A', 'B']}, {'level': 90}, {'quantile': -1}, {'quantile': 'x'}],
        *[{'quantile': math.nan}, {'scales_mm': [0]}, {'slope': -1}, {'n': None}],
        *[{'limits': {'match': math.inf}}, {'limits': []}, {'kinds': None}],
    ],
)
def test_no_calibration(wrong: dict) -> None:
    with pytest.raises(ValueError, match='calibration of the error radius'):
        ErrorRadius.from_dict({**GOOD, **wrong})
    with pytest.raises(ValueError, match='calibration of the error radius'):
        ErrorRadius.from_dict({key: GOOD[key] for key in GOOD if key not in wrong})


def test_impossible_errors() -> None:
    with pytest.raises(ValueError, match='negative'):
        calibrate(column(-1, 2), None, ONE, people(2))
    with pytest.raises(ValueError, match='no dispersion'):
        calibrate(column(1, 2), column(1, np.nan), ONE, people(2))
    with pytest.raises(ValueError, match='dispersions are'):
        calibrate(column(1, 2), np.ones(2), ONE, people(2))
    with pytest.raises(ValueError, match='1 targets'):
        calibrate(np.ones(3), None, ONE, people(3))


def test_expected_coverage() -> None:
    """Participants differ, and the points of one go together: 15 of them, then a new one."""
    generator = np.random.default_rng(5)
    held = []
    for _ in range(15):
        each = generator.gamma(4.0, 0.5, size=(16, 1, 1))
        spread = generator.gamma(4.0, 0.25, size=(16, 2, 3))
        errors = each * spread * np.array([1.0, 2.0, 3.0]) * generator.gamma(3.0, 1.0, (16, 2, 3))
        known = errors[:15].reshape(30, 3), spread[:15].reshape(30, 3)
        found = calibrate(*known, ('A', 'B', 'C'), np.repeat(people(15), 2))
        radii = [
            list(found.finite_radii(dict(zip('ABC', d, strict=True))).values()) for d in spread[15]
        ]
        held.append((errors[15] <= np.array(radii)).mean())
    assert 0.88 < np.mean(held) < 0.99
