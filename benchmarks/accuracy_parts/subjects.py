"""The images to measure on, and where each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

from default_data import read_examples

OTHER_SCANNERS = {
    'ds000011': 'ds000011/sub-*/anat/*_T1w.nii.gz',
    'studyforrest': 'studyforrest/sub-*/anat/*_T1w.nii.gz',
    'Colin27': 'templates/tpl-MNIColin27_T1w.nii.gz',
    'ds002748': 'ds002748/sub-*/anat/*_T1w.nii.gz',
}
"""Data set to its images, in the folder of all data."""


@dataclass(frozen=True)
class Subject:
    """One image, with its reference if there is one.

    Parameters
    ----------
    dataset, name : str
        Together unique.
    image : Path
        T1w.
    number : int
        Place in the data set: the seed of its corruptions.
    points : PointSet
        Reference, mm, RAS+; all missing where there is none.
    mask : Path, optional
        Parcellation, above 0 in the brain.
    """

    dataset: str
    name: str
    image: Path
    number: int
    points: PointSet
    mask: Path | None = None


def test_people(data: Path, protocol: Protocol) -> list[Subject]:
    """The people of ``ixi`` that no network was trained on."""
    people = read_examples(data / 'ixi', protocol, 'test')
    return [
        Subject('ixi', p.name, p.image, number, p.points, p.mask)
        for number, p in enumerate(people)
    ]


def people_of_other_scanners(data: Path, protocol: Protocol) -> list[Subject]:
    """All images without a reference.

    Raises
    ------
    FileNotFoundError
        If a data set has no image.
    """
    nothing = PointSet.from_mapping({}, protocol.labels)
    found = []
    for dataset, pattern in OTHER_SCANNERS.items():
        images = sorted(data.glob(pattern))
        if not images:
            raise FileNotFoundError(f'{data / pattern}: no such image. Check DATA.')
        for number, image in enumerate(images):
            name = image.name.split('_')[0]
            found.append(Subject(dataset, name, image, number, nothing))
    return found
