from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.dispersion import dispersion
from tmsprep.evaluation.errors import COLUMNS, errors_against_consensus
from tmsprep.evaluation.variability import (
    expert_variability,
    leave_one_rater_out,
    repetition_deviations,
)

NAN = np.nan


def points(places: dict[str, float], **more: object) -> pd.DataFrame:
    """Methods on the x axis of one image, one target."""
    rows = [
        {
            'participant_id': 'sub-1',
            'image': 'sub-1',
            'method': method.split()[0],
            'repetition': float(method.split()[1]) if ' ' in method else NAN,
            'label': 'A',
            'x': x,
            'y': 0 * x,
            'z': 0 * x,
            'status': 'consensus' if method == 'consensus' else 'ok',
        }
        for method, x in places.items()
    ]
    return pd.DataFrame(rows).assign(dispersion_mm=NAN, **more)


def test_each_rater_against_the_consensus() -> None:
    table = points({'rater-a': 0, 'rater-b': 6, 'rater-c': 30, 'consensus': 3, 'cnn': 9})
    found = expert_variability(errors_against_consensus(table))
    assert list(found['method']) == ['rater-a', 'rater-b', 'rater-c']
    assert list(found['error_mm']) == [3, 3, 27]


def test_each_rater_against_the_others() -> None:
    found = leave_one_rater_out(points({'rater-a': 0, 'rater-b': 6, 'rater-c': 9, 'cnn': 50}))
    assert list(found['error_mm']) == [7.5, 1.5, 6]
    assert set(found['others']) == {2}
    assert set(found['status']) == {'consensus'}
    assert list(found.columns) == [*COLUMNS, 'others', 'status']


def test_others_who_disagree_are_no_reference() -> None:
    found = leave_one_rater_out(points({'rater-a': 0, 'rater-b': 10, 'rater-c': 20}))
    np.testing.assert_array_equal(found['error_mm'], [15, NAN, 15])
    assert list(found['status']) == ['consensus', 'no_consensus', 'consensus']


def test_of_two_raters_each_is_the_others_reference() -> None:
    found = leave_one_rater_out(points({'rater-a': 0, 'rater-b': 10, 'rater-c': NAN}))
    np.testing.assert_array_equal(found['error_mm'], [10, 10, NAN])
    assert list(found['others']) == [1, 1, 2]


def test_one_rater_has_nobody_to_compare_with() -> None:
    found = leave_one_rater_out(points({'rater-a': 0}))
    assert list(found['status']) == ['missing']
    assert found['error_mm'].isna().all()
    assert leave_one_rater_out(points({'cnn': 0})).empty


def test_counting_oneself_makes_the_distance_smaller() -> None:
    # Three raters around one place: the share is sqrt(2/3) of sqrt(3/2), so 2/3.
    random = np.random.default_rng(1)
    parts = []
    for i in range(200):
        a, b, c = random.normal(size=3)
        places = {'rater-a': a, 'rater-b': b, 'rater-c': c, 'consensus': (a + b + c) / 3}
        parts.append(points(places, participant_id=f'sub-{i}', image=f'sub-{i}'))
    table = pd.concat(parts)
    with_self = expert_variability(errors_against_consensus(table))['error_mm'].mean()
    assert with_self / leave_one_rater_out(table)['error_mm'].mean() == pytest.approx(2 / 3)


def test_deviations_are_the_terms_of_equation_3() -> None:
    table = points({'crossval-shared 1': 0, 'crossval-shared 2': 1, 'crossval-shared 3': 5})
    found = repetition_deviations(pd.concat([table, points({'cnn': 100})]))
    assert list(found['error_mm']) == [2, 1, 3]
    assert found['error_mm'].mean() == dispersion(table[list('xyz')].to_numpy()[:, None])[0]


def test_deviations_need_every_repetition() -> None:
    found = repetition_deviations(points({'crossval-none 1': 0, 'crossval-none 2': NAN}))
    assert found['error_mm'].isna().all()
    assert repetition_deviations(points({'cnn': 0})).empty


def test_variants_do_not_share_a_mean() -> None:
    found = repetition_deviations(
        points({'crossval-none 1': 0, 'crossval-none 2': 2, 'crossval-shared 1': 50})
    )
    assert list(found['error_mm']) == [1, 1, 0]
