"""The images that the shipped weights were trained on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tmsprep.formats.targets_tsv import read_targets
from tmsprep.learning.examples import Example
from tmsprep.protocols import Protocol

#: Every ninth participant is in the validation set, on which recipes are chosen and calibrated.
VALIDATION_EVERY = 9


def read_examples(data: Path, protocol: Protocol, split: str) -> list[Example]:
    """Read one split of a BIDS data set laid out as the training data are.

    Parameters
    ----------
    data : Path
        With ``split.tsv``, ``derivatives/reference`` (points) and ``derivatives/dlmuse``
        (parcellation).
    protocol : Protocol
        The targets.
    split : str
        'train' or 'test'.
    """
    table = pd.read_csv(data / 'split.tsv', sep='\t', dtype=str)
    examples = []
    for name in table.loc[table['split'] == split, 'participant_id']:
        derived = data / 'derivatives'
        reference = derived / 'reference' / name / 'anat' / f'{name}_desc-reference_targets.tsv'
        points = read_targets(reference).reindex(protocol.labels)
        mask = derived / 'dlmuse' / name / 'anat' / f'{name}_desc-dlmuse_dseg.nii.gz'
        examples.append(Example(name, data / name / 'anat' / f'{name}_T1w.nii.gz', points, mask))
    return examples
