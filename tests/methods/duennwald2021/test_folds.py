from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.methods.duennwald2021.folds import plan_folds, training_seed

PAPER = [f'sub-{i:02d}' for i in range(82)]


@given(
    people=st.integers(4, 40),
    folds=st.integers(2, 6),
    held_out=st.integers(0, 20),
    seed=st.integers(1, 99),
)
def test_nobody_trains_and_is_tested(people: int, folds: int, held_out: int, seed: int) -> None:
    names = [f'sub-{i:02d}' for i in range(people)]
    if people - held_out < folds:
        with pytest.raises(ValueError, match=r'--held-out|--folds'):
            plan_folds(names, folds=folds, held_out=held_out, random_seed=seed)
        return
    plan = plan_folds(names, folds=folds, held_out=held_out, random_seed=seed)
    assert len(plan.held_out) == held_out
    assert plan.optimistic is (held_out == 0)
    assert set(plan.roles()) == set(names)
    for fold in plan.folds:
        groups = (plan.training(fold), plan.validation(fold), plan.held_out)
        assert sorted(name for group in groups for name in group) == names
        assert not set(plan.tested(fold)) & set(plan.training(fold))


def test_the_papers_scheme() -> None:
    plan = plan_folds(PAPER, folds=5, held_out=23, random_seed=1)
    assert len(plan.held_out) == 23
    assert [len(part) for part in plan.parts] == [12, 12, 12, 12, 11]
    assert plan == plan_folds(PAPER, folds=5, held_out=23, random_seed=1)
    assert plan != plan_folds(PAPER, folds=5, held_out=23, random_seed=2)
    assert plan.tested(1) == plan.tested(5) == plan.held_out


def test_each_training_has_a_seed_of_its_own() -> None:
    seeds = {training_seed(1, n, k) for n in ('localizer', 'segmenter') for k in range(1, 6)}
    assert len(seeds) == 10
    assert all(0 <= seed < 2**31 for seed in seeds)
