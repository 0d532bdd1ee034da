from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.annotations import annotated_names
from tmsprep.group.issues import Issue, errors_by_subject, in_common
from tmsprep.group.points import in_order, methods_in_order, point_table
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol('p', 'P', 'test', tuple(Target(label, 'n/a', '', '') for label in 'BA'))


def test_method_order() -> None:
    methods = ['consensus', 'rater-b10', 'syn', 'rater-b9', 'crossval-none', 'cnn', 'syn']
    assert methods_in_order(methods, ('cnn', 'syn')) == [
        *('cnn', 'syn', 'crossval-none', 'rater-b9', 'rater-b10', 'consensus')
    ]


def test_row_order() -> None:
    rows = [
        (f'sub-{number}', f'sub-{number}', method, repetition, label, 0, 0, 0, 'ok')
        for number in (10, 9)
        for method, repetition in (
            ('consensus', np.nan),
            ('crossval-none', 2),
            ('crossval-none', 1),
        )
        for label in 'AB'
    ]
    table = in_order([point_table(rows)], PROTOCOL.labels, ())
    assert table['participant_id'].unique().tolist() == ['sub-9', 'sub-10']
    assert table['label'].tolist() == ['B', 'A'] * 6
    assert table['repetition'].fillna(0).astype(int).tolist() == [1, 1, 2, 2, 0, 0] * 2


def test_no_points() -> None:
    empty = in_order([point_table([])], PROTOCOL.labels, ())
    assert isinstance(empty, pd.DataFrame)
    assert len(empty) == 0


def test_common_issues() -> None:
    issues = [Issue('1', 'no points', 'warning'), Issue('2', 'broken'), Issue('3', 'broken')]
    assert in_common(issues) == [
        ('warning', 'sub-1', 'no points'),
        ('error', 'sub-2, sub-3', 'broken'),
    ]
    assert errors_by_subject(issues) == {'2': ['broken'], '3': ['broken']}


def test_annotated_names(tmp_path: Path) -> None:
    for name in ('sub-1_desc-a', 'sub-1_ses-A_desc-b', 'sub-1_ses-B_space-T1w_desc-a', 'sub-2'):
        (tmp_path / f'{name}_targets.tsv').touch()
    assert annotated_names(tmp_path) == [
        {'sub': '1', 'ses': 'A'},
        {'sub': '1', 'ses': 'B'},
        {'sub': '2'},
    ]
