from __future__ import annotations

import numpy as np
import pytest

from tmsprep.methods.duennwald2021.components import keep_plausible

VOXEL_MM = 1.0


def labels(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """Volume of 40 mm with boxes: label, x, y, and from where to where in z; 2 x 2 mm thick."""
    made = np.zeros((40, 40, 40), np.uint8)
    for label, x, y, low, high in boxes:
        made[x : x + 2, y : y + 2, low:high] = label
    return made


PAIR = ((1, 14, 20, 10, 20), (2, 24, 20, 10, 20))


def test_pair() -> None:
    np.testing.assert_array_equal(keep_plausible(labels(*PAIR), VOXEL_MM), labels(*PAIR))


@pytest.mark.parametrize(
    'extra',
    [
        (1, 2, 30, 5, 18),
        (2, 34, 2, 0, 13),
        (1, 18, 30, 5, 8),
        (2, 30, 20, 1, 40),
        (1, 20, 0, 7, 7 + 12),
    ],
    ids=['far left', 'far right', 'smaller', 'too long', 'far behind'],
)
def test_false_parts(extra: tuple[int, int, int, int, int]) -> None:
    cleaned = keep_plausible(labels(*PAIR, extra), VOXEL_MM)
    np.testing.assert_array_equal(cleaned, labels(*PAIR))


def test_exchanged_sides() -> None:
    swapped = labels((2, 14, 20, 10, 20), (1, 24, 20, 10, 21))
    # No pair: the larger part alone.
    np.testing.assert_array_equal(keep_plausible(swapped, VOXEL_MM), labels((1, 24, 20, 10, 21)))


def test_single_part() -> None:
    alone = labels(PAIR[0])
    dusty = alone.copy()
    dusty[24, 20, 15] = 2
    np.testing.assert_array_equal(keep_plausible(dusty, VOXEL_MM), alone)


def test_broken_rod() -> None:
    broken = labels(PAIR[0], (2, 24, 20, 10, 13), (2, 24, 20, 15, 22))
    # A gap of two voxels of 0.75 mm is closed, one of two times 1 mm is not.
    np.testing.assert_array_equal(keep_plausible(broken, 0.75), broken)
    longer = labels(PAIR[0], (2, 24, 20, 15, 22))
    np.testing.assert_array_equal(keep_plausible(broken, VOXEL_MM), longer)


def test_no_part() -> None:
    cleaned = keep_plausible(np.zeros((3, 3, 3), np.uint8), VOXEL_MM)
    assert cleaned.dtype == np.uint8
    assert not cleaned.any()
