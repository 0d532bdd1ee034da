"""Annotated images, and what was prepared from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tmsprep.files import file_sha256
from tmsprep.points import PointSet

#: Every fifth participant is in the validation set; not given in the papers.
VALIDATION_EVERY = 5

#: With fewer participants all are trained on, unless a method needs a validation set.
VALIDATION_FROM = 20


@dataclass(frozen=True)
class Example:
    """One annotated image.

    Parameters
    ----------
    name : str
        Name of the image without its suffix, such as 'sub-01_ses-A'.
    image : Path
        The image.
    points : PointSet or None
        Targets, mm, RAS+, in the scanner frame of the image; missing allowed. None if the mask
        gives them.
    mask : Path or None
        Mask of the method, in the scanner frame of the image.
    """

    name: str
    image: Path
    points: PointSet | None = None
    mask: Path | None = None

    @property
    def participant(self) -> str:
        """Such as 'sub-01'."""
        return participant_of(self.name)

    @property
    def files(self) -> list[Path]:
        """The image, and the mask if there is one."""
        return [self.image] if self.mask is None else [self.image, self.mask]

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_dict` reads it back."""
        points = None if self.points is None else points_as_dict(self.points)
        mask = None if self.mask is None else str(self.mask)
        return {'name': self.name, 'image': str(self.image), 'points': points, 'mask': mask}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Example:
        """Read what `as_dict` returned."""
        points, mask = content['points'], content['mask']
        return cls(
            content['name'],
            Path(content['image']),
            None if points is None else points_from_dict(points),
            None if mask is None else Path(mask),
        )


@dataclass(frozen=True)
class Record:
    """An example that was prepared for training, or why it could not be.

    Parameters
    ----------
    example : Example
        The image and its annotation.
    fingerprint : str
        Changes with the files.
    cache : Path
        Directory of what was prepared.
    error : str
        Reason why the example cannot be used; '' if it can.
    facts : mapping
        What the method notes about the prepared example, JSON-ready.
    """

    example: Example
    fingerprint: str
    cache: Path
    error: str = ''
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Name of the example."""
        return self.example.name

    @property
    def participant(self) -> str:
        """Such as 'sub-01'."""
        return self.example.participant

    def to_json(self) -> str:
        """Return a text that is the same for the same record; `from_json` reads it back."""
        content = {
            'example': self.example.as_dict(),
            'fingerprint': self.fingerprint,
            'cache': str(self.cache),
            'error': self.error,
            'facts': dict(self.facts),
        }
        # Not with sorted keys: the order of the targets would be lost.
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what `to_json` returned."""
        content = json.loads(text)
        example, cache = Example.from_dict(content['example']), Path(content['cache'])
        return cls(**{**content, 'example': example, 'cache': cache})


Item = TypeVar('Item', Example, Record)


def participant_of(image: str) -> str:
    """Return the participant of an image's name: 'sub-01' of 'sub-01_ses-A'."""
    return image.split('_')[0]


def participants_of(items: Iterable[Example | Record]) -> list[str]:
    """List the participants of examples or records, each once, in order."""
    return list(dict.fromkeys(item.participant for item in items))


def usable(records: Iterable[Record]) -> list[Record]:
    """Select the records without an error."""
    return [record for record in records if not record.error]


def split(records: Sequence[Item], least: int = 0) -> tuple[list[Item], list[Item]]:
    """Split records into a training set and a validation set.

    Parameters
    ----------
    records : sequence of Record or Example
        All images of a participant are in the same set.
    least : int
        Smallest number of participants in the validation set. 0: with fewer than
        `VALIDATION_FROM` participants it is empty.

    Returns
    -------
    training, validation : list
        Every `VALIDATION_EVERY`-th participant validates; if these are too few, the last ones.

    Raises
    ------
    ValueError
        If no participant is left to train on.
    """
    participants = participants_of(records)
    if len(participants) <= least:
        raise ValueError(
            f'{len(participants)} participants with usable images and annotations; training needs '
            f'at least {least + 1}, {least} of them to validate. Messages above say what was '
            'wrong with others'
        )
    chosen = participants[VALIDATION_EVERY - 1 :: VALIDATION_EVERY]
    if not least and len(participants) < VALIDATION_FROM:
        chosen = []
    elif len(chosen) < least:
        chosen = participants[-least:]
    training = [record for record in records if record.participant not in chosen]
    return training, [record for record in records if record.participant in chosen]


def fingerprint(example: Example, version: str) -> str:
    """Checksum of the content of an example's files, so that a copied data set is the same.

    Parameters
    ----------
    example : Example
        The files.
    version : str
        `Learner.version`, as what is prepared depends on it.
    """
    parts = [version, *(file_sha256(path) for path in example.files)]
    return hashlib.sha256(' '.join(parts).encode()).hexdigest()


def points_as_dict(points: PointSet) -> dict[str, list[float] | None]:
    """Convert to label to [x, y, z]; None where missing, as JSON has no NaN."""
    return {
        label: point.tolist() if np.isfinite(point).all() else None
        for label, point in zip(points.labels, points.coordinates, strict=True)
    }


def points_from_dict(rows: Mapping[str, Sequence[float] | None]) -> PointSet:
    """Read what `points_as_dict` returned."""
    known = {label: row for label, row in rows.items() if row is not None}
    return PointSet.from_mapping(known, rows)
