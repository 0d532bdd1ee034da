from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.evaluation.masks import centres_of_mass, dice, false_discovery_rate

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1.0]])
MASKS = st.lists(st.booleans(), min_size=6, max_size=6).map(np.array)


def test_overlap_by_hand() -> None:
    # Predicted 4 voxels, the rater 5; 3 in common: FP = 1, FN = 2.
    predicted = np.array([1, 1, 1, 1, 0, 0, 0])
    manual = np.array([1, 1, 1, 0, 2, 2, 0])
    assert dice(predicted, manual) == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert false_discovery_rate(predicted, manual) == pytest.approx(1 / 4)
    assert false_discovery_rate(manual, predicted) == pytest.approx(2 / 5)


def test_empty_masks() -> None:
    empty, full = np.zeros(4), np.ones(4)
    assert np.isnan(dice(empty, empty))
    assert dice(empty, full) == dice(full, empty) == 0
    assert np.isnan(false_discovery_rate(empty, full))
    assert np.isnan(false_discovery_rate(empty, empty))
    assert false_discovery_rate(full, empty) == 1


@given(first=MASKS, second=MASKS)
def test_dice_symmetric(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_equal(dice(first, second), dice(second, first))
    if first.any():
        assert dice(first, first) == 1
        assert false_discovery_rate(first, first) == 0
        assert 0 <= dice(first, second) <= 1


@pytest.mark.parametrize('measure', [dice, false_discovery_rate])
def test_shapes(measure: Callable) -> None:
    with pytest.raises(ValueError, match='shapes'):
        measure(np.ones((2, 1)), np.ones((1, 2)))


def test_centres_by_hand() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 1, 2] = labels[2, 1, 2] = 1
    labels[3, 3, 0] = 2
    centres = centres_of_mass(labels, AFFINE)
    np.testing.assert_allclose(centres, [[9.5, -19.5, 9], [8.5, -18.5, 5]])


def test_absent_label() -> None:
    labels = np.zeros((2, 2, 2), np.uint8)
    labels[1, 1, 1] = 2
    centres = centres_of_mass(labels, np.eye(4))
    assert np.isnan(centres[0]).all()
    assert centres[1].tolist() == [1, 1, 1]
    assert centres_of_mass(labels, np.eye(4), values=(2,)).tolist() == [[1, 1, 1]]
