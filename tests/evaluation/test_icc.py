from __future__ import annotations

import numpy as np
import pytest

from tmsprep.evaluation.icc import icc_agreement

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
"""Table 2 of Shrout and Fleiss 1979: six people, four judges."""


def test_shrout_and_fleiss_1979() -> None:
    found = icc_agreement(SHROUT_FLEISS)
    # ICC(2,1) of their Table 4; the interval as McGraw and Wong's formulas give it.
    assert found.icc == pytest.approx(0.29, abs=0.005)
    assert found.low == pytest.approx(0.019, abs=0.0005)
    assert found.high == pytest.approx(0.761, abs=0.0005)
    assert found.n == 6


def test_two_methods_by_hand() -> None:
    # Three people 1, 2, 3, the second method 1 higher: mean squares of people 2, methods 1.5,
    # rest 0, so (2 - 0) / (2 + 0 + 2 (1.5 - 0) / 3) = 2 / 3.
    found = icc_agreement(np.array([[1, 2], [2, 3], [3, 4.0]]))
    assert found.icc == pytest.approx(2 / 3)


def test_equal_measurements_agree() -> None:
    values = np.repeat([[1.1], [1.2], [1.35]], 2, axis=1)
    assert icc_agreement(values) == (1, 1, 1, 3)


def test_people_with_a_missing_value_are_left_out() -> None:
    values = np.vstack([SHROUT_FLEISS[:, :2], [[5, np.nan], [np.nan, 5]]])
    assert icc_agreement(values) == icc_agreement(SHROUT_FLEISS[:, :2])


@pytest.mark.parametrize(
    'values',
    [
        np.empty((0, 2)),
        np.array([[1.0, 2], [3, 4]]),
        np.array([[1.0, 2], [1, 4], [1, 5]]),
        np.array([[np.nan, 2], [1, 4], [2, 5]]),
    ],
    ids=['nobody', 'two people', 'a constant method', 'two left'],
)
def test_what_cannot_be_said(values: np.ndarray) -> None:
    found = icc_agreement(values)
    assert np.isnan(found[:3]).all()
    assert found.n == np.isfinite(values).all(axis=1).sum()


def test_pingouin_keeps_its_own_settings() -> None:
    import pingouin

    before = dict(pingouin.options)
    icc_agreement(SHROUT_FLEISS)
    assert pingouin.options == before


@pytest.mark.parametrize('shape', [(5,), (5, 1)])
def test_one_method_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='methods'):
        icc_agreement(np.ones(shape))
