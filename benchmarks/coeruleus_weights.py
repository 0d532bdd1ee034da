"""Train the networks of the localiser of the locus coeruleus that ship with the package.

``python benchmarks/coeruleus_weights.py DATA OUT`` trains them from nothing; call it again to
resume. DATA holds the BIDS data sets ``ds000011``, ``ds002748``, ``studyforrest`` and ``ixi`` (with
parcellations in ``derivatives/dlmuse``, and ``split.tsv``). Nuclei are simulated in these heads, see
``docs/neuromelanin_phantom.md``. The exit code is 1 if a network has not learned to look at the
nucleus: if its error in heads of the validation set is over half of that of a guess without it.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import torch
from torch import nn

from tmsprep.imaging.conform import as_image
from tmsprep.imaging.read import load_nifti
from tmsprep.learning.log import write_log
from tmsprep.learning.loop import Task, Trained, fit, rounded
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.task import Images, bfloat16_is_fast
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
from tmsprep.tables import write_json

from coeruleus_simulation.heads import Head, load_heads, register_head
from coeruleus_simulation.training import (
    Bank,
    CropTask,
    blind_error,
    first_task,
    load_views,
    localizer_of,
    segmenter_of,
)

logger = logging.getLogger('coeruleus_weights')

#: Where the weights go.
WEIGHTS = Path(__file__).resolve().parents[1] / 'tmsprep/data/localizer_locus-coeruleus.safetensors'

#: Heads of up to 1 mm that crops are drawn in, of data sets with one image per participant;
#: those of the validation set; heads of 2 mm that views are drawn in; views of each head.
NATIVE = {
    'ds000011': ('sub-01', 'sub-02', 'sub-03', 'sub-04'),
    'studyforrest': ('sub-02',),
    'ds002748': ('sub-01', 'sub-10', 'sub-22', 'sub-34'),
}
VALIDATION = {'ds000011': ('sub-05',)}
IXI_HEADS, VIEWS = 24, 6

#: Reach of the box around the pons that is kept of a head for crops, mm.
REACH_MM = 45.0

#: Crops of the training and validation set, crops per step, and optimiser steps of each network.
CROPS, VALIDATION_CROPS, BATCH = 12000, 160, 4
STEPS = {'first': 1500, 'localizer': 3000, 'segmenter': 2500}

#: Networks of each kind, trained from scratch with other seeds.
MEMBERS = {'first': 2, 'localizer': 3, 'segmenter': 1}

#: Share of the error of a guess that does not look, over which a network has learned too little.
LIMIT = 0.5


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


def native(data: Path, participants: dict[str, tuple[str, ...]]) -> list[Source]:
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
        rows = [r['participant_id'] for r in csv.DictReader(file, delimiter='\t') if r['split'] == split]
    return [
        Source(
            f'{label}_T1w',
            data / 'ixi' / label / 'anat' / f'{label}_T1w.nii.gz',
            data / 'ixi' / 'derivatives' / 'dlmuse' / label / 'anat' / f'{label}_desc-dlmuse_dseg.nii.gz',
        )
        for label in rows[:count]
    ]


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


def train_one(name: str, task: Task, identity: str, out: Path, unit: str) -> Trained:
    """Train to the last step, resuming from the checkpoint, and write the log."""
    trained = fit(task, identity, out / f'{name}.pt', lambda row: logger.info('%s %s', name, row))
    write_log(out / f'{name}.log.tsv', {name: trained.log}, 'step', {name: ('loss', unit)})
    return trained


def train_first(data: Path, out: Path, fast: bool) -> tuple[list[nn.Module], dict]:
    """Train the first stage; return the networks, and errors in the validation set, mm."""
    cache = out / 'heads'

    def load(name: str) -> Head:
        return load_heads([cache / f'{name}.npz'])[0]

    sources = ixi(data, 'train', IXI_HEADS) + native(data, NATIVE)
    cached(sources, cache)
    cached(native(data, VALIDATION), cache)
    training = load_views(out / 'views', [s.name for s in sources], load, VIEWS, 10**6)
    held = [s.name for s in native(data, VALIDATION)]
    validation = load_views(out / 'views', held, load, 12, 2 * 10**6)
    images = Images(training, validation)
    networks, errors = [], {}
    for seed in range(1, MEMBERS['first'] + 1):
        steps = STEPS['first']
        task = first_task(images, seed, steps, half_precision=fast)
        name = f'first-{seed}'
        trained = train_one(name, task, f'{name} {steps}', out, 'error mm')
        networks.append(rounded(trained.network))
        errors[name] = trained.log[-1]['validation']
    shape = torch.stack([v.points for v in training]).numpy()
    blind = float(np.linalg.norm(shape - shape.mean(axis=0), axis=-1).mean())
    return networks, {'mm': errors, 'blind_mm': blind}


def train_crops(data: Path, out: Path, fast: bool) -> tuple[list[nn.Module], list[nn.Module], dict]:
    """Train the second stage; return localizers, segmenters and errors."""
    cache = out / 'heads'
    heads = load_heads(cached(native(data, NATIVE), cache), REACH_MM)
    held = load_heads(cached(native(data, VALIDATION), cache), REACH_MM)
    training = Bank(out / 'crops', heads, CROPS, 0)
    validation = Bank(out / 'validation', held, VALIDATION_CROPS, 10**7)
    localizers, segmenters, errors = [], [], {}
    for kind, make, networks in (
        ('localizer', localizer_of, localizers),
        ('segmenter', segmenter_of, segmenters),
    ):
        steps = STEPS[kind]
        for seed in range(1, MEMBERS[kind] + 1):
            name = f'{kind}-{seed}'
            task = CropTask(
                training, validation, make(seed), steps, BATCH, seed, half_precision=fast
            )
            trained = train_one(name, task, f'{name} {steps} {BATCH}', out, 'error mm or loss')
            networks.append(rounded(trained.network))
            errors[name] = trained.log[-1]['validation']
    blind = blind_error(training.points(), validation.points())
    return localizers, segmenters, {'mm': errors, 'blind_mm': blind}


def has_learned(errors: dict[str, float], blind: float) -> dict[str, bool]:
    """Tell for each network whether its error is at most half of that of a blind guess."""
    return {
        name: bool(error <= LIMIT * blind)
        for name, error in errors.items()
        if not name.startswith('segmenter')
    }


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--stage', choices=('first', 'crops', 'all'), default='all')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(1)
    fast = bfloat16_is_fast('cpu')
    options.out.mkdir(parents=True, exist_ok=True)
    if options.stage in ('crops', 'all'):
        print(train_crops(options.data, options.out, fast)[2])
    if options.stage in ('first', 'all'):
        print(train_first(options.data, options.out, fast)[1])


if __name__ == '__main__':
    main()
