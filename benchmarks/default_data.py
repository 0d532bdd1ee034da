"""The images that the shipped weights were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from painting import paint

from tmsprep.atomic import atomic_path
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.imaging.read import load_nifti
from tmsprep.imaging.volume import normalise, percentile_window
from tmsprep.learning.examples import Example
from tmsprep.learning.loop import generator_of
from tmsprep.protocols import Protocol

#: Every ninth participant is in the validation set, on which recipes are chosen and calibrated.
VALIDATION_EVERY = 9


def read_examples(
    data: Path, protocol: Protocol, split: str, reference: Path | None = None
) -> list[Example]:
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
    reference : Path, optional
        Where ``reference.py`` wrote the reference points; by default those of the data set.
    """
    people = pd.read_csv(data / 'split.tsv', sep='\t', dtype=str)
    examples = []
    for name in people.loc[people['split'] == split, 'participant_id']:
        derived = data / 'derivatives'
        root = reference or derived / 'reference'
        table = root / name / 'anat' / f'{name}_desc-reference_targets.tsv'
        points = read_targets(table).reindex(protocol.labels)
        mask = derived / 'dlmuse' / name / 'anat' / f'{name}_desc-dlmuse_dseg.nii.gz'
        examples.append(Example(name, data / name / 'anat' / f'{name}_T1w.nii.gz', points, mask))
    return examples


def painted_examples(examples: Sequence[Example], folder: Path) -> list[Example]:
    """Give each image another contrast, see `paint`, and write it to `folder`."""
    painted = []
    for number, example in enumerate(examples):
        path = folder / f'{example.name}_desc-painted_T1w.nii.gz'
        if not path.is_file():
            assert example.mask is not None
            image, codes = load_nifti(example.image), load_nifti(example.mask)
            values = np.squeeze(image.get_fdata(dtype=np.float32))
            window = percentile_window(values)
            seen = torch.from_numpy(normalise(values, window)).clamp(0, 3)
            parcels = torch.from_numpy(np.squeeze(np.asanyarray(codes.dataobj)).astype(np.int64))
            other = paint(seen, parcels, generator_of(number), ordered=0.85)
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                nib.save(nib.Nifti1Image((1000 * other).short().numpy(), image.affine), partial)
        painted.append(replace(example, name=f'{example.name}-painted', image=path))
    return painted


def target_gyri(protocol: Protocol) -> tuple[str, ...]:
    """List the gyri in which the targets of a protocol lie, each once."""
    return tuple(dict.fromkeys(target.gyrus for target in protocol.targets if target.gyrus))
