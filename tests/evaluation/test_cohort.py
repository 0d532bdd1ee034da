"""Participants against their cohort: tables worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.evaluation.cohort import (
    FEWEST,
    LEAST_SD_MM,
    cohort_table,
    modified_z,
    rank_images,
)
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol(
    'pair',
    'A pair',
    'made up',
    (
        Target('LA', 'L', 'left', 'test', mirror='RA'),
        Target('RA', 'R', 'right', 'test', mirror='LA'),
    ),
)


def _points(*rows: tuple) -> pd.DataFrame:
    """Rows: participant, method, label, (x, y, z), status, radius, (mni_x, mni_y, mni_z)."""
    return pd.DataFrame(
        [
            {
                'participant_id': f'sub-{who}',
                'image': f'sub-{who}',
                'method': method,
                'label': label,
                **dict(zip('xyz', place, strict=True)),
                'status': status,
                'error90_mm': radius,
                **dict(zip(('mni_x', 'mni_y', 'mni_z'), mni, strict=True)),
                'mni_from': 'registration',
            }
            for who, method, label, place, status, radius, mni in rows
        ]
    )


def _cohort(*mni_x: float) -> pd.DataFrame:
    """One participant per number, whose left point lies there; the right ones are all alike."""
    rows = []
    for i, x in enumerate(mni_x):
        rows.append((f'{i:02}', 'one', 'LA', (x, 0, 0), 'ok', 4.0, (x, 0, 0)))
        rows.append((f'{i:02}', 'one', 'RA', (40, 0, 0), 'ok', 4.0, (40, 0, 0)))
    return _points(*rows)


def _choice(points: pd.DataFrame, method: str = 'one') -> dict[tuple[str, str], str]:
    return dict.fromkeys(zip(points['image'], points['label'], strict=True), method)


def test_distances_of_one_participant():
    nan = (np.nan,) * 3
    points = _points(
        ('1', 'one', 'LA', (-30, 0, 0), 'ok', 4.0, (-40, 3, 0)),
        ('1', 'one', 'RA', (30, 0, 0), 'ok', 5.0, (40, 0, 4)),
        ('1', 'two', 'LA', (-30, 3, 4), 'ok', np.nan, (-40, 6, 4)),
        ('1', 'two', 'RA', nan, 'failed', np.nan, nan),
    )
    table = cohort_table(points, PROTOCOL, _choice(points))
    assert table['label'].tolist() == ['LA', 'RA']
    np.testing.assert_allclose(table['method_distance_mm'], [5, np.nan])
    # Mirrored at x = 0 they are 3 mm apart along y and 4 along z.
    np.testing.assert_allclose(table['asymmetry_mm'], [5, 5])
    assert table['outlier_z'].isna().all(), 'one participant is no cohort'


def test_distance_from_the_cohort_is_from_the_median():
    table = cohort_table(_cohort(-40, -40, -41, -39, -50), PROTOCOL, _choice(_cohort(*range(5))))
    left = table[table['label'] == 'LA']
    np.testing.assert_allclose(left['mni_distance_mm'], [0, 0, 1, 1, 10])
    # The median distance is 1, the deviations are 1 1 0 0 9, their median 1: sd 1 / 0.6745.
    assert left['outlier_z'].iloc[-1] == pytest.approx(9 * 0.6745)


def test_only_the_chosen_method_is_shown():
    points = _points(
        ('1', 'one', 'LA', (-30, 0, 0), 'disagreement', 4.0, (-40, 0, 0)),
        ('1', 'two', 'LA', (-30, 20, 0), 'ok', np.nan, (-40, 20, 0)),
    )
    table = cohort_table(points, PROTOCOL, {('sub-1', 'LA'): 'two'})
    assert table['method'].tolist() == ['two']
    assert table['method_distance_mm'].tolist() == [20]


def test_an_unusable_point_has_no_measures():
    points = _cohort(-40, -40, -41, -39, -50)
    points.loc[0, 'status'] = 'unreliable'
    chosen = {key: method for key, method in _choice(points).items() if key != ('sub-00', 'LA')}
    table = cohort_table(points, PROTOCOL, chosen)
    row = table.iloc[0]
    assert row['status'] == 'unreliable'
    assert np.isnan(row[['error90_mm', 'mni_x', 'mni_distance_mm', 'asymmetry_mm']].tolist()).all()
    # Nor does it move the median of the others: -40 -41 -39 -50.
    left = table[(table['label'] == 'LA') & table['mni_x'].notna()]
    np.testing.assert_allclose(left['mni_distance_mm'], [0.5, 0.5, 1.5, 9.5])


def test_who_comes_first():
    points = _cohort(-40, -40, -41, -39, -60, -40)
    points.loc[(points['image'] == 'sub-02') & (points['label'] == 'RA'), 'status'] = 'unreliable'
    points.loc[(points['image'] == 'sub-03') & (points['label'] == 'RA'), 'status'] = 'near_edge'
    ranked = rank_images(cohort_table(points, PROTOCOL, _choice(points)))
    assert ranked['image'].tolist()[:3] == ['sub-02', 'sub-03', 'sub-04']
    assert ranked['unusable'].tolist() == [1, 0, 0, 0, 0, 0]
    assert ranked['warned'].tolist() == [0, 1, 0, 0, 0, 0]
    assert ranked.loc[0, 'label'] == 'RA'
    third = ranked.loc[2]
    assert (third['label'], third['outlier_measure']) == ('LA', 'asymmetry_mm')
    # Left to right differences: 0, 0, missing, 1, 20, 0; the median is 0, and so is the MAD.
    assert third['outlier_z'] == pytest.approx(20 / LEAST_SD_MM)
    assert third['outliers'] == 2
    assert third['mni_distance_mm'] == 20


def test_few_values_have_no_score():
    assert np.isnan(modified_z([1.0] * (FEWEST - 1))).all()
    assert np.isnan(modified_z([1.0, 2, 3, np.nan, 5])).all()


@given(st.lists(st.floats(0, 1e3), min_size=FEWEST, max_size=30), st.floats(-100, 100))
def test_scores_do_not_depend_on_the_origin(values: list[float], shift: float):
    moved = modified_z(np.array(values) + shift)
    np.testing.assert_allclose(moved, modified_z(values), atol=1e-6)


@given(st.lists(st.floats(0, LEAST_SD_MM), min_size=FEWEST, max_size=30))
def test_differences_below_a_millimetre_are_no_outliers(values: list[float]):
    assert (np.abs(modified_z(values)) <= 1.0).all()


def test_one_method_without_a_template():
    points = _cohort(-40, -40, -41, -39, -50)
    points[['mni_x', 'mni_y', 'mni_z']] = np.nan
    table = cohort_table(points, PROTOCOL, _choice(points))
    assert table[['method_distance_mm', 'asymmetry_mm', 'mni_distance_mm']].isna().all(axis=None)
    assert len(rank_images(table)) == 5
