"""The plan of a cross-validation: which networks are trained and tested on which participants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Training:
    """One training.

    Parameters
    ----------
    name : str
        Unique, in letters, digits and underscores.
    network : str
        Kind of network, in the words of the method; '' if it has one.
    variant : str
        What is compared, in the words of the method.
    repetition, fold : int
        Counted from 1.
    train, validate : tuple of str
        Participants of the training set and of the validation set.
    seed : int
        Seed of the training.
    """

    name: str
    network: str = ''
    variant: str = ''
    repetition: int = 1
    fold: int = 1
    train: tuple[str, ...] = ()
    validate: tuple[str, ...] = ()
    seed: int = 1

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Training:
        """Read a training from a dictionary that has its fields, and perhaps others."""
        return cls(**_fields(cls, content, 'train', 'validate'))


@dataclass(frozen=True)
class Test:
    """One test of trained networks.

    Parameters
    ----------
    name : str
        Unique, in letters, digits and underscores.
    trainings : tuple of str
        Names of the trainings whose networks are tested together.
    participants : tuple of str
        Participants of the test set.
    fold : int
        Counted from 1.
    """

    # Not a class of tests, whatever its name.
    __test__ = False

    name: str
    trainings: tuple[str, ...]
    participants: tuple[str, ...]
    fold: int = 1

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Test:
        """Read a test from a dictionary that has its fields."""
        return cls(**_fields(cls, content, 'trainings', 'participants'))


def _fields(cls: type, content: Mapping[str, Any], *sets: str) -> dict[str, Any]:
    chosen = {item.name: content[item.name] for item in fields(cls)}
    return {**chosen, **{name: tuple(content[name]) for name in sets}}


@dataclass(frozen=True)
class Plan:
    """All trainings and tests of a cross-validation.

    Parameters
    ----------
    trainings : tuple of Training
        In the order in which they should start.
    tests : tuple of Test
        In the order of the rows of the tables.

    Raises
    ------
    ValueError
        If a participant is in the training set and in the validation or test set of a network.
    """

    trainings: tuple[Training, ...]
    tests: tuple[Test, ...]

    def __post_init__(self) -> None:
        by_name = {training.name: training for training in self.trainings}
        for test in self.tests:
            for name in test.trainings:
                check_disjoint(by_name[name].train, test.participants)
        for training in self.trainings:
            check_disjoint(training.train, training.validate)

    def to_json(self) -> str:
        """Return a text; `from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` returned."""
        content = json.loads(text)
        return cls(
            tuple(Training.from_dict(item) for item in content['trainings']),
            tuple(Test.from_dict(item) for item in content['tests']),
        )


def check_disjoint(training: Sequence[str], others: Sequence[str]) -> None:
    """Refuse participants that are trained on and validate or are tested.

    Raises
    ------
    ValueError
        With their names.
    """
    both = sorted(set(training) & set(others))
    if both:
        raise ValueError(f'{", ".join(both)}: in the training set and in another set')


@dataclass(frozen=True)
class Partition:
    """A partition of the participants.

    Parameters
    ----------
    held_out : tuple of str
        Test set of every fold, which no training sees; may be empty.
    parts : tuple of tuple of str
        Fold k holds out part k and trains on the others.
    """

    held_out: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]

    @property
    def folds(self) -> range:
        """Numbers of the folds, from 1."""
        return range(1, len(self.parts) + 1)

    def part(self, fold: int) -> tuple[str, ...]:
        """Participants that a fold does not train on."""
        return self.parts[fold - 1]

    def others(self, fold: int) -> tuple[str, ...]:
        """Participants that a fold trains on, part by part."""
        return tuple(p for k in self.folds if k != fold for p in self.parts[k - 1])

    def tested(self, fold: int) -> tuple[str, ...]:
        """Test set of a fold: the held-out participants, else its part."""
        return self.held_out or self.part(fold)

    def roles(self) -> dict[str, str]:
        """Return each participant's fold, or 'held out'."""
        roles = dict.fromkeys(self.held_out, 'held out')
        return roles | {p: str(k) for k in self.folds for p in self.part(k)}


def make_folds(participants: Sequence[str], folds: int | None, seed: int) -> list[tuple[str, ...]]:
    """Divide participants into groups, each of which is held out once.

    Parameters
    ----------
    participants : sequence of str
        Each once; all images of a participant are in the same group.
    folds : int or None
        Number of groups, whose sizes differ by one at most. None holds out one participant at a
        time, in the order given (Baxter et al. 2021, section 2.5).
    seed : int
        Seed of the shuffle before participants are divided; leave-one-out has none.

    Raises
    ------
    ValueError
        If there are fewer than two participants, one is repeated, or `folds` is not from 2 to
        their number.
    """
    names = list(participants)
    if len(set(names)) != len(names):
        raise ValueError('each participant must be named once')
    if len(names) < 2:
        raise ValueError(f'cross-validation needs 2 participants or more, not {len(names)}')
    if folds is None:
        return [(name,) for name in names]
    if not 2 <= folds <= len(names):
        raise ValueError(
            f'--folds must be from 2 to the number of participants ({len(names)}), not {folds}'
        )
    order = np.random.default_rng([seed, 0]).permutation(len(names))
    return [tuple(names[i] for i in sorted(order[k::folds])) for k in range(folds)]


def make_partition(
    participants: Sequence[str], *, folds: int | None, held_out: int = 0, random_seed: int = 1
) -> Partition:
    """Draw the held-out participants, and divide the others into folds.

    Parameters
    ----------
    participants : sequence of str
        Each once.
    folds : int or None
        Number of folds; None for one participant each.
    held_out : int
        Number of held-out participants (Duennwald et al. 2021, section 2.3).
    random_seed : int
        Seed of both draws.

    Raises
    ------
    ValueError
        If too few are left for the folds; see also `make_folds`.
    """
    names = list(participants)
    if held_out and len(names) < held_out + (folds or 2):
        raise ValueError(
            f'--held-out {held_out} of {len(names)} participants leaves fewer than the '
            f'{folds or 2} that the folds need; give a smaller number, or fewer --folds'
        )
    order = np.random.default_rng([random_seed, 2]).permutation(len(names))
    drawn = {names[i] for i in order[:held_out]}
    parts = make_folds([p for p in names if p not in drawn], folds, random_seed)
    return Partition(tuple(p for p in names if p in drawn), tuple(parts))


def seed_of(*key: int) -> int:
    """Seed of one training, 0 to 2**31 - 1, from the seed of the run and the training's numbers.

    It depends on nothing else, so that any training can be repeated alone.
    """
    return int(np.random.SeedSequence(key).generate_state(1)[0] >> 1)
