from __future__ import annotations

import numpy as np
import pytest

from tmsprep.methods.duennwald2021.status import (
    EDGE_MM,
    MAX_SPREAD_MM,
    PAIR_STATUSES,
    heatmap_spread,
    pair_status,
)
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('locus-coeruleus')
SHAPE, AFFINE = (100, 100, 100), np.diag([1.0, 1.0, 1.0, 1.0])
NAN = (np.nan,) * 3


@pytest.mark.parametrize(
    ('left', 'right', 'spread', 'expected'),
    [
        ((45, 50, 50), (55, 50, 50), (2, 2), ('ok', 'ok')),
        ((45, 50, 50), (55, 50, 50), (2, 25), ('ok', 'diffuse')),
        ((49, 50, 50), (51, 50, 50), (2, 2), ('far_apart', 'far_apart')),
        ((40, 50, 50), (59, 50, 50), (2, 2), ('far_apart', 'far_apart')),
        ((55, 50, 50), (45, 50, 50), (2, 2), ('wrong_side', 'wrong_side')),
        ((45, 50, 50), NAN, (2, np.nan), ('ok', 'failed')),
        ((-5, 50, 50), (5, 50, 50), (2, 2), ('outside_image', 'ok')),
    ],
)
def test_most_serious_wins(left, right, spread, expected) -> None:
    points = PointSet(('LLC', 'RLC'), np.array([left, right], dtype=float))
    found = pair_status(points, PROTOCOL, SHAPE, AFFINE, np.array(spread, dtype=float))
    assert tuple(found) == expected
    assert set(found) <= set(PAIR_STATUSES)


def test_heatmap_spread() -> None:
    single = np.zeros((5, 6, 7))
    single[2, 3, 4] = 0.2
    assert heatmap_spread(single, 0.75) == 0
    # Two places 4 voxels of 0.5 mm apart: each is 1 mm from the mean.
    two = np.zeros((5, 6, 7))
    two[0, 3, 4] = two[4, 3, 4] = 1
    assert heatmap_spread(two, 0.5) == pytest.approx(1)
    # Even over 96 x 96 x 60 mm: the root of the sum of (n^2 - 1) / 12.
    even = heatmap_spread(np.ones((128, 128, 80), np.float32), 0.75)
    assert even == pytest.approx(0.75 * ((2 * (128**2 - 1) + 80**2 - 1) / 12) ** 0.5)
    assert even > 2 * MAX_SPREAD_MM


@pytest.mark.parametrize(
    ('left', 'right', 'unreliable', 'unseen', 'expected'),
    [
        # The other side is judged alone: it is neither too near nor on the wrong side.
        ((55, 50, 50), (45, 50, 50), (), ('LLC',), ('not_visible', 'ok')),
        ((50, 50, 50), (51, 50, 50), (), ('RLC',), ('ok', 'not_visible')),
        ((45, 50, 50), (90, 50, 50), ('RLC',), (), ('ok', 'unreliable')),
        ((45, 50, 50), (55, 50, 50), (), ('LLC', 'RLC'), ('not_visible', 'not_visible')),
        ((45, 50, 50), (55, 50, 50), ('LLC', 'RLC'), ('RLC',), ('unreliable', 'unreliable')),
        ((-5, 50, 50), (55, 50, 50), (), ('LLC',), ('outside_image', 'ok')),
        (NAN, (55, 50, 50), ('LLC',), ('LLC',), ('failed', 'ok')),
        ((45, 50, 2), (55, 50, 8), (), (), ('near_edge', 'ok')),
    ],
)
def test_two_stages(left, right, unreliable, unseen, expected) -> None:
    points = PointSet(('LLC', 'RLC'), np.array([left, right], dtype=float))
    found = pair_status(
        points,
        PROTOCOL,
        SHAPE,
        AFFINE,
        (2, 2),
        edge_mm=EDGE_MM,
        unreliable=unreliable,
        unseen=unseen,
    )
    assert tuple(found) == expected
    assert set(found) <= set(PAIR_STATUSES)
