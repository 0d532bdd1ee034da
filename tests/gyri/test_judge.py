from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gyri_data import slabs, uncertain

from tmsprep.gyri.judge import NOWHERE, Place, doubt, place_points
from tmsprep.gyri.labels import NAMES
from tmsprep.gyri.limits import Limits
from tmsprep.gyri.probabilities import Parcellation

LIMITS = Limits()
HAND = ('L', 'precentral gyrus')
NO_GYRUS = ('L', '')


def place(
    point: tuple[float, ...],
    expected: tuple[str, str] = HAND,
    parcellation: Parcellation | None = None,
) -> Place:
    brain = slabs() if parcellation is None else parcellation
    (found,) = place_points(brain, np.array([point], dtype=float), [expected])
    return found


@pytest.mark.parametrize(
    ('point', 'name', 'expected', 'distance', 'doubtful'),
    [
        ((-30, 20, 56), 'left precentral gyrus', 1, 0, ''),
        ((-30, -20, 56), 'left postcentral gyrus', 0, 20, 'wrong_gyrus'),
        ((30, 20, 56), 'right precentral gyrus', 0, 30, 'wrong_gyrus'),
        # 2 mm above the cortex and in the white matter below it.
        ((-31, 21, 62), 'left precentral gyrus', 1, 2, ''),
        ((-31, 21, 48), 'left precentral gyrus', 1, 2, ''),
        ((-31, 21, 35), '', 0, 15, 'wrong_gyrus'),
        ((-31, 21, 80), '', 0, 20, 'wrong_gyrus'),
    ],
)
def test_place(point: tuple, name: str, expected: float, distance: float, doubtful: str) -> None:
    found = place(point)
    assert found.name == name
    assert found.expected_probability == pytest.approx(expected, abs=1e-6)
    assert found.distance_mm == pytest.approx(distance, abs=0.5)
    assert doubt(found, HAND, LIMITS) == doubtful


def test_border() -> None:
    """Half of the ball around a point on the border lies in each gyrus."""
    found = place((-31, 0, 55))
    assert found.expected_probability == pytest.approx(0.5, abs=1e-6)
    ahead, behind = place((-31, 1, 55)), place((-31, -1, 55))
    assert ahead.expected_probability + behind.expected_probability == pytest.approx(1, abs=1e-6)
    assert ahead.name == 'left precentral gyrus'
    assert behind.name == 'left postcentral gyrus'
    assert doubt(ahead, HAND, LIMITS) == ''
    assert doubt(behind, HAND, LIMITS) == 'gyrus_unknown'


@pytest.mark.parametrize('shift', [(0, 0, 0), (5, -3, 40)])
@pytest.mark.parametrize(('z', 'depth'), [(59, 1), (57, 3), (52, 8), (62, 0)])
def test_depth_below_hull(z: float, depth: float, shift: tuple) -> None:
    point = tuple(np.add((-31, 21, z), shift))
    assert place(point, parcellation=slabs(shift)).depth_mm == pytest.approx(depth, abs=0.3)


def test_depth_facing_up() -> None:
    """The crown in the fissure is 20 mm above the sea, far below the hull."""
    found = place((-31, 21, 16), ('L', 'transverse temporal gyrus'))
    assert found.name == 'left transverse temporal gyrus'
    assert found.depth_mm == pytest.approx(4, abs=0.2)


def test_midline() -> None:
    """Each hemisphere's grid sees both sides of the midline."""
    left, right = place((-2, 21, 55)), place((2, 21, 55))
    assert (left.name, right.name) == ('left precentral gyrus', 'right precentral gyrus')
    assert left.expected_probability + right.expected_probability == pytest.approx(1, abs=1e-6)
    assert left.expected_probability > 0.8
    either = place((2, 21, 55), ('n/a', 'precentral gyrus'))
    assert either.expected_probability == pytest.approx(1, abs=1e-6)


def test_far_lateral() -> None:
    """A point on the far side lies outside the grid of the side that is expected."""
    found = place((60, 21, 55))
    assert found.name == 'right precentral gyrus'
    assert doubt(found, HAND, LIMITS) == 'wrong_gyrus'


def test_uncertain_network() -> None:
    """The expected gyrus has a probability of 0.4, and the other one 0.6: it cannot be told."""
    brain = uncertain(slabs(), 'precentral gyrus', 'middle frontal gyrus', 0.6)
    found = place((-31, 21, 55), parcellation=brain)
    assert found.name == 'left middle frontal gyrus'
    assert found.probability == pytest.approx(0.6, abs=1e-6)
    assert found.expected_probability == pytest.approx(0.4, abs=1e-6)
    assert doubt(found, HAND, LIMITS) == 'gyrus_unknown'
    strict = replace(LIMITS, sure=0.6, wrong=0.45)
    assert doubt(found, HAND, strict) == 'gyrus_unknown'  # the gyrus is nowhere more likely
    assert doubt(found, HAND, replace(LIMITS, sure=0.39)) == ''


def test_gyrus_not_seen() -> None:
    """Where the network sees no precentral gyrus at all, nothing is said of the points."""
    brain = uncertain(slabs(), 'precentral gyrus', 'middle frontal gyrus', 1.0)
    found = place((-31, 21, 55), parcellation=brain)
    assert found.name == 'left middle frontal gyrus'
    assert math.isnan(found.distance_mm)
    assert doubt(found, HAND, LIMITS) == 'gyrus_unknown'


def test_nothing_known() -> None:
    points = np.array([[-31, 21, 55], [np.nan] * 3, [0, 300, 0]])
    expected = [HAND] * 3
    found = place_points(slabs(), points, expected)
    assert [one.name for one in found] == ['left precentral gyrus', '', '']
    assert found[1:] == [NOWHERE, NOWHERE]
    assert doubt(found[2], HAND, LIMITS) == 'gyrus_unknown'
    assert place_points(None, points, expected) == [NOWHERE] * 3


def test_nothing_expected() -> None:
    found = place((-31, -21, 57), NO_GYRUS)
    assert found.name == 'left postcentral gyrus'
    assert found.depth_mm == pytest.approx(3, abs=0.3)
    assert math.isnan(found.expected_probability)
    assert doubt(found, NO_GYRUS, LIMITS) == ''


def test_mirrored() -> None:
    """The left and the right hemisphere of a symmetric brain are judged alike."""
    left = place((-21, 3, 56.5))
    right = place((21, 3, 56.5), ('R', 'precentral gyrus'))
    assert replace(right, side='L') == pytest.approx(left)


def test_saved(tmp_path: Path) -> None:
    brain = uncertain(slabs((1, 2, 3)), 'precentral gyrus', 'postcentral gyrus', 0.3)
    brain = replace(brain, limits=Limits(sure=0.7))
    path = brain.save(tmp_path / 'gyri.npz')
    again = Parcellation.load(path)
    index = NAMES.index('precentral gyrus')
    for side in 'LR':
        np.testing.assert_array_equal(again.affines[side], brain.affines[side])
        np.testing.assert_allclose(
            again.probabilities[side][index], brain.probabilities[side][index], atol=0.002
        )
    assert again.limits == Limits(sure=0.7)
    first = path.read_bytes()
    assert again.save(path).read_bytes() == first


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 damaged', b'text'])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'gyri.npz'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'gyri\.npz: damaged'):
        Parcellation.load(path)


@pytest.mark.parametrize('changes', [{'sure': 0.1}, {'wrong': -1.0}, {'far_mm': math.nan}])
def test_limits(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r'must be|cannot be'):
        Limits(**changes)
