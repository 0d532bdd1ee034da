from __future__ import annotations

import numpy as np
import pytest

from tmsprep.methods.duennwald2021.sighting import Sighting
from tmsprep.methods.duennwald2021.stage_checks import judge
from tmsprep.methods.duennwald2021.stage_settings import LIMITS

LABELS = ('LLC', 'RLC')
PAIR = np.array([[-5.0, -37.0, -27.0], [5.0, -37.0, -27.0]])
GOOD = {
    'first': PAIR[None],
    'members': PAIR[None],
    'looked': np.array([True, True]),
    'starts': np.zeros((2, 3), int),
    'heatmaps': np.zeros((2, 8, 8, 8), np.float32),
    'probabilities': np.zeros((2, 8, 8, 8), np.float32),
    'spread_mm': np.array([2.0, 2.0]),
    'dispersion_mm': np.array([0.2, 0.3]),
    'shift_mm': np.array([1.0, 2.0]),
    'visibility': np.array([0.9, 0.8]),
    'finder_mm': 1.0,
    'misfit_mm': 2.0,
    'turn': 20.0,
    'size': 1.1,
}


@pytest.mark.parametrize(
    ('change', 'unreliable', 'unseen', 'words'),
    [
        ({}, (), (), ()),
        ({'visibility': np.array([0.9, 0.49])}, (), ('RLC',), ()),
        # What is not known, as there is no segmenter, says nothing.
        ({'visibility': np.array([np.nan, np.nan])}, (), (), ()),
        ({'dispersion_mm': np.array([1.6, 0.1])}, ('LLC',), (), ('LLC: the networks disagree',)),
        ({'shift_mm': np.array([1.0, 8.1])}, ('RLC',), (), ('RLC: the second stage puts it 8.1',)),
        ({'spread_mm': np.array([5.1, 1.0])}, ('LLC',), (), ('LLC: the heatmap spreads',)),
        # A side that is not seen has no reliable heatmap either.
        (
            {'visibility': np.array([0.1, 0.9]), 'dispersion_mm': np.array([4.0, 0.1])},
            (),
            ('LLC',),
            (),
        ),
        ({'finder_mm': 6.1}, LABELS, (), ('the networks disagree by 6.1 mm on where the brain',)),
        ({'misfit_mm': 6.1, 'visibility': np.zeros(2)}, LABELS, (), ('the landmarks of the',)),
        ({'misfit_mm': np.nan, 'turn': np.nan, 'size': np.nan}, (), (), ()),
        ({'turn': 61.0}, LABELS, (), ('the brainstem would be turned by 61',)),
        ({'size': 0.6}, LABELS, (), ('the brainstem would have 0.60',)),
        ({'size': 1.5, 'turn': 90.0}, LABELS, (), ('the brainstem would have 1.50',)),
        # A side outside of the image was not looked for; its status says where it is.
        (
            {
                'looked': np.array([True, False]),
                'visibility': np.array([0.9, 0.0]),
                'spread_mm': np.array([2.0, np.nan]),
                'dispersion_mm': np.array([0.2, np.nan]),
                'shift_mm': np.array([1.0, np.nan]),
            },
            (),
            (),
            (),
        ),
    ],
)
def test_judgement(change: dict, unreliable: tuple, unseen: tuple, words: tuple) -> None:
    found = judge(Sighting(**{**GOOD, **change}), LIMITS, LABELS)
    assert (found.unreliable, found.unseen) == (unreliable, unseen)
    assert len(found.findings) == len(words)
    for finding, start in zip(found.findings, words, strict=True):
        assert finding.startswith(start)
