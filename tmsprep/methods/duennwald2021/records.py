"""What the nodes of a cross-validation hand to each other, as texts of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tmsprep.files import file_sha256
from tmsprep.learning.folds import participant_of
from tmsprep.learning.loop import Schedule
from tmsprep.methods.baxter2021.prepared import points_to_rows, rows_to_points
from tmsprep.methods.duennwald2021.augmentation import VolumeAugmentation
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.volumes import LabelledVolume, Volume, load_volumes


@dataclass(frozen=True)
class VolumeRecord:
    """A person whose image was prepared, or why not.

    Parameters
    ----------
    name : str
        Of the image, without suffix.
    image, mask : str
        Paths; `mask` is empty without one.
    points : dict or None
        Label to mm, RAS+, where there is no mask; see `prepared.points_to_rows`.
    fingerprint : str
        Changes with the files, so that new ones are trained on anew.
    cache : str
        Folder of `load_volumes`.
    voxel_mm : float
        Edge of the isotropic voxels.
    error : str
        What was wrong; empty if nothing was.
    """

    name: str
    image: str
    mask: str
    points: dict | None
    fingerprint: str
    cache: str
    voxel_mm: float
    error: str = ''

    @property
    def participant(self) -> str:
        """Such as 'sub-01'."""
        return participant_of(self.name)

    def labelled(self) -> LabelledVolume:
        """Where the files are."""
        return LabelledVolume(
            self.name,
            Path(self.image),
            None if self.points is None else rows_to_points(self.points),
            Path(self.mask) if self.mask else None,
        )

    def load(self) -> Volume:
        """Read what was prepared, or prepare it again if it is gone."""
        return load_volumes([self.labelled()], Path(self.cache), self.voxel_mm)[0]

    def as_json(self) -> str:
        """Return the text of which `from_json` is the inverse."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> VolumeRecord:
        """Read a record."""
        return cls(**json.loads(text))


def record_of(
    person: LabelledVolume, fingerprint: str, cache: Path, voxel_mm: float, error: str = ''
) -> VolumeRecord:
    """Make the record of a person."""
    return VolumeRecord(
        person.name,
        str(person.image),
        '' if person.mask is None else str(person.mask),
        None if person.points is None else points_to_rows(person.points),
        fingerprint,
        str(cache),
        voxel_mm,
        error,
    )


def content_of(person: LabelledVolume) -> str:
    """Checksums of image and mask, so that a copied data set is still the same."""
    files = (path for path in (person.image, person.mask) if path is not None)
    return ' '.join(file_sha256(path) for path in files)


def read_records(texts: Iterable[str]) -> list[VolumeRecord]:
    """Read several records."""
    return [VolumeRecord.from_json(text) for text in texts]


def usable(records: Iterable[VolumeRecord]) -> list[VolumeRecord]:
    """Leave out those whose image could not be prepared."""
    return [record for record in records if not record.error]


def recipe_to_json(recipe: CoeruleusRecipe) -> str:
    """All that a recipe says, as text that is the same for the same recipe."""
    return json.dumps(asdict(recipe), sort_keys=True)


def recipe_from_json(text: str) -> CoeruleusRecipe:
    """Read what `recipe_to_json` gave."""
    content = json.loads(text)
    for name in ('schedule', 'patch_schedule'):
        content[name] = Schedule(**content[name])
    for name in ('augmentation', 'patch_augmentation'):
        content[name] = VolumeAugmentation(**content[name])
    return CoeruleusRecipe(**content)
