"""Facts about data, trainings and machine."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from coeruleus_parts.steps import Plan


def read_table(path: Path) -> pd.DataFrame:
    """Read one of the outputs' tables; of words only n/a is missing."""
    return pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])


def collect_facts(plan: Plan) -> dict[str, object]:
    """Read from the outputs what was done.

    Returns
    -------
    dict
        'settings' (sidecar of the cross-validation), 'shape' (voxels of an image), 'voxel_mm',
        'speed' (of ``benchmarks/coeruleus_speed.py``), 'seconds' (median per method in the
        cross-validation), 'trainings' (rows per network), 'people' (outcome to number),
        'machine', 'versions'.
    """
    settings = json.loads(plan.crossval_sidecar.read_text(encoding='utf-8'))
    image = nib.load(next(plan.bids.glob('sub-*/anat/*_T1w.nii.gz')))
    segments = plan.layout.level('crossval', 'segmentation')
    seconds = {}
    if segments.is_file():
        seconds = read_table(segments).groupby('method')['seconds'].median().to_dict()
    return {
        'settings': {k: settings.get(k) for k in ('Participants', 'HeldOut', 'Folds', 'Recipe')},
        'shape': [int(size) for size in image.shape[:3]],
        'voxel_mm': round(float(np.mean(image.header.get_zooms()[:3])), 3),
        'speed': json.loads(plan.speed.read_text(encoding='utf-8')),
        'seconds': seconds,
        'trainings': trainings(plan.layout.level('crossval', 'trainings')),
        'people': outcomes(plan.layout.level('group', 'participants')),
        'machine': f'{processor()}; {plan.processes} trainings at a time, one thread each',
        'versions': ', '.join(f'{name} {version(name)}' for name in ('tmsprep', 'torch', 'numpy')),
    }


def trainings(path: Path) -> list[dict[str, object]]:
    """Summarise trainings of a kind over folds; nothing if the table is not there."""
    if not path.is_file():
        return []
    rows = []
    kinds = read_table(path).groupby(['network', 'augmentation'], sort=False)
    for (network, augmentation), group in kinds:
        kind = {'network': network, 'augmentation': augmentation, 'trainings': len(group)}
        kind |= {'epochs': int(group['epochs'].max())}
        kind |= {'best_epoch': float(group['best_epoch'].median())}
        rows.append(kind | {'minutes': float(group['seconds'].median()) / 60})
    return rows


def outcomes(path: Path) -> dict[str, int]:
    """Count the outcomes of participants."""
    return {k: int(n) for k, n in read_table(path)['outcome'].value_counts(sort=False).items()}


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
