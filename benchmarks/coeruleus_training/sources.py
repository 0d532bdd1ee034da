"""Heads that images are simulated in: for training, for choices, and for reporting."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.imaging.conform import as_image
from tmsprep.imaging.read import load_nifti

from coeruleus_simulation.heads import register_head

#: Heads of up to 1 mm that crops are drawn in for training, of data sets with one T1w per
#: participant; those of the validation set; those for reporting, with one of the templates.
NATIVE = {
    'ds000011': ('sub-01', 'sub-02', 'sub-03', 'sub-04'),
    'studyforrest': ('sub-02',),
    'ds002748': ('sub-01', 'sub-10', 'sub-22', 'sub-34'),
}
VALIDATION = {'ds000011': ('sub-05',)}
REPORTED = {'ds000011': ('sub-06', 'sub-07')}
COLIN = 'tpl-MNIColin27_T1w'

#: Heads of 2 mm that views are drawn in: of the training and the test set of IXI.
IXI_TRAINING, IXI_REPORTED = 24, 6


@dataclass(frozen=True)
class Source:
    """A T1w that nuclei are simulated in.

    Parameters
    ----------
    name : str
        Of the head in the cache.
    image : Path
        T1w.
    mask : Path or None
        Parcellation, above 0 inside of the brain.
    """

    name: str
    image: Path
    mask: Path | None = None


def native(data: Path, participants: Mapping[str, Sequence[str]]) -> list[Source]:
    """List images of data sets with one T1w per participant."""
    found = []
    for name, labels in participants.items():
        for label in labels:
            path = data / name / label / 'anat' / f'{label}_T1w.nii.gz'
            found.append(Source(f'{name}_{label}_T1w', path))
    return found


def ixi(data: Path, split: str, count: int) -> list[Source]:
    """List the first images of a split of IXI."""
    with (data / 'ixi' / 'split.tsv').open(encoding='utf-8') as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    labels = [row['participant_id'] for row in rows if row['split'] == split]
    parcels = data / 'ixi' / 'derivatives' / 'dlmuse'
    return [
        Source(
            f'{label}_T1w',
            data / 'ixi' / label / 'anat' / f'{label}_T1w.nii.gz',
            parcels / label / 'anat' / f'{label}_desc-dlmuse_dseg.nii.gz',
        )
        for label in labels[:count]
    ]


def colin(data: Path) -> Source:
    """Return the head of one man, a template."""
    return Source(COLIN, data / 'templates' / f'{COLIN}.nii.gz')


def cached(sources: Sequence[Source], cache: Path) -> list[Path]:
    """Register heads that are not in the cache yet, and return the paths of all."""
    cache.mkdir(parents=True, exist_ok=True)
    return [
        register_head(s.name, load_nifti(s.image), s.mask and _brain(s.mask), cache)
        for s in sources
    ]


def _brain(path: Path) -> nib.Nifti1Image:
    labels = load_nifti(path)
    return as_image((np.asarray(labels.dataobj) > 0).astype(np.uint8), labels.affine)
