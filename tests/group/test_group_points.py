from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.annotations import annotated_names
from tmsprep.group.issues import Issue, errors_by_subject, in_common
from tmsprep.group.points import in_order, methods_in_order, point_table
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol('p', 'P', 'nobody', tuple(Target(label, 'n/a', '', '') for label in 'BA'))


def test_methods_stand_in_one_order() -> None:
    methods = ['consensus', 'rater-b10', 'syn', 'rater-b9', 'crossval-none', 'cnn', 'syn']
    assert methods_in_order(methods) == [
        *('cnn', 'syn', 'crossval-none', 'rater-b9', 'rater-b10', 'consensus')
    ]


def test_people_by_number_and_targets_by_protocol() -> None:
    rows = [
        (f'sub-{person}', f'sub-{person}', method, repetition, label, 0, 0, 0, 'ok', np.nan)
        for person in (10, 9)
        for method, repetition in (
            ('consensus', np.nan),
            ('crossval-none', 2),
            ('crossval-none', 1),
        )
        for label in 'AB'
    ]
    table = in_order(point_table(rows), PROTOCOL)
    assert table['participant_id'].unique().tolist() == ['sub-9', 'sub-10']
    assert table['label'].tolist() == ['B', 'A'] * 6
    assert table['repetition'].fillna(0).astype(int).tolist() == [1, 1, 2, 2, 0, 0] * 2


def test_no_points_are_a_table_too() -> None:
    empty = in_order(point_table([]), PROTOCOL)
    assert isinstance(empty, pd.DataFrame)
    assert len(empty) == 0


def test_what_many_have_in_common_is_said_once() -> None:
    issues = [Issue('1', 'no points', 'warning'), Issue('2', 'broken'), Issue('3', 'broken')]
    assert in_common(issues) == [
        ('warning', 'sub-1', 'no points'),
        ('error', 'sub-2, sub-3', 'broken'),
    ]
    assert errors_by_subject(issues) == {'2': ['broken'], '3': ['broken']}


def test_images_are_known_from_the_longest_names(tmp_path: Path) -> None:
    for name in ('sub-1_desc-a', 'sub-1_ses-A_desc-b', 'sub-1_ses-B_space-T1w_desc-a', 'sub-2'):
        (tmp_path / f'{name}_targets.tsv').touch()
    assert annotated_names(tmp_path) == [
        {'sub': '1', 'ses': 'A'},
        {'sub': '1', 'ses': 'B'},
        {'sub': '2'},
    ]
