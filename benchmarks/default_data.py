"""The people whom the shipped weights were trained on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tmsprep.formats.targets_tsv import read_targets
from tmsprep.methods.baxter2021.cohort import Annotated
from tmsprep.protocols import Protocol

VALIDATION_EVERY = 9
"""Every ninth training person is kept aside, to choose recipes and calibrate on (our choice)."""


def annotated_people(data: Path, protocol: Protocol, split: str) -> list[Annotated]:
    """Everyone of one split of a BIDS data set laid out as the training data are.

    Parameters
    ----------
    data : Path
        With ``split.tsv``, ``derivatives/reference`` (points) and ``derivatives/dlmuse``
        (parcellation).
    protocol : Protocol
        Whose targets to read.
    split : str
        'train' or 'test'.
    """
    table = pd.read_csv(data / 'split.tsv', sep='\t', dtype=str)
    people = []
    for name in table.loc[table['split'] == split, 'participant_id']:
        derived = data / 'derivatives'
        reference = derived / 'reference' / name / 'anat' / f'{name}_desc-reference_targets.tsv'
        points = read_targets(reference).reindex(protocol.labels)
        mask = derived / 'dlmuse' / name / 'anat' / f'{name}_desc-dlmuse_dseg.nii.gz'
        people.append(Annotated(name, data / name / 'anat' / f'{name}_T1w.nii.gz', points, mask))
    return people
