"""Annotated people between the nodes of a workflow: what was prepared, and what could not be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.atomic import write_text
from tmsprep.learning.folds import participant_of
from tmsprep.methods.baxter2021.cohort import Annotated, Person, load_cohort
from tmsprep.points import PointSet


@dataclass(frozen=True)
class Prepared:
    """One image of a cross-validation.

    Parameters
    ----------
    name : str
        Stem of the image, such as 'sub-01_ses-A'.
    image : str
        Path of the T1w.
    fingerprint : str
        Changes with the image and its mask.
    points : PointSet
        Reference, mm, RAS+, in the T1w's scanner frame; missing allowed.
    cache : str
        Folder of what `load_cohort` keeps; '' if the image could not be prepared.
    affine : tuple of tuple of float
        Of the conformed volume; empty if the image could not be prepared.
    error : str
        Why not; '' if it could.
    """

    name: str
    image: str
    fingerprint: str
    points: PointSet
    cache: str = ''
    affine: tuple[tuple[float, ...], ...] = ()
    error: str = ''

    @property
    def participant(self) -> str:
        """Such as 'sub-01'."""
        return participant_of(self.name)

    def load(self) -> Person:
        """Memory-map the prepared image."""
        (person,) = load_cohort(
            [Annotated(self.name, Path(self.image), self.points)], Path(self.cache)
        )
        return person

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_dict` reads it back."""
        rest = {k: v for k, v in asdict(self).items() if k != 'points'}
        return {**rest, 'points': points_to_rows(self.points)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Prepared:
        """Read what `as_dict` gave."""
        affine = tuple(tuple(row) for row in content['affine'])
        points = rows_to_points(content['points'])
        return cls(**{**content, 'points': points, 'affine': affine})


def prepare(person: Annotated, cache: Path, fingerprint: str) -> Prepared:
    """Conform an image and keep it in `cache`; see `read_image` for what can go wrong."""
    load_cohort([person], cache)
    affine = np.load(Path(cache) / f'{person.name}.npz')['affine']
    return Prepared(
        person.name,
        str(person.image),
        fingerprint,
        person.points,
        str(cache),
        tuple(tuple(row) for row in affine.tolist()),
    )


def write_cohort(path: Path, people: Iterable[Prepared]) -> Path:
    """Write everyone as one JSON file."""
    return write_text(path, json.dumps([person.as_dict() for person in people], indent=1))


def read_cohort(path: Path) -> list[Prepared]:
    """Read everyone back, in order."""
    return [Prepared.from_dict(row) for row in json.loads(Path(path).read_text(encoding='utf-8'))]


def points_to_rows(points: PointSet) -> dict[str, list[float] | None]:
    """Label to [x, y, z]; None where missing, as JSON has no NaN."""
    return {
        label: point.tolist() if np.isfinite(point).all() else None
        for label, point in zip(points.labels, points.coordinates, strict=True)
    }


def rows_to_points(rows: Mapping[str, Sequence[float] | None]) -> PointSet:
    """Read what `points_to_rows` gave."""
    known = {label: row for label, row in rows.items() if row is not None}
    return PointSet.from_mapping(known, rows)
