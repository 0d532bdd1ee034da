"""Who is left out when, and the trainings that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VARIANTS = ('separate', 'shared', 'none')
"""Residual layers per level, common to all levels, or left out (Baxter et al. 2021, Table 4)."""


@dataclass(frozen=True)
class Job:
    """One training of a cross-validation.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`.
    repetition, fold : int
        Counted from 1.
    left_out : tuple of str
        Participants to predict; none of their images may be trained on.
    seed : int
        Of the training, see `job_seed`.
    """

    variant: str
    repetition: int
    fold: int
    left_out: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """Such as ``shared_rep1_fold07``."""
        return f'{self.variant}_rep{self.repetition}_fold{self.fold:02d}'


def make_folds(participants: Sequence[str], folds: int | None, seed: int) -> list[tuple[str, ...]]:
    """Part people into groups, each of which is left out once.

    Parameters
    ----------
    participants : sequence of str
        Everyone once; all images of a participant go the same way.
    folds : int or None
        Number of groups, whose sizes differ by one at most. None leaves out one participant at a
        time, in the order given (Baxter et al. 2021, section 2.5).
    seed : int
        Of the shuffle before people are parted; leave-one-out has none.

    Raises
    ------
    ValueError
        If there are fewer than two participants, one stands twice, or `folds` is not from 2 to
        their number.
    """
    people = list(participants)
    if len(set(people)) != len(people):
        raise ValueError('each participant must be named once')
    if len(people) < 2:
        raise ValueError(f'cross-validation needs 2 participants or more, not {len(people)}')
    if folds is None:
        return [(person,) for person in people]
    if not 2 <= folds <= len(people):
        raise ValueError(
            f'--folds must be from 2 to the number of participants ({len(people)}), not {folds}'
        )
    order = np.random.default_rng([seed, 0]).permutation(len(people))
    return [tuple(people[i] for i in sorted(order[k::folds])) for k in range(folds)]


def job_seed(random_seed: int, repetition: int, variant: str, fold: int) -> int:
    """Seed of one training, 0 to 2**31 - 1, so that any one can be repeated alone."""
    key = [random_seed, 1, repetition, VARIANTS.index(variant), fold]
    return int(np.random.SeedSequence(key).generate_state(1)[0] >> 1)


def plan_jobs(
    participants: Sequence[str],
    *,
    folds: int | None,
    repetitions: int,
    variants: Sequence[str],
    random_seed: int,
) -> list[Job]:
    """List every training of a cross-validation, by variant, repetition and fold.

    All variants and repetitions share one partition, so that they can be compared person by
    person (our choice; with leave-one-out there is only one).

    Raises
    ------
    ValueError
        See `make_folds`; also if a variant is not one of `VARIANTS` or there is no repetition.
    """
    unknown = [variant for variant in variants if variant not in VARIANTS]
    if unknown or not variants:
        raise ValueError(f'--residual must be of {", ".join(VARIANTS)}, not {list(variants)}')
    if repetitions < 1:
        raise ValueError(f'--repetitions must be 1 or more, not {repetitions}')
    groups = make_folds(participants, folds, random_seed)
    return [
        Job(variant, repetition, k, group, job_seed(random_seed, repetition, variant, k))
        for variant in variants
        for repetition in range(1, repetitions + 1)
        for k, group in enumerate(groups, start=1)
    ]


def participant_of(image: str) -> str:
    """Return the participant of an image's stem: 'sub-01' of 'sub-01_ses-A'."""
    return image.split('_')[0]
