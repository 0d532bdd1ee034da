from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.learning.folds import (
    VARIANTS,
    Job,
    job_seed,
    make_folds,
    participant_of,
    plan_jobs,
)

PEOPLE = st.integers(2, 40).map(lambda n: [f'sub-{i:02d}' for i in range(n)])


def test_leave_one_out_keeps_the_order() -> None:
    assert make_folds(['sub-2', 'sub-10', 'sub-1'], None, seed=5) == [
        ('sub-2',),
        ('sub-10',),
        ('sub-1',),
    ]


@given(PEOPLE, st.data())
def test_folds_are_a_partition_of_nearly_equal_parts(people: list[str], data) -> None:
    count = data.draw(st.integers(2, len(people)))
    seed = data.draw(st.integers(1, 2**31 - 1))
    folds = make_folds(people, count, seed)
    assert len(folds) == count
    assert sorted(person for fold in folds for person in fold) == people
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert folds == make_folds(people, count, seed)


def test_another_seed_parts_people_otherwise() -> None:
    people = [f'sub-{i:02d}' for i in range(20)]
    assert make_folds(people, 4, 1) != make_folds(people, 4, 2)


@pytest.mark.parametrize(
    ('people', 'folds', 'message'),
    [
        (['sub-1'], None, '2 participants or more, not 1'),
        (['sub-1', 'sub-1'], None, 'named once'),
        (['sub-1', 'sub-2'], 1, r'--folds must be from 2 to the number of participants \(2\)'),
        (['sub-1', 'sub-2'], 3, 'not 3'),
    ],
)
def test_what_cannot_be_parted(people: list[str], folds: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(people, folds, seed=1)


def test_the_papers_experiment_is_390_trainings() -> None:
    people = [f'sub-{i:02d}' for i in range(26)]
    jobs = plan_jobs(people, folds=None, repetitions=5, variants=VARIANTS, random_seed=1)
    assert len(jobs) == 26 * 5 * 3
    assert len({job.name for job in jobs}) == len({job.seed for job in jobs}) == 390
    assert jobs[6].name == 'separate_rep1_fold07'
    assert jobs[6].left_out == ('sub-06',)


def test_all_variants_and_repetitions_share_one_partition() -> None:
    people = [f'sub-{i:02d}' for i in range(10)]
    jobs = plan_jobs(people, folds=3, repetitions=2, variants=('shared', 'none'), random_seed=4)
    by_fold = {job.fold: job.left_out for job in jobs}
    assert all(job.left_out == by_fold[job.fold] for job in jobs)


def test_a_seed_belongs_to_its_job_alone() -> None:
    seed = job_seed(1, 2, 'shared', 3)
    assert seed == job_seed(1, 2, 'shared', 3)
    others = [(2, 2, 'shared', 3), (1, 3, 'shared', 3), (1, 2, 'none', 3), (1, 2, 'shared', 2)]
    assert seed not in [job_seed(*key) for key in others]
    # Asking for fewer variants or repetitions does not change those that remain.
    one = plan_jobs(['a', 'b'], folds=None, repetitions=1, variants=('none',), random_seed=1)
    all_of_them = plan_jobs(
        ['a', 'b'], folds=None, repetitions=3, variants=VARIANTS, random_seed=1
    )
    assert set(one) <= set(all_of_them)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'variants': ('sharde',)}, "not \\['sharde'\\]"),
        ({'variants': ()}, '--residual must be of separate, shared, none'),
        ({'repetitions': 0}, '--repetitions must be 1 or more, not 0'),
    ],
)
def test_plans_that_make_no_sense(changes: dict, message: str) -> None:
    settings = {'folds': None, 'repetitions': 1, 'variants': VARIANTS, 'random_seed': 1}
    with pytest.raises(ValueError, match=message):
        plan_jobs(['a', 'b'], **{**settings, **changes})


def test_names() -> None:
    assert Job('shared', 1, 7, ('sub-01',), 3).name == 'shared_rep1_fold07'
    assert participant_of('sub-01') == participant_of('sub-01_ses-A_run-2') == 'sub-01'
