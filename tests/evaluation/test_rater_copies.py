from __future__ import annotations

from pathlib import Path

import numpy as np

from tmsprep.evaluation.rater_copies import copied_between_people, describe_copy
from tmsprep.points import PointSet


def points(*places: float) -> PointSet:
    return PointSet(tuple('ABC'), np.array([(x, 2 * x, -x) for x in places]))


def test_two_points_of_somebody_else_are_a_copy_and_one_is_chance() -> None:
    files = [
        ('01', points(1, 2, 3)),
        ('01', points(1, 2, 3)),
        ('02', points(9, 2, 3)),
        ('03', points(9, 5, 6)),
        ('04', points(np.nan, np.nan, np.nan)),
    ]
    # The two files of 01 are of one person; 02 and 03 share one point.
    assert copied_between_people(files) == {0: (2, 2), 1: (2, 2), 2: (0, 2)}


def test_the_message_names_both_files() -> None:
    message = describe_copy(Path('a.tsv'), Path('b.tsv'), 3)
    assert message.startswith('a.tsv: 3 points are the very same as in b.tsv')
