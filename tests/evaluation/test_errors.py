from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.errors import (
    COLUMNS,
    error_per_image,
    errors_against_consensus,
    prediction_errors,
)

NAN = np.nan


def points(*rows: tuple) -> pd.DataFrame:
    """Rows of participant, method, repetition, label, point, status; one image per participant."""
    return pd.DataFrame(
        [
            {
                'participant_id': person,
                'image': f'{person}_T1',
                'method': method,
                'repetition': repetition,
                'label': label,
                **dict(zip('xyz', point, strict=True)),
                'status': status,
                'dispersion_mm': NAN,
            }
            for person, method, repetition, label, point, status in rows
        ]
    )


def test_distances_known_beforehand() -> None:
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


def test_a_rater_is_not_compared_with_the_own_point() -> None:
    table = points(
        ('sub-01', 'consensus', NAN, 'A', (1, 2, 3), 'single'),
        ('sub-01', 'rater-a', NAN, 'A', (1, 2, 3), 'ok'),
        ('sub-01', 'rater-b', NAN, 'A', (1, 2, 13), 'ok'),
        ('sub-01', 'cnn', NAN, 'A', (1, 2, 3), 'ok'),
    )
    np.testing.assert_array_equal(errors_against_consensus(table)['error_mm'], [NAN, 10, 0])


def test_without_a_consensus_every_error_is_missing() -> None:
    table = points(('sub-01', 'cnn', NAN, 'A', (1, 2, 3), 'ok'))
    assert errors_against_consensus(table)['error_mm'].isna().all()


def test_no_points_at_all() -> None:
    table = points(('sub-01', 'cnn', NAN, 'A', (1, 2, 3), 'ok')).iloc[:0]
    assert errors_against_consensus(table).empty


def test_two_consensus_points_are_refused() -> None:
    row = ('sub-01', 'consensus', NAN, 'A', (1, 2, 3), 'consensus')
    with pytest.raises(ValueError, match='not a many-to-one'):
        errors_against_consensus(points(row, row, ('sub-01', 'cnn', NAN, 'A', (0, 0, 0), 'ok')))


def predictions(*rows: tuple) -> pd.DataFrame:
    """Rows of participant, variant, repetition, x; reference at the origin."""
    table = pd.DataFrame(rows, columns=['participant_id', 'variant', 'repetition', 'x'])
    zeros = dict.fromkeys(['y', 'z', 'reference_x', 'reference_y', 'reference_z'], 0.0)
    return table.assign(image=table['participant_id'], label='A', **zeros)


def test_an_ensemble_is_the_mean_point() -> None:
    errors = prediction_errors(
        predictions(('sub-01', 'shared', 1, 6.0), ('sub-01', 'shared', 2, -2.0))
    )
    assert list(errors['method']) == ['crossval-shared'] * 2 + ['ensemble-shared']
    assert list(errors['error_mm']) == [6, 2, 2]
    assert errors['repetition'].isna().tolist() == [False, False, True]


def test_an_ensemble_with_a_missing_member_is_missing() -> None:
    errors = prediction_errors(predictions(('sub-01', 'none', 1, 6.0), ('sub-01', 'none', 2, NAN)))
    np.testing.assert_array_equal(errors['error_mm'], [6, NAN, NAN])


def test_repetitions_of_an_image_are_averaged() -> None:
    errors = prediction_errors(
        predictions(('sub-01', 'shared', 1, 6.0), ('sub-01', 'shared', 2, -2.0))
    )
    wide = error_per_image(errors)
    assert wide.loc[('sub-01', 'sub-01', 'A')].to_dict() == {
        'crossval-shared': 4,
        'ensemble-shared': 2,
    }
