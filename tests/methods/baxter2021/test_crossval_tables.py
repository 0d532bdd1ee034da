from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.learning.examples import Example, Record
from tmsprep.learning.plan import Plan, Training
from tmsprep.methods.baxter2021.crossval_tables import (
    deviations,
    ensemble_table,
    summarise,
    summary_table,
)
from tmsprep.methods.baxter2021.learner import MultiResolutionLearner
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol(
    'test',
    'test',
    'test',
    (Target('A', 'L', 'a', 'treatment'), Target('B', 'R', 'b', 'treatment (chronic pain)')),
)
NAN = (np.nan,) * 3


def points(a: tuple, b: tuple) -> PointSet:
    return PointSet(('A', 'B'), np.array([a, b], float))


def record(name: str, a: tuple, b: tuple, error: str = '') -> Record:
    return Record(Example(name, Path(f'{name}_T1w.nii.gz'), points(a, b)), '1', Path(), error)


def training(repetition: int, fold: int) -> Training:
    return Training('', '', 'shared', repetition, fold)


FIRST = record('sub-01', (0, 0, 0), NAN)
SECOND = record('sub-02', (10, 0, 0), (0, 10, 0))
BROKEN = record('sub-03', (1, 1, 1), (2, 2, 2), error='truncated')
LEARNER = MultiResolutionLearner(PROTOCOL, {})
RESULTS = [
    # The mean of A in sub-01 is (2, 0, 0): errors 0 and 4, both 2 mm from their mean.
    (training(1, 1), FIRST, points((0, 0, 0), (5, 5, 5))),
    (training(2, 1), FIRST, points((4, 0, 0), (5, 5, 5))),
    # The mean of A in sub-02 is the truth: errors 3 and 3. B is right once, lost once.
    (training(1, 2), SECOND, points((10, 3, 0), (0, 10, 0))),
    (training(2, 2), SECOND, points((10, -3, 0), NAN)),
    (training(1, 3), BROKEN, None),
    (training(2, 3), BROKEN, None),
]
ROWS = [row for result in RESULTS for row in LEARNER.point_rows(*result)]


@pytest.fixture
def predictions() -> pd.DataFrame:
    return pd.DataFrame(ROWS)


def row(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_no_dispersion_of_one(predictions: pd.DataFrame) -> None:
    single = predictions[predictions['repetition'] == 1]
    ensemble = ensemble_table(single)
    assert ensemble['dispersion_mm'].isna().all()
    assert row(ensemble, image='sub-02', label='A')['error_mm'] == 3
    summary = summary_table(single, ensemble, PROTOCOL)
    for kind in ('ensemble', 'dispersion'):
        found = row(summary, kind=kind, label='A')
        assert (found['n'], np.isnan(found['mean'])) == (0, True)


def test_predictions(predictions: pd.DataFrame) -> None:
    assert len(predictions) == 3 * 2 * 2
    a = predictions[predictions['label'] == 'A']
    np.testing.assert_allclose(a['error_mm'], [0, 4, 3, 3, np.nan, np.nan])
    assert list(a['status']) == ['ok'] * 4 + ['failed'] * 2
    b = predictions[predictions['label'] == 'B']
    assert list(b['status']) == [*['no_reference'] * 2, 'ok', *['failed'] * 3]
    np.testing.assert_allclose(b['error_mm'], [np.nan, np.nan, 0, np.nan, np.nan, np.nan])
    # The reference of a failed image is still known.
    assert list(b['reference_x'].iloc[4:]) == [2, 2]


def test_ensemble(predictions: pd.DataFrame) -> None:
    ensemble = ensemble_table(predictions)
    assert len(ensemble) == 6
    first = row(ensemble, image='sub-01', label='A')
    assert (first['error_mm'], first['single_error_mm'], first['dispersion_mm']) == (2, 2, 2)
    second = row(ensemble, image='sub-02', label='A')
    assert (second['error_mm'], second['single_error_mm'], second['dispersion_mm']) == (0, 3, 3)
    assert first['repetitions'] == 2
    # Agreement without a reference; and half an ensemble is none.
    unknown = row(ensemble, image='sub-01', label='B')
    assert (unknown['dispersion_mm'], unknown['status']) == (0, 'no_reference')
    lost = row(ensemble, image='sub-02', label='B')
    assert lost[['x', 'error_mm', 'single_error_mm', 'dispersion_mm']].isna().all()
    assert lost['status'] == 'failed'


def test_deviations(predictions: pd.DataFrame) -> None:
    spread = predictions.assign(deviation=deviations(predictions))
    mean = spread.groupby(['image', 'label'])['deviation'].mean()
    assert mean['sub-01', 'A'] == 2
    assert mean['sub-02', 'A'] == 3


def test_summary(predictions: pd.DataFrame) -> None:
    summary = summary_table(predictions, ensemble_table(predictions), PROTOCOL)
    assert len(summary) == 3 * 4
    single = row(summary, kind='single', label='A')
    # 0, 4, 3, 3: squares of the deviations from 2.5 sum to 9.
    assert (single['n'], single['mean'], single['median'], single['max']) == (4, 2.5, 3, 4)
    assert single['sd'] == pytest.approx(3**0.5)
    assert single['p95'] == pytest.approx(3.85)
    ensemble = row(summary, kind='ensemble', label='A')
    assert (ensemble['n'], ensemble['mean'], ensemble['max']) == (2, 1, 2)
    spread = row(summary, kind='dispersion', label='A')
    assert (spread['n'], spread['mean']) == (4, 2.5)
    assert row(summary, kind='single', label='ALL')['mean'] == 2
    pain = row(summary, kind='single', label='CHRONIC_PAIN')
    assert (pain['n'], pain['mean']) == (1, 0)
    assert np.isnan(pain['sd'])
    assert row(summary, kind='ensemble', label='B')['n'] == 0


def test_tables() -> None:
    tables = LEARNER.tables({'predictions': ROWS}, [], Plan((), ()))
    assert [table.name for table in tables] == ['predictions', 'ensemble', 'summary']
    assert [len(table.rows) for table in tables] == [12, 6, 12]


def test_ensemble_outside() -> None:
    # One of two outside is enough to distrust the mean.
    rows = [dict(row, status='outside_volume') for row in ROWS[:1]] + ROWS[1:]
    table = ensemble_table(pd.DataFrame(rows))
    assert table['status'].tolist()[:2] == ['outside_volume', 'no_reference']


def test_summarise() -> None:
    assert summarise(np.array([[1.0, np.nan], [3.0, 2.0]])) == {
        'n': 3,
        'mean': 2.0,
        'sd': 1.0,
        'median': 2.0,
        'p95': pytest.approx(2.9),
        'max': 3.0,
    }
    assert summarise(np.array([np.nan]))['n'] == 0
