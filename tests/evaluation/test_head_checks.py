from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.annotation_checks import check_points
from tmsprep.evaluation.findings import Finding
from tmsprep.evaluation.head_checks import far_from_methods
from tmsprep.evaluation.shape import protocol_shape
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol


def head(name: str, change: Callable[[np.ndarray], np.ndarray]) -> list[Finding]:
    """Check the points of a head of 0.9 of the template's size, moved, after a change."""
    protocol = load_protocol(name)
    places = protocol_shape(protocol)
    assert places is not None
    points = PointSet(places.labels, change(0.9 * places.coordinates + [3, -15, 20]))
    return [found for found in check_points(points, protocol) if found.severity != 'note']


AXES = [np.eye(3)[list(order)] for order in itertools.permutations(range(3))]
SIGNS = [np.diag(signs) for signs in itertools.product((1, -1), repeat=3)]
WRONG_AXES = [axes @ signs for axes in AXES for signs in SIGNS][1:]


@pytest.mark.parametrize('name', ['tms', 'afids'])
def test_every_wrong_axis(name: str) -> None:
    """All 47 ways to exchange and negate axes are refused."""
    for matrix in WRONG_AXES:
        found = head(name, lambda points, by=matrix: points @ by.T)
        assert [(finding.severity, finding.label) for finding in found] == [('error', None)]


@pytest.mark.parametrize('name', ['tms', 'afids'])
@pytest.mark.parametrize('size', [0.1, 1 / 25.4, 10, 2.54])
def test_other_unit(name: str, size: float) -> None:
    (finding,) = head(name, lambda points: points * size)
    assert (finding.severity, finding.label) == ('error', None)
    assert f'{0.9 * size:.2g} times as far apart as in a head' in finding.message


@pytest.mark.parametrize('name', ['tms', 'afids'])
def test_shuffled_names(name: str) -> None:
    (finding,) = head(name, lambda points: np.roll(points, 4, axis=0))
    assert finding.label is None


@pytest.mark.parametrize('name', ['tms', 'afids'])
@settings(max_examples=40)
@given(
    size=st.floats(0.6, 1.3),
    angles=st.tuples(*[st.floats(-24, 24)] * 3),
    seed=st.integers(0, 1000),
)
def test_heads_pass(name: str, size: float, angles: tuple[float, float, float], seed: int) -> None:
    """A small or large head, turned about each axis, with errors of 5 mm, is a head."""
    turn = Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    error = np.random.default_rng(seed).normal(0, 3, (len(load_protocol(name).labels), 3))
    found = head(name, lambda points: size * points @ turn.T + error + [20, 30, -40])
    # Errors of 5 mm may take a point that lies near the midline across it.
    assert [finding for finding in found if 'head' in finding.message] == []


@pytest.mark.parametrize(('name', 'label'), [('tms', 'RDLPFC'), ('afids', '21')])
def test_single_slip(name: str, label: str) -> None:
    slip = np.zeros((len(load_protocol(name).labels), 3))
    slip[load_protocol(name).labels.index(label)] = (0, 0, 70)
    (finding,) = head(name, lambda points: points + slip)
    assert (finding.severity, finding.label) == ('error', label)
    assert 'mm from its place in a head' in finding.message


def test_few_points() -> None:
    """Two points show the unit, three the axes."""
    protocol = load_protocol('tms')
    places = protocol_shape(protocol)
    assert places is not None
    for labels, matrix in (
        (('LOFC', 'LULIMBMC'), 0.1 * np.eye(3)),
        (('LOFC', 'LULIMBMC', 'ROFC'), np.diag([1, -1, -1])),
    ):
        few = places.reindex(labels)
        assert {f.severity for f in check_points(few, protocol)} == {'note'}
        changed = PointSet(labels, few.coordinates @ matrix)
        assert 'error' in {f.severity for f in check_points(changed, protocol)}


def test_far_from_methods() -> None:
    places = protocol_shape(load_protocol('tms'))
    assert places is not None

    def moved(by: float) -> PointSet:
        return PointSet(places.labels, places.coordinates + np.array([by, 0, 0]))

    assert far_from_methods(places, {}) == []
    assert far_from_methods(places, {'one': moved(20)}) == []
    assert far_from_methods(places, {'one': moved(90), 'two': moved(3)}) == []
    (finding,) = far_from_methods(places, {'one': moved(90), 'two': moved(21)})
    assert (finding.severity, finding.label) == ('warning', None)
    assert '90 mm from those by one and 21 mm from those by two (median)' in finding.message
    assert far_from_methods(places.reindex(['LOFC', 'ROFC', 'LHESCHL']), {'one': moved(90)}) == []
