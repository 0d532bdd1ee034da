from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.agreement import (
    agreement_table,
    as_matrix,
    axis_differences,
    bland_altman,
)

NAN = np.nan

# Bland and Altman 1986, Table: peak flow, first readings by Wright's large and by the mini meter.
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def points(method: str, x: list[float], label: str = 'A', **more: object) -> pd.DataFrame:
    """One participant per value, on the x axis."""
    names = [f'sub-{i:02}' for i in range(len(x))]
    place = np.array(x, float)
    table = {'participant_id': names, 'image': names, 'method': method, 'repetition': NAN}
    table |= {'label': label, 'x': place, 'y': 0 * place, 'z': 0 * place, 'status': 'ok'}
    return pd.DataFrame(table).assign(dispersion_mm=NAN, **more)


def test_common_points() -> None:
    table = pd.concat([points('cnn', [0, 0, NAN, 9]), points('syn', [3, 5, 7])])
    found = agreement_table(table).set_index(['first', 'second'])
    row = found.loc[('cnn', 'syn')]
    assert (row['mean_mm'], row['median_mm'], row['n'], row['people']) == (4, 4, 2, 2)
    assert row['sd_mm'] == pytest.approx(np.sqrt(2))
    assert found.loc[('syn', 'cnn'), 'mean_mm'] == 4


def test_matrix() -> None:
    methods = {'rater-a': [0, 0], 'rater-b': [1, 3], 'cnn': [10, 10]}
    table = pd.concat([points(name, x) for name, x in methods.items()])
    matrix = as_matrix(agreement_table(table))
    assert list(matrix.index) == list(matrix.columns) == list(methods)
    expected = [[NAN, 2, 10], [2, NAN, 8], [10, 8, NAN]]
    np.testing.assert_array_equal(matrix, expected)


def test_no_common_points() -> None:
    table = pd.concat([points('cnn', [1], label='A'), points('syn', [1], label='B')])
    found = agreement_table(table)
    assert list(found['n']) == [0, 0]
    assert found[['mean_mm', 'sd_mm', 'median_mm']].isna().all(axis=None)
    assert as_matrix(found).shape == (2, 2)


def test_one_method_or_none() -> None:
    assert agreement_table(points('cnn', [1])).empty
    assert agreement_table(points('cnn', [1]).iloc[:0]).empty
    assert as_matrix(agreement_table(points('cnn', [1]))).shape == (0, 0)


def test_repetitions() -> None:
    table = pd.concat(
        [
            points('crossval-shared', [0], repetition=1),
            points('crossval-shared', [4], repetition=2),
            points('syn', [2]),
        ]
    )
    assert list(agreement_table(table)['mean_mm']) == [0, 0]


def test_single_rater() -> None:
    consensus = points('consensus', [1, 2]).assign(status=['single', 'consensus'])
    table = pd.concat([consensus, points('rater-a', [1, 5]), points('cnn', [1, 2])])
    found = agreement_table(table).set_index(['first', 'second'])
    assert found.loc[('rater-a', 'consensus'), ['mean_mm', 'n']].tolist() == [3, 1]
    assert found.loc[('consensus', 'cnn'), ['mean_mm', 'n']].tolist() == [0, 2]


def test_published_peak_flow() -> None:
    found = bland_altman(
        pd.concat([points('large', LARGE), points('mini', MINI)]), 'large', 'mini'
    )
    x = found.set_index('axis').loc['x']
    assert x['bias_mm'] == pytest.approx(-2.1, abs=0.05)
    assert x['sd_mm'] == pytest.approx(38.8, abs=0.05)
    assert x['lower_mm'] == pytest.approx(-2.1 - 1.96 * 38.8, abs=0.1)
    assert x['upper_mm'] == pytest.approx(-2.1 + 1.96 * 38.8, abs=0.1)
    assert (x['n'], x['people']) == (17, 17)


@pytest.mark.parametrize(('second', 'n'), [('syn', 1), ('unknown', 0)])
def test_too_few_for_limits(second: str, n: int) -> None:
    table = pd.concat([points('cnn', [3]), points('syn', [1])])
    found = bland_altman(table, 'cnn', second)
    assert list(found['n']) == [n] * 3
    assert found[['sd_mm', 'lower_mm', 'upper_mm']].isna().all(axis=None)
    np.testing.assert_array_equal(found['bias_mm'], [2, 0, 0] if n else [NAN] * 3)


def test_axis_differences() -> None:
    table = pd.concat([points('cnn', [3, 10]), points('syn', [1])])
    found = axis_differences(table, 'cnn', 'syn')
    assert list(found.columns) == [
        *('participant_id', 'image', 'label', 'axis', 'mean_mm', 'difference_mm')
    ]
    assert found.iloc[0].tolist() == ['sub-00', 'sub-00', 'A', 'x', 2, 2]
    assert list(found['axis']) == ['x', 'y', 'z']
