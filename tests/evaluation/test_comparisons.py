from __future__ import annotations

import numpy as np
import pandas as pd

from tmsprep.evaluation.comparisons import participant_pairs


def errors(*rows: tuple) -> pd.DataFrame:
    columns = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
    return pd.DataFrame(rows, columns=columns)


def test_pairs_by_hand() -> None:
    table = errors(
        ('sub-1', 'a', 'cnn', 1, 'A', 2.0),
        ('sub-1', 'a', 'cnn', 2, 'A', 4.0),
        ('sub-1', 'a', 'cnn', 3, 'A', np.nan),
        ('sub-1', 'b', 'cnn', 1, 'A', 7.0),
        ('sub-1', 'a', 'syn', np.nan, 'A', 1.0),
        ('sub-1', 'b', 'syn', np.nan, 'A', 2.0),
        # An image and a participant that only one method has are not compared.
        ('sub-1', 'c', 'cnn', 1, 'A', 99.0),
        ('sub-2', 'd', 'cnn', 1, 'A', 99.0),
        ('sub-1', 'a', 'cnn', 1, 'B', 99.0),
        ('sub-1', 'a', 'syn', np.nan, 'B', 99.0),
    )
    pairs = participant_pairs(table, 'cnn', 'syn', ('A',))
    assert pairs.to_dict('index') == {'sub-1': {'first': 5.0, 'second': 1.5}}


def test_no_pairs() -> None:
    table = errors(('sub-1', 'a', 'cnn', 1, 'A', 2.0))
    assert participant_pairs(table, 'cnn', 'syn', ('A',)).empty
    assert participant_pairs(table.iloc[:0], 'cnn', 'syn', ('A',)).empty
