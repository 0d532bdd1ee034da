"""The images to measure on, and where each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tmsprep.learning.examples import Example
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

from default_data import VALIDATION_EVERY, read_examples

OTHER_SCANNERS = {
    'ds000011': 'ds000011/sub-*/anat/*_T1w.nii.gz',
    'studyforrest': 'studyforrest/sub-*/anat/*_T1w.nii.gz',
    'Colin27': 'templates/tpl-MNIColin27_T1w.nii.gz',
    'ds002748': 'ds002748/sub-*/anat/*_T1w.nii.gz',
}
"""Data set to its images, in the folder of all data."""


#: Scans of ``miccai2012``, sorted by name, on which choices may be made; the others are reported.
TO_CHOOSE_ON = 8


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
        Parcellation, above 0 in the brain, by the numbers of the Neuromorphometrics protocol.
    group : str
        For the page: those on whom choices were made are never mixed with the others.
    """

    dataset: str
    name: str
    image: Path
    number: int
    points: PointSet
    mask: Path | None = None
    group: str = ''


def test_people(data: Path, protocol: Protocol) -> list[Subject]:
    """The people of ``ixi`` that no network was trained on."""
    return _people_of_ixi(read_examples(data / 'ixi', protocol, 'test'), 'IXI, test')


def people_to_train_on(data: Path, protocol: Protocol) -> list[Subject]:
    """List the training participants of ``ixi`` without those of the validation set."""
    people = read_examples(data / 'ixi', protocol, 'train')
    chosen = [person for i, person in enumerate(people) if i % VALIDATION_EVERY]
    return _people_of_ixi(chosen, 'IXI, training')


def people_with_labels(data: Path, protocol: Protocol) -> dict[str, list[Subject]]:
    """People whose gyri are labelled: those to choose on, and those to report.

    Returns
    -------
    dict
        'choose': validation participants of ``ixi`` and the first scans of ``miccai2012``;
        'report': test participants of ``ixi`` and all scans, in groups of their own.
    """
    validation = read_examples(data / 'ixi', protocol, 'train')[::VALIDATION_EVERY]
    manual = _manual(data / 'miccai2012', protocol)
    chosen = _people_of_ixi(validation, 'IXI, validation')
    return {
        'choose': chosen + manual[:TO_CHOOSE_ON],
        'report': test_people(data, protocol) + manual,
    }


def _people_of_ixi(people: Sequence[Example], group: str) -> list[Subject]:
    return [
        Subject('ixi', p.name, p.image, number, p.points, p.mask, group)
        for number, p in enumerate(people)
    ]


def _manual(folder: Path, protocol: Protocol) -> list[Subject]:
    """List the scans with manual labels, sorted by name."""
    nothing = PointSet.from_mapping({}, protocol.labels)
    found = []
    for number, image in enumerate(sorted(folder.glob('sub-*/anat/*_T1w.nii.gz'))):
        name = image.name.split('_')[0]
        labels = folder / 'derivatives' / 'manual' / f'{name}_dseg.nii.gz'
        words = f'first {TO_CHOOSE_ON}' if number < TO_CHOOSE_ON else 'others'
        group = f'MICCAI 2012, {words}'
        found.append(Subject('miccai2012', name, image, number, nothing, labels, group))
    return found


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
