from __future__ import annotations

from paper_crossval import OPTIONS, by_repetition, learner_of


def test_repetitions_one_after_the_other() -> None:
    """A table that is cut off holds whole repetitions of all variants, and then part of one."""
    plan = learner_of('crossval', None).plan(['sub-1', 'sub-2', 'sub-3'], [])
    pairs = by_repetition(plan)
    assert len(pairs) == len(plan.trainings) == 5 * 3 * 3
    first = [training for training, _ in pairs[:9]]
    assert {training.repetition for training in first} == {1}
    assert {training.variant for training in first} == set(OPTIONS['residual'])
    # Each training is tested on the one participant that it does not see.
    for training, test in pairs:
        assert test.trainings == (training.name,)
        assert sorted((*training.train, *test.participants)) == ['sub-1', 'sub-2', 'sub-3']
