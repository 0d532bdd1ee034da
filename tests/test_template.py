from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.protocols import load_protocol
from tmsprep.template import REFERENCE, SPACES, between, template_of

PLACES = st.tuples(*[st.floats(-100, 100)] * 3)


@given(place=PLACES, start=st.sampled_from(sorted(SPACES)), end=st.sampled_from(sorted(SPACES)))
def test_between_and_back(place: tuple, start: str, end: str) -> None:
    there = between(np.array([place]), start, end)
    np.testing.assert_allclose(between(there, end, start), [place], atol=1e-9)


@pytest.mark.parametrize('space', ['MNI152NLin2009bSym', 'MNI152NLin2009cSym'])
def test_symmetric_averages_are_one_space(space: str) -> None:
    assert between(np.array([[0.0, -6, 58]]), space, REFERENCE).tolist() == [[0, -6, 58]]


def test_yaw_of_fsl() -> None:
    """The ventral occipital horns as raters found them in both (Lau et al. 2019)."""
    horns = np.array([[21.46, -78.081, 3.601], [-18.810, -80.855, 3.250]])
    there = np.array([[19.837, -81.169, 3.907], [-19.935, -81.263, 4.249]])
    moved = between(horns, 'MNI152NLin6Asym', REFERENCE)
    assert np.linalg.norm(horns - there, axis=1).round(1).tolist() == [3.5, 1.6]
    assert np.linalg.norm(moved - there, axis=1).round(1).tolist() == [1.9, 0.7]


def test_unknown_space() -> None:
    with pytest.raises(KeyError, match='Talairach'):
        between(np.zeros((1, 3)), 'Talairach', REFERENCE)


@pytest.mark.parametrize(
    ('protocol', 'space'), [('tms', REFERENCE), ('afids', ''), ('locus-coeruleus', '')]
)
def test_template_of_protocol(protocol: str, space: str) -> None:
    assert template_of(load_protocol(protocol)) == space
