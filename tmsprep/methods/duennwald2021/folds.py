"""Who trains, who chooses the epoch and who is tested, in the locus coeruleus' way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tmsprep.learning.folds import make_folds

NETWORKS = ('localizer', 'segmenter')
"""What a fold trains; each has seeds of its own."""


@dataclass(frozen=True)
class FoldPlan:
    """A partition of the participants (Duennwald et al. 2021, section 2.3).

    Parameters
    ----------
    held_out : tuple of str
        Tested by the networks of every fold, and seen by none; may be empty.
    parts : tuple of tuple of str
        Fold k validates on part k and trains on the others.
    """

    held_out: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]

    @property
    def folds(self) -> range:
        """Numbers of the folds, from 1."""
        return range(1, len(self.parts) + 1)

    @property
    def optimistic(self) -> bool:
        """Whether people are tested who also chose the best epoch."""
        return not self.held_out

    def validation(self, fold: int) -> tuple[str, ...]:
        """Who chooses the epoch of a fold."""
        return self.parts[fold - 1]

    def training(self, fold: int) -> tuple[str, ...]:
        """Who is trained on in a fold, part by part."""
        return tuple(p for k in self.folds if k != fold for p in self.parts[k - 1])

    def tested(self, fold: int) -> tuple[str, ...]:
        """Who is tested by the networks of a fold."""
        return self.held_out or self.validation(fold)

    def roles(self) -> dict[str, str]:
        """Each participant's fold, or 'held out'."""
        roles = dict.fromkeys(self.held_out, 'held out')
        return roles | {p: str(k) for k in self.folds for p in self.validation(k)}


def plan_folds(
    participants: Sequence[str], *, folds: int | None, held_out: int, random_seed: int
) -> FoldPlan:
    """Draw who is held out, and part the others.

    Parameters
    ----------
    participants : sequence of str
        Everyone once; all images of a participant go the same way.
    folds : int or None
        Number of parts; None for one participant each.
    held_out : int
        How many are held out.
    random_seed : int
        Of both draws.

    Raises
    ------
    ValueError
        If too few are left for the folds; see also `make_folds`.
    """
    people = list(participants)
    needed = held_out + (folds or 2)
    if held_out and len(people) < needed:
        raise ValueError(
            f'--held-out {held_out} of {len(people)} participants leaves fewer than the '
            f'{folds or 2} that the folds need; give a smaller number, or fewer --folds'
        )
    order = np.random.default_rng([random_seed, 2]).permutation(len(people))
    aside = {people[i] for i in order[:held_out]}
    parts = make_folds([p for p in people if p not in aside], folds, random_seed)
    return FoldPlan(tuple(p for p in people if p in aside), tuple(parts))


def training_seed(random_seed: int, network: str, fold: int) -> int:
    """Seed of one training, 0 to 2**31 - 1.

    The same with and without augmentation, so that both begin with the same weights and show
    people in the same order (our choice).
    """
    key = [random_seed, 3, NETWORKS.index(network), fold]
    return int(np.random.SeedSequence(key).generate_state(1)[0] >> 1)
