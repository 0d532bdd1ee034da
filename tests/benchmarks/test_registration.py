from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.points import PointSet

from registration_parts.page import write_page
from registration_parts.register import ANTS
from registration_parts.summaries import DEFAULT, compare, describe_masks, median_points


def rows(method: str, name: str, errors: list[float], away: list[float]) -> pd.DataFrame:
    """Points of one participant, one per error; up to 0.5 mm from its gyrus is in it."""
    return pd.DataFrame(
        {
            'group': 'MICCAI 2012, others',
            'participant_id': name,
            'method': method,
            'label': [f'T{number}' for number in range(len(errors))],
            'gyrus_mm': away,
            'inside': [np.nan if np.isnan(mm) else float(mm <= 0.5) for mm in away],
            'error_mm': errors,
        }
    )


@pytest.fixture
def points() -> pd.DataFrame:
    """Default on three participants, the other on two of them, 1 and 3 mm farther on average."""
    return pd.concat(
        [
            rows(DEFAULT, 'sub-1', [1, 2], [0, 0]),
            rows(DEFAULT, 'sub-2', [2, 4], [0, 1]),
            rows(DEFAULT, 'sub-3', [9, 9], [5, 5]),
            rows(ANTS, 'sub-1', [2, 3], [0, 1.5]),
            rows(ANTS, 'sub-2', [5, np.nan], [3, np.nan]),
        ]
    )


def test_compared_on_the_same_participants(points: pd.DataFrame) -> None:
    default, ants = compare(points).to_dict('records')
    assert (default['people'], default['points'], default['inside']) == (3, 6, 0.5)
    assert (ants['people'], ants['points'], ants['failed']) == (2, 4, 1)
    assert ants['inside'] == pytest.approx(1 / 3)
    assert ants['near'] == pytest.approx(2 / 3)
    assert (ants['inside_default'], ants['near_default']) == (0.75, 1)
    assert (ants['error_default'], ants['difference']) == (2.25, 2)
    # Standard error 1, and 12.706 is the 97.5th percentile of t with one degree of freedom.
    assert (ants['low'], ants['high']) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)


def test_median_of_heads() -> None:
    places = ([[1, 0, 9], [np.nan] * 3], [[2, 5, 8], [4, 4, 4]], [[9, 1, 7], [6, 6, 6]])
    sets = [PointSet(('a', 'b'), np.array(one, float)) for one in places]
    assert median_points(sets).coordinates.tolist() == [[2, 1, 8], [5, 5, 5]]
    missing = PointSet(('a',), np.full((1, 3), np.nan))
    assert not median_points([missing, missing]).found.any()


def test_masks_described() -> None:
    table = pd.DataFrame(
        {
            'group': 'IXI, test',
            'program': 'tmsprep',
            'dice': [0.9, 0.98],
            'missed': [0.1, 0.0],
            'beyond': [0.1, 0.04],
            'exact_ml': [1000, 1500],
            'found_ml': [1000, 1530],
        }
    )
    [found] = describe_masks(table).to_dict('records')
    assert (found['people'], found['dice'], found['least']) == (2, pytest.approx(0.94), 0.9)
    assert (found['missed'], found['volume']) == (0.05, pytest.approx(1.01))


def test_page(points: pd.DataFrame) -> None:
    tables = {
        'points': compare(points),
        'targets': compare(points).assign(label='T0'),
        'times': pd.DataFrame(),
        'masks': pd.DataFrame(),
    }
    page = write_page(tables, ['sub-8', 'sub-9'], 'abc123')
    assert '(sub-8, sub-9)' in page
    assert 'sha256 `abc123`' in page
    assert 'was run on 2 of MICCAI 2012, others.' in page
    assert (
        '| 33.3 % (75.0 %) | 66.7 % (100.0 %) | 3.33 (2.25) | +2.00 (-10.71 to +14.71) |' in page
    )
    assert '| T0 | 50 / 67 | 33 / 67 |' in page
