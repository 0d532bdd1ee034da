"""Annotated people made ready for training; whoever cannot be is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tmsprep import __version__
from tmsprep.files import file_sha256
from tmsprep.learning.folds import participant_of
from tmsprep.methods.baxter2021.cohort import Annotated, Person, load_cohort

ASIDE_EVERY = 5
"""Every fifth participant is kept aside (our choice)."""

ASIDE_FROM = 20
"""With fewer participants nobody is: they are needed to train on (our choice)."""


@dataclass(frozen=True)
class Material:
    """What can be trained on.

    Parameters
    ----------
    people : list of Person
        One per image.
    fingerprints : dict
        Name of each to what changes with its image and mask.
    problems : dict
        Name of each that could not be prepared, and why.
    """

    people: list[Person]
    fingerprints: dict[str, str]
    problems: dict[str, str]


def load_material(people: Iterable[Annotated], cache: Path) -> Material:
    """Conform every image, or take what an earlier call has left in `cache`.

    Parameters
    ----------
    people : iterable of Annotated
        Whom to load.
    cache : Path
        Folder for about 90 MB per image. A changed image or mask gets a place of its own.
    """
    material = Material([], {}, {})
    for person in people:
        try:
            fingerprint = _fingerprint(person)
            folder = Path(cache) / f'{person.name}_{fingerprint[:12]}'
            material.people.extend(load_cohort([person], folder))
            material.fingerprints[person.name] = fingerprint
        except Exception as error:
            # One person's damaged file must not cost the others their training.
            mask = '' if person.mask is None else f' (mask: {person.mask})'
            text = str(error) or type(error).__name__
            material.problems[person.name] = f'{person.image}{mask}: {text}'
    return material


def keep_aside(people: Sequence[Person]) -> tuple[list[Person], list[Person]]:
    """Part people into those to train on and those to measure errors on.

    Parameters
    ----------
    people : sequence of Person
        All images of a participant go the same way.

    Returns
    -------
    training, validation : list of Person
        Every `ASIDE_EVERY`-th participant is kept aside, nobody with fewer than `ASIDE_FROM`.
    """
    participants = list(dict.fromkeys(participant_of(person.name) for person in people))
    enough = len(participants) >= ASIDE_FROM
    aside = set(participants[ASIDE_EVERY - 1 :: ASIDE_EVERY] if enough else ())
    training = [person for person in people if participant_of(person.name) not in aside]
    return training, [person for person in people if participant_of(person.name) in aside]


def _fingerprint(person: Annotated) -> str:
    """Of the content, so that a copied data set is still the same."""
    files = [person.image] if person.mask is None else [person.image, person.mask]
    parts = [__version__, *(file_sha256(path) for path in files)]
    return hashlib.sha256(' '.join(parts).encode()).hexdigest()
