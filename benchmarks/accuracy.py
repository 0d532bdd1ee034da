"""Errors of the CNN and of SyN on people that no network was trained on, in mm.

``python benchmarks/accuracy.py DATA OUT`` with DATA laid out as for the training commands. Writes
one row per person, method and target into OUT, resumes where it stopped, and prints the summary.
The reference points are made by rule from each person's own parcellation; they are not human, and
SyN on the exact brain is half of the rule.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch

from tmsprep.evaluation.dispersion import dispersion
from tmsprep.imaging.conform import conform, resample_mask
from tmsprep.imaging.normalise import percentile_window
from tmsprep.imaging.read import read_t1w
from tmsprep.learning.cohort import Annotated
from tmsprep.learning.first_weights import annotated_people
from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
from tmsprep.networks.localize import localize
from tmsprep.networks.unet import BrainUNet
from tmsprep.networks.weights import Localizer, load_localizer
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.plausibility import dice
from tmsprep.registration.syn import register

DATA = Path(__file__).resolve().parents[1] / 'tmsprep' / 'data'


def rows_of(
    person: Annotated, method: str, points: PointSet, extra: np.ndarray | None = None
) -> list[dict[str, object]]:
    """One row per target: its error, and the ensemble's dispersion if there is one."""
    errors = points.reindex(person.points.labels).distance(person.points)
    spread = np.full(len(errors), np.nan) if extra is None else extra
    return [
        {
            'participant_id': person.name,
            'method': method,
            'label': label,
            'error_mm': error,
            'dispersion_mm': scatter,
        }
        for label, error, scatter in zip(person.points.labels, errors, spread, strict=True)
    ]


def evaluate(
    person: Annotated, localizer: Localizer, unet: BrainUNet, methods: list[str]
) -> list[dict[str, object]]:
    """All rows of one person."""
    image = read_t1w(person.image)
    conformed = conform(image)
    window = percentile_window(np.asanyarray(image.dataobj))
    found = localize(conformed, window, localizer)
    rows = []
    if 'cnn' in methods:
        rows += rows_of(person, 'cnn', found.points, dispersion(found.members))
    exact = resample_mask(nib.load(person.mask), conformed)
    masks = {'syn': lambda: extract_brain(conformed, unet), 'syn-exact-mask': lambda: exact}
    for method in (m for m in methods if m in masks):
        mask = masks[method]()
        with tempfile.TemporaryDirectory() as folder:
            result = register(
                conformed,
                default_atlas(load_protocol('tms')),
                work_dir=Path(folder),
                mask=mask,
                initial_points=found.points,
                n_threads=2,
            )
        rows += rows_of(person, method, result.points)
        rows.append(
            {
                'participant_id': person.name,
                'method': method,
                'label': 'mask-dice',
                'error_mm': dice(mask, exact),
            }
        )
    return rows


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, sd, median, 95th percentile, maximum and share within 10 mm, per method."""
    errors = table[table['label'] != 'mask-dice'].dropna(subset='error_mm')
    grouped = errors.groupby('method')['error_mm']
    return pd.DataFrame(
        {
            'n': grouped.size(),
            'mean': grouped.mean(),
            'sd': grouped.std(),
            'median': grouped.median(),
            'p95': grouped.quantile(0.95),
            'max': grouped.max(),
            'within 10 mm': grouped.apply(lambda e: (e <= 10).mean()),
        }
    ).round(3)


def main() -> None:
    """Parse the command line, evaluate whoever is not in the table yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--split', default='test', choices=('train', 'test'))
    parser.add_argument('--every', type=int, default=1, help='every n-th person of the split')
    parser.add_argument('--weights', type=Path, default=DATA / 'localizer_tms.safetensors')
    parser.add_argument('--methods', nargs='+', default=['cnn', 'syn', 'syn-exact-mask'])
    options = parser.parse_args()
    torch.set_num_threads(1)
    localizer = load_localizer(options.weights)
    unet = load_brain_unet(DATA / 'brain_extraction.safetensors')
    table = pd.read_csv(options.out, sep='\t') if options.out.is_file() else pd.DataFrame()
    people = annotated_people(options.data, load_protocol('tms'), options.split)
    for person in people[:: options.every]:
        if len(table) and person.name in set(table['participant_id']):
            continue
        try:
            rows = evaluate(person, localizer, unet, options.methods)
        except RuntimeError as error:
            print(f'{person.name}: {error}')
            continue
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        table.to_csv(options.out, sep='\t', index=False, float_format='%.3f', na_rep='n/a')
    print(summarise(table).to_string())
    errors = table[table['label'] != 'mask-dice']
    print(errors.pivot_table(index='label', columns='method', values='error_mm').round(2))


if __name__ == '__main__':
    main()
