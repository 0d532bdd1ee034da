from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.learning.plan import Plan, Test, Training, make_folds, make_partition, seed_of
from tmsprep.methods import get_method
from tmsprep.methods.learner import Learner
from tmsprep.protocols import load_protocol

NAMES = st.integers(2, 40).map(lambda n: [f'sub-{i:02d}' for i in range(n)])
VARIANTS = ('separate', 'shared', 'none')


def numbered(count: int) -> list[str]:
    return [f'sub-{i:02d}' for i in range(count)]


def test_leave_one_out() -> None:
    found = make_folds(['sub-2', 'sub-10', 'sub-1'], None, seed=5)
    assert found == [('sub-2',), ('sub-10',), ('sub-1',)]


@given(NAMES, st.data())
def test_folds(names: list[str], data: st.DataObject) -> None:
    count = data.draw(st.integers(2, len(names)))
    seed = data.draw(st.integers(1, 2**31 - 1))
    folds = make_folds(names, count, seed)
    assert len(folds) == count
    assert sorted(name for fold in folds for name in fold) == names
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert folds == make_folds(names, count, seed)


def test_folds_seed() -> None:
    assert make_folds(numbered(20), 4, 1) != make_folds(numbered(20), 4, 2)


@pytest.mark.parametrize(
    ('names', 'folds', 'message'),
    [
        (['sub-1'], None, '2 participants or more, not 1'),
        (['sub-1', 'sub-1'], None, 'named once'),
        (['sub-1', 'sub-2'], 1, r'--folds must be from 2 to the number of participants \(2\)'),
        (['sub-1', 'sub-2'], 3, 'not 3'),
    ],
)
def test_bad_folds(names: list[str], folds: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(names, folds, seed=1)


@given(st.integers(4, 40), st.integers(2, 6), st.integers(0, 20), st.integers(1, 99))
def test_partition(count: int, folds: int, held_out: int, seed: int) -> None:
    names = numbered(count)
    if count - held_out < folds:
        with pytest.raises(ValueError, match=r'--held-out|--folds'):
            make_partition(names, folds=folds, held_out=held_out, random_seed=seed)
        return
    partition = make_partition(names, folds=folds, held_out=held_out, random_seed=seed)
    assert len(partition.held_out) == held_out
    assert set(partition.roles()) == set(names)
    for fold in partition.folds:
        groups = (partition.others(fold), partition.part(fold), partition.held_out)
        assert sorted(name for group in groups for name in group) == names
        assert not set(partition.tested(fold)) & set(partition.others(fold))


def test_paper_partition() -> None:
    partition = make_partition(numbered(82), folds=5, held_out=23, random_seed=1)
    assert [len(part) for part in partition.parts] == [12, 12, 12, 12, 11]
    assert partition == make_partition(numbered(82), folds=5, held_out=23, random_seed=1)
    assert partition != make_partition(numbered(82), folds=5, held_out=23, random_seed=2)
    assert partition.tested(1) == partition.tested(5) == partition.held_out


def learner(**options: object) -> Learner:
    given = {'folds': None, 'repetitions': 5, 'residual': VARIANTS, 'random_seed': 1, **options}
    found = get_method('cnn').learner(load_protocol('tms'), given)
    assert found is not None
    return found


def test_repetitions_plan() -> None:
    # The experiment of Baxter et al. 2021: 26 participants, 5 repetitions, 3 variants.
    plan = learner().plan(numbered(26), [])
    assert len(plan.trainings) == len(plan.tests) == 26 * 5 * 3
    assert len({training.seed for training in plan.trainings}) == 390
    seventh = plan.trainings[6]
    assert seventh.name == 'separate_rep1_fold07'
    assert plan.tests[6].participants == ('sub-06',)
    assert seventh.train == tuple(name for name in numbered(26) if name != 'sub-06')


def test_one_partition() -> None:
    plan = learner(folds=3, repetitions=2, residual=('shared', 'none')).plan(numbered(10), [])
    by_fold = {test.fold: test.participants for test in plan.tests}
    assert all(test.participants == by_fold[test.fold] for test in plan.tests)


def test_seeds() -> None:
    assert seed_of(1, 1, 2, 1, 3) == seed_of(1, 1, 2, 1, 3)
    keys = [(1, 1, 2, 1, 3), (2, 1, 2, 1, 3), (1, 1, 3, 1, 3), (1, 1, 2, 2, 3), (1, 1, 2, 1, 2)]
    assert len({seed_of(*key) for key in keys}) == 5
    # Fewer variants or repetitions do not change those that remain.
    few = learner(repetitions=1, residual=('none',)).plan(['a', 'b'], [])
    assert set(few.trainings) <= set(learner().plan(['a', 'b'], []).trainings)


def test_folds_plan(caplog: pytest.LogCaptureFixture) -> None:
    options = {'folds': 2, 'held_out': 0, 'augmentation': ('without', 'with'), 'repetitions': 1}
    found = get_method('coreunet').learner(
        load_protocol('locus-coeruleus'), {'random_seed': 1, **options}
    )
    assert found is not None
    plan = found.plan(numbered(4), [])
    assert [t.name for t in plan.trainings[:2]] == [
        'localizer_with_fold01',
        'localizer_without_fold01',
    ]
    # The same weights at the start, whatever the augmentation.
    assert plan.trainings[0].seed == plan.trainings[1].seed != plan.trainings[2].seed
    assert plan.tests[0].participants == plan.trainings[0].validate
    assert 'no participant is held out' in caplog.text


def test_json() -> None:
    plan = learner(folds=2).plan(numbered(5), [])
    assert Plan.from_json(plan.to_json()) == plan


def test_overlap_refused() -> None:
    one = Training('one', train=('a', 'b'), validate=('b',))
    with pytest.raises(ValueError, match='b: in the training set and in another set'):
        Plan((one,), ())
    with pytest.raises(ValueError, match='a: in the training set'):
        Plan((Training('one', train=('a',)),), (Test('t', ('one',), ('a',)),))
