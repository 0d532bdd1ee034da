from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.disclaimer import DISCLAIMER
from tmsprep.learning.folds import Job
from tmsprep.methods.baxter2021.crossval_outputs import write_outputs
from tmsprep.methods.baxter2021.crossval_tables import (
    deviations,
    ensemble_table,
    prediction_table,
    summary_table,
)
from tmsprep.methods.baxter2021.prepared import Prepared
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


def person(name: str, a: tuple, b: tuple, error: str = '') -> Prepared:
    return Prepared(name, f'{name}_T1w.nii.gz', '1', points(a, b), error=error)


COHORT = [
    person('sub-01', (0, 0, 0), NAN),
    person('sub-02', (10, 0, 0), (0, 10, 0)),
    person('sub-03', (1, 1, 1), (2, 2, 2), error='truncated'),
]
RESULTS = [
    # The mean of A in sub-01 is (2, 0, 0): errors 0 and 4, both 2 mm from their mean.
    (Job('shared', 1, 1, ('sub-01',), 1), {'sub-01': points((0, 0, 0), (5, 5, 5))}),
    (Job('shared', 2, 1, ('sub-01',), 2), {'sub-01': points((4, 0, 0), (5, 5, 5))}),
    # The mean of A in sub-02 is the truth: errors 3 and 3. B is right once, lost once.
    (Job('shared', 1, 2, ('sub-02',), 3), {'sub-02': points((10, 3, 0), (0, 10, 0))}),
    (Job('shared', 2, 2, ('sub-02',), 4), {'sub-02': points((10, -3, 0), NAN)}),
    (Job('shared', 1, 3, ('sub-03',), 5), {}),
    (Job('shared', 2, 3, ('sub-03',), 6), {}),
]


@pytest.fixture
def predictions() -> pd.DataFrame:
    return prediction_table(COHORT, RESULTS, PROTOCOL.labels)


def row(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_every_prediction_by_hand(predictions: pd.DataFrame) -> None:
    assert len(predictions) == 3 * 2 * 2
    a = predictions[predictions['label'] == 'A']
    np.testing.assert_allclose(a['error_mm'], [0, 4, 3, 3, np.nan, np.nan])
    assert list(a['status']) == ['ok'] * 4 + ['failed'] * 2
    b = predictions[predictions['label'] == 'B']
    assert list(b['status']) == [*['no_reference'] * 2, 'ok', *['failed'] * 3]
    np.testing.assert_allclose(b['error_mm'], [np.nan, np.nan, 0, np.nan, np.nan, np.nan])
    # The reference of a failed person is still known.
    assert list(b['reference_x'].iloc[4:]) == [2, 2]


def test_equation_3_by_hand(predictions: pd.DataFrame) -> None:
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


def test_the_mean_deviation_is_the_dispersion(predictions: pd.DataFrame) -> None:
    spread = predictions.assign(deviation=deviations(predictions))
    mean = spread.groupby(['image', 'label'])['deviation'].mean()
    assert mean['sub-01', 'A'] == 2
    assert mean['sub-02', 'A'] == 3


def test_summary_by_hand(predictions: pd.DataFrame) -> None:
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


def test_files(tmp_path: Path) -> None:
    tables = write_outputs(tmp_path, COHORT, RESULTS, PROTOCOL, {'RandomSeed': 7})
    assert [path.name for path in tables] == [
        'crossval_predictions.tsv',
        'crossval_ensemble.tsv',
        'crossval_summary.tsv',
    ]
    assert len(list(tmp_path.iterdir())) == 6
    for path in tables:
        table = pd.read_csv(path, sep='\t', keep_default_na=False)
        sidecar = json.loads(path.with_suffix('.json').read_text())
        assert set(table.columns) <= set(sidecar)
        assert sidecar['Disclaimer'] == DISCLAIMER
        assert sidecar['RandomSeed'] == 7
        assert (sidecar['Participants'], sidecar['ImagesLeftOut']) == (3, {'sub-03': 'truncated'})
        assert 'n/a' in table.to_numpy()
        assert 'nan' not in path.read_text()


def test_a_point_outside_the_volume_is_called_so() -> None:
    affine = tuple(tuple(row) for row in np.diag([-1.0, -1.0, 1.0, 1.0]).tolist())
    points = PointSet(('A', 'B'), np.array([[-1.0, -1.0, 1.0], [-1.0, -1.0, 300.0]]))
    person = Prepared('sub-01', 'image', '', points, 'cache', affine)
    job = Job('shared', 1, 1, ('sub-01',), 0)
    table = prediction_table([person], [(job, {'sub-01': points})], points.labels)
    assert table['status'].tolist() == ['ok', 'outside_volume']
    assert ensemble_table(table)['status'].tolist() == ['ok', 'outside_volume']
