"""Measure the shipped localiser of the locus coeruleus, and write a page on it.

``python benchmarks/coeruleus_heads.py DATA OUT [--docs DOCS]`` simulates images in heads that no
network was trained on (label maps, by a simulator that shares nothing with training; real heads;
stem phantoms), localises in each, and writes ``locus_coeruleus_heads.md`` and its tables to DOCS.
DATA is laid out as for `coeruleus_weights`, with ``label_maps`` and ``templates``. What is in OUT is
not measured again. ``--development`` measures the heads that choices may be made on instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from nibabel.affines import apply_affine

from tmsprep.atomic import write_text
from tmsprep.evaluation.masks import dice
from tmsprep.imaging.conform import as_image
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import resample_labels
from tmsprep.imaging.read import load_nifti
from tmsprep.methods.duennwald2021.search import locate_stages
from tmsprep.methods.duennwald2021.two_stages import TwoStages, load_stages

from coeruleus_simulation.heads import load_heads
from coeruleus_simulation.results import rows_of, summarise
from coeruleus_simulation.testing import Shown, show_head, show_labels, show_phantom, slice_mm
from coeruleus_weights import WEIGHTS, Source, cached, ixi, native

#: Kinds of images, with what they are.
KINDS = {
    'second': 'label maps, second simulator',
    'native': 'real heads of up to 1 mm, simulator of the training',
    'ixi': 'real heads of 2 mm, simulator of the training',
    'phantom': 'stem phantoms',
}

#: Heads for reporting, and label maps for choices.
NATIVE = {'ds000011': ('sub-06', 'sub-07')}
COLIN = 'tpl-MNIColin27_T1w'
LABEL_MAPS, FIRST_REPORTED = 12, 3
IXI_HEADS, PHANTOMS = 6, 30


@dataclass(frozen=True)
class Case:
    """One test image.

    Parameters
    ----------
    kind : str
        Key of `KINDS`.
    coverage : str
        'whole', 'slab' or 'stem'.
    head : str
        Name.
    seed : int
        Of all that is drawn.
    """

    kind: str
    coverage: str
    head: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the image."""
        return f'{self.kind}_{self.coverage}_{self.head}_{self.seed}'


def reported() -> list[Case]:
    """List the images of the page."""
    maps = [f'head-{number:02d}' for number in range(FIRST_REPORTED, LABEL_MAPS + 1)]
    heads = [*(f'ds000011_{label}_T1w' for label in NATIVE['ds000011']), COLIN]
    return [
        *(Case('second', 'slab', head, 10 * i + j) for i, head in enumerate(maps) for j in (1, 2)),
        *(Case('second', 'whole', head, 10 * i + 5) for i, head in enumerate(maps)),
        *(
            Case('native', coverage, head, 1000 + 10 * i + j)
            for i, head in enumerate(heads)
            for coverage in ('whole', 'slab')
            for j in range(4)
        ),
        *(
            Case('ixi', coverage, f'{i}', 2000 + i)
            for i in range(IXI_HEADS)
            for coverage in ('whole', 'slab')
        ),
        *(Case('phantom', 'stem', f'{seed}', seed) for seed in range(1, PHANTOMS + 1)),
    ]


def development() -> list[Case]:
    """List the images that choices may be made on."""
    maps = [f'head-{number:02d}' for number in range(1, FIRST_REPORTED)]
    return [
        *(Case('second', 'slab', head, 500 + 20 * i + j) for i, head in enumerate(maps) for j in range(10)),
        *(Case('native', 'slab', 'ds000011_sub-05_T1w', 600 + j) for j in range(10)),
    ]


def make(case: Case, data: Path, cache: Path) -> Shown:
    """Simulate one image."""
    if case.kind == 'phantom':
        return show_phantom(case.seed)
    if case.kind == 'second':
        labels = load_nifti(data / 'label_maps' / f'{case.head}.nii.gz')
        numbers = np.asanyarray(labels.dataobj).astype(int)
        return show_labels(numbers, labels.affine, case.coverage, case.seed)
    if case.kind == 'ixi':
        source = ixi(data, 'test', IXI_HEADS)[int(case.head)]
    elif case.head == COLIN:
        source = Source(COLIN, data / 'templates' / f'{COLIN}.nii.gz')
    else:
        dataset, label, _ = case.head.split('_')
        (source,) = native(data, {dataset: (label,)})
    (head,) = load_heads(cached([source], cache))
    return show_head(head, case.coverage, case.seed)


def measure(case: Case, model: TwoStages, data: Path, cache: Path) -> list[dict]:
    """Localise in one image; one row per side."""
    shown = make(case, data, cache)
    volume = conform_isotropic(shown.image, model.crop.voxel_mm)
    intensities = np.asarray(volume.dataobj, dtype=np.float32)
    found = locate_stages(model, intensities, volume.affine)
    middle = apply_affine(shown.image.affine, (np.array(shown.image.shape) - 1) / 2)
    rows = rows_of(shown, found.points, middle)
    truth = np.asarray(shown.masks.dataobj)
    there = np.linalg.inv(volume.affine) @ shown.masks.affine
    back = np.linalg.inv(there)
    labels = resample_labels(found.labels(intensities.shape), there, truth.shape)
    through = resample_labels(truth, back, intensities.shape)
    ceiling = resample_labels(through, there, truth.shape)
    rater, pair = _raters(shown)
    for side, row in enumerate(rows):
        mask = truth == side + 1
        first = found.first.mean(axis=0)[model.finder.labels.index(model.labels[side])]
        row |= {
            **asdict(case),
            'image': case.name,
            'slice_mm': slice_mm(shown.image),
            'first_mm': float(np.linalg.norm(first - shown.expected[side])),
            'visibility': float(found.visibility[side]),
            'spread_mm': float(found.spread_mm[side]),
            'dispersion_mm': float(found.dispersion_mm[side]),
            'shift_mm': float(found.shift_mm[side]),
            'finder_mm': found.finder_mm,
            'misfit_mm': found.misfit_mm,
            'dice': dice(labels == side + 1, mask) if mask.any() else np.nan,
            'ceiling': dice(ceiling == side + 1, mask) if mask.any() else np.nan,
            'raters_mm': pair[side],
            'rater_mm': rater[side],
            'raters_dice': _rater_dice(shown.raters, side),
        }
    return rows


def _raters(shown: Shown) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the first rater from the truth, and of two raters from each other, mm."""
    if len(shown.rater_points) < 2:
        return np.full(2, np.nan), np.full(2, np.nan)
    first, second = shown.rater_points[:2]
    return (
        np.linalg.norm(first - shown.points, axis=1),
        np.linalg.norm(first - second, axis=1),
    )


def _rater_dice(raters: Sequence, side: int) -> float:
    if len(raters) < 2:
        return float('nan')
    first, second = (np.asarray(mask.dataobj) == side + 1 for mask in raters[:2])
    return dice(first, second)
