from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.membership import DISTANCE, membership_table
from tmsprep.tables import SETTLED


def test_membership_table() -> None:
    """Three of four points in the gyrus, all known ones near it; unknown ones are not counted."""
    distances = [0.0, 0.0, 0.0, 2.0, np.nan]
    points = pd.DataFrame({'participant_id': list('abcde'), 'label': 'A', DISTANCE: distances})
    other = points.assign(label='B', **{DISTANCE: [2.1, 0.0, np.nan, np.nan, np.nan]})
    both = pd.concat([points, other]).assign(method='syn')
    rows = {'A': ('A',), 'B': ('B',), 'MEAN': ('A', 'B')}
    table = membership_table(both, rows, 1).set_index('label')
    assert table['inside'].to_dict() == pytest.approx({'A': 0.75, 'B': 0.5, 'MEAN': 4 / 6})
    assert table['near'].to_dict() == pytest.approx({'A': 1, 'B': 0.5, 'MEAN': 5 / 6})
    assert table['n'].tolist() == [4, 2, 6]
    assert table['people'].tolist() == [4, 2, 4]
    assert (table['ci_low'] <= table['inside']).all()
    assert (table['ci_high'] >= table['inside']).all()


def test_moved() -> None:
    """Where points were moved there themselves, the table says so."""
    points = pd.DataFrame({'participant_id': list('ab'), 'label': 'A', DISTANCE: 0.0})
    points['method'], points[SETTLED] = 'one', [1.5, np.nan]
    both = pd.concat([points, points.assign(method='two', **{SETTLED: np.nan})])
    reasons = membership_table(both, {'A': ('A',)}, 1).set_index('method')['reason']
    assert SETTLED in reasons['one']
    assert reasons['two'] == ''


def test_nothing_known() -> None:
    points = pd.DataFrame({'participant_id': ['a'], 'label': ['A'], 'method': ['cnn']})
    assert membership_table(points.assign(**{DISTANCE: np.nan}), {'A': ('A',)}, 1).empty
