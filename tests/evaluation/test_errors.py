from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.errors import (
    COLUMNS,
    dispersion,
    error_per_image,
    errors_against_consensus,
    expert_variability,
    leave_one_rater_out,
    prediction_errors,
    repetition_deviations,
)

NAN = np.nan


def points(*rows: tuple) -> pd.DataFrame:
    """Rows of participant, method, repetition, label, point, status; one image per participant."""
    return pd.DataFrame(
        [
            {
                'participant_id': participant,
                'image': f'{participant}_T1',
                'method': method,
                'repetition': repetition,
                'label': label,
                **dict(zip('xyz', point, strict=True)),
                'status': status,
                'dispersion_mm': NAN,
            }
            for participant, method, repetition, label, point, status in rows
        ]
    )


def test_known_distances() -> None:
    table = points(
        ('sub-01', 'consensus', NAN, 'A', (1, 2, 3), 'consensus'),
        ('sub-01', 'cnn', NAN, 'A', (1, 5, 7), 'ok'),
        ('sub-01', 'syn', NAN, 'A', (NAN,) * 3, 'failed'),
        ('sub-01', 'cnn', NAN, 'B', (0, 0, 0), 'ok'),
        ('sub-02', 'cnn', NAN, 'A', (1, 2, 3), 'ok'),
    )
    errors = errors_against_consensus(table)
    assert list(errors.columns) == COLUMNS
    np.testing.assert_array_equal(errors['error_mm'], [5, NAN, NAN, NAN])
    assert list(errors['method']) == ['cnn', 'syn', 'cnn', 'cnn']


def test_single_rater() -> None:
    table = points(
        ('sub-01', 'consensus', NAN, 'A', (1, 2, 3), 'single'),
        ('sub-01', 'rater-a', NAN, 'A', (1, 2, 3), 'ok'),
        ('sub-01', 'rater-b', NAN, 'A', (1, 2, 13), 'ok'),
        ('sub-01', 'cnn', NAN, 'A', (1, 2, 3), 'ok'),
    )
    np.testing.assert_array_equal(errors_against_consensus(table)['error_mm'], [NAN, 10, 0])


def test_no_consensus() -> None:
    table = points(('sub-01', 'cnn', NAN, 'A', (1, 2, 3), 'ok'))
    assert errors_against_consensus(table)['error_mm'].isna().all()


def test_no_points() -> None:
    table = points(('sub-01', 'cnn', NAN, 'A', (1, 2, 3), 'ok')).iloc[:0]
    assert errors_against_consensus(table).empty


def test_two_consensus_points() -> None:
    row = ('sub-01', 'consensus', NAN, 'A', (1, 2, 3), 'consensus')
    with pytest.raises(ValueError, match='not a many-to-one'):
        errors_against_consensus(points(row, row, ('sub-01', 'cnn', NAN, 'A', (0, 0, 0), 'ok')))


def predictions(*rows: tuple) -> pd.DataFrame:
    """Rows of participant, variant, repetition, x; reference at the origin."""
    table = pd.DataFrame(rows, columns=['participant_id', 'variant', 'repetition', 'x'])
    zeros = dict.fromkeys(['y', 'z', 'reference_x', 'reference_y', 'reference_z'], 0.0)
    return table.assign(image=table['participant_id'], label='A', **zeros)


def test_ensemble() -> None:
    errors = prediction_errors(
        predictions(('sub-01', 'shared', 1, 6.0), ('sub-01', 'shared', 2, -2.0))
    )
    assert list(errors['method']) == ['crossval-shared'] * 2 + ['ensemble-shared']
    assert list(errors['error_mm']) == [6, 2, 2]
    assert errors['repetition'].isna().tolist() == [False, False, True]


def test_ensemble_missing_member() -> None:
    errors = prediction_errors(predictions(('sub-01', 'none', 1, 6.0), ('sub-01', 'none', 2, NAN)))
    np.testing.assert_array_equal(errors['error_mm'], [6, NAN, NAN])


def test_no_ensemble_of_one() -> None:
    """What the others would have said is not known."""
    errors = prediction_errors(predictions(('sub-01', 'none', 1, 6.0)))
    np.testing.assert_array_equal(errors['error_mm'], [6, NAN])


def test_error_per_image() -> None:
    errors = prediction_errors(
        predictions(('sub-01', 'shared', 1, 6.0), ('sub-01', 'shared', 2, -2.0))
    )
    wide = error_per_image(errors)
    assert wide.loc[('sub-01', 'sub-01', 'A')].to_dict() == {
        'crossval-shared': 4,
        'ensemble-shared': 2,
    }


def on_a_line(places: dict[str, float], **more: object) -> pd.DataFrame:
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


def test_expert_variability() -> None:
    table = on_a_line({'rater-a': 0, 'rater-b': 6, 'rater-c': 30, 'consensus': 3, 'cnn': 9})
    found = expert_variability(errors_against_consensus(table))
    assert list(found['method']) == ['rater-a', 'rater-b', 'rater-c']
    assert list(found['error_mm']) == [3, 3, 27]


def test_leave_one_rater_out() -> None:
    found = leave_one_rater_out(on_a_line({'rater-a': 0, 'rater-b': 6, 'rater-c': 9, 'cnn': 50}))
    assert list(found['error_mm']) == [7.5, 1.5, 6]
    assert set(found['others']) == {2}
    assert set(found['status']) == {'consensus'}
    assert list(found.columns) == [*COLUMNS, 'others', 'status']


def test_others_disagree() -> None:
    found = leave_one_rater_out(on_a_line({'rater-a': 0, 'rater-b': 10, 'rater-c': 20}))
    np.testing.assert_array_equal(found['error_mm'], [15, NAN, 15])
    assert list(found['status']) == ['consensus', 'no_consensus', 'consensus']


def test_two_raters() -> None:
    found = leave_one_rater_out(on_a_line({'rater-a': 0, 'rater-b': 10, 'rater-c': NAN}))
    np.testing.assert_array_equal(found['error_mm'], [10, 10, NAN])
    assert list(found['others']) == [1, 1, 2]


def test_one_rater() -> None:
    found = leave_one_rater_out(on_a_line({'rater-a': 0}))
    assert list(found['status']) == ['missing']
    assert found['error_mm'].isna().all()
    assert leave_one_rater_out(on_a_line({'cnn': 0})).empty


def test_bias_of_own_vote() -> None:
    # Three raters around one place: the share is sqrt(2/3) of sqrt(3/2), so 2/3.
    random = np.random.default_rng(1)
    parts = []
    for i in range(200):
        a, b, c = random.normal(size=3)
        places = {'rater-a': a, 'rater-b': b, 'rater-c': c, 'consensus': (a + b + c) / 3}
        parts.append(on_a_line(places, participant_id=f'sub-{i}', image=f'sub-{i}'))
    table = pd.concat(parts)
    with_self = expert_variability(errors_against_consensus(table))['error_mm'].mean()
    assert with_self / leave_one_rater_out(table)['error_mm'].mean() == pytest.approx(2 / 3)


def test_deviations() -> None:
    table = on_a_line({'crossval-shared 1': 0, 'crossval-shared 2': 1, 'crossval-shared 3': 5})
    found = repetition_deviations(pd.concat([table, on_a_line({'cnn': 100})]))
    assert list(found['error_mm']) == [2, 1, 3]
    assert found['error_mm'].mean() == dispersion(table[list('xyz')].to_numpy()[:, None])[0]


def test_deviations_missing() -> None:
    found = repetition_deviations(on_a_line({'crossval-none 1': 0, 'crossval-none 2': NAN}))
    assert found['error_mm'].isna().all()
    assert repetition_deviations(on_a_line({'cnn': 0})).empty


def test_deviations_of_variants() -> None:
    found = repetition_deviations(
        on_a_line({'crossval-none 1': 0, 'crossval-none 2': 2, 'crossval-shared 1': 50})
    )
    np.testing.assert_array_equal(found['error_mm'], [1, 1, NAN])


def test_dispersion_by_hand() -> None:
    # First point: 0 and 6 mm along x, mean 3, both 3 away. Second: (0, 0, 0) and (3, 4, 0) are 5
    # apart, so each 2.5 from the middle.
    predictions = np.array([[[0.0, 1, 1], [0, 0, 0]], [[6.0, 1, 1], [3, 4, 0]]])
    np.testing.assert_allclose(dispersion(predictions), [3.0, 2.5])


def test_dispersion_of_three() -> None:
    # 0, 0 and 9: mean 3, distances 3, 3 and 6, whose mean is 4.
    predictions = np.array([[[0.0, 0, 0]], [[0.0, 0, 0]], [[0.0, 0, 9]]])
    np.testing.assert_allclose(dispersion(predictions), [4.0])


def test_dispersion_of_one() -> None:
    np.testing.assert_array_equal(dispersion(np.ones((1, 4, 3))), np.zeros(4))


def test_dispersion_missing() -> None:
    predictions = np.zeros((2, 2, 3))
    predictions[1, 0] = np.nan
    np.testing.assert_array_equal(dispersion(predictions), [np.nan, 0.0])


def test_dispersion_factor() -> None:
    generator = np.random.default_rng(0)
    sizes = {n: dispersion(generator.normal(size=(n, 20000, 3))).mean() for n in (2, 5)}
    # sqrt(1/2) and sqrt(4/5) of the mean distance from the true mean, sqrt(8 / pi).
    assert sizes[2] == pytest.approx(np.sqrt(1 / 2 * 8 / np.pi), rel=0.01)
    assert sizes[5] == pytest.approx(np.sqrt(4 / 5 * 8 / np.pi), rel=0.01)
