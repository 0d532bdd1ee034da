"""Simulated neuromelanin scans as a BIDS data set, with truth and raters as derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.phantoms.dataset import (
    TEMPLATE_LICENCE,
    require_empty,
    scan_sidecar,
    write_descriptions,
    write_image,
    write_json,
    write_table,
)
from tmsprep.phantoms.neuromelanin.scan import NeuromelaninPhantom, make_neuromelanin

_SIMULATED = 'SIMULATED IMAGES. No person was scanned.'

_README = f"""Neuromelanin phantoms made by tmsprep
=====================================

{_SIMULATED} Each image is a T1-weighted head (the MNI152 template
bundled with nilearn, or the image that was given) in the contrast of a FLASH scan, deformed by a
smooth map. Two bright rods are painted where the loci coerulei are, and other bright structures
elsewhere; then come blur, a coil field and noise. All numbers and their sources are in the
comments of tmsprep/phantoms/neuromelanin/*.py. Results on these images do not hold for humans.

derivatives/truth    exact masks (1 left, 2 right) and centres of mass (mm, RAS+)
derivatives/rater1   masks of a simulated rater who draws the core
derivatives/rater2   masks of a simulated rater who draws generously

Masks cover a box around the brainstem and have voxels half as large as the image's.
participants.tsv lists the random parameters of each participant; n/a: side not visible.

{TEMPLATE_LICENCE}"""

_SIDECAR = scan_sidecar('neuromelanin phantom') | {'ImageComments': _SIMULATED}

_MASK: dict[str, object] = {
    'Description': 'Loci coerulei: 1 left, 2 right',
    'Resolution': 'Voxels half as large as those of the T1w, in a box around the brainstem',
}

_LEVELS = [
    ['index', 'name', 'abbreviation'],
    ['1', 'Left locus coeruleus', 'LLC'],
    ['2', 'Right locus coeruleus', 'RLC'],
]

_TRUTH: dict[str, object] = {
    'Description': 'Exact centres of mass of the simulated loci coerulei; n/a: not visible',
    'CoordinateSystem': 'scanner, RAS+',
    'CoordinateUnits': 'mm',
}

_COLUMNS = {
    'phantom_seed': {'Description': 'Random seed of the participant'},
    **{
        f'{label}_{name}': {'Description': f'{text} of the {side} locus coeruleus'} | unit
        for label, side in (('LLC', 'left'), ('RLC', 'right'))
        for name, text, unit in (
            ('contrast', 'Signal over the mean of the pons', {}),
            ('length_mm', 'Length', {'Units': 'mm'}),
            ('thickness_mm', 'Thickness in the middle', {'Units': 'mm'}),
        )
    },
    'pons_signal': {'Description': 'Mean of the pons before noise and coil field'},
    'noise': {'Description': 'Standard deviation of the noise, white matter = 1'},
    'bias': {'Description': 'Strength of the coil field'},
}

_FOLDERS = {
    'truth': 'Exact loci coerulei of simulated neuromelanin images',
    'rater1': 'Loci coerulei drawn by the first simulated rater',
    'rater2': 'Loci coerulei drawn by the second simulated rater',
}


def write_neuromelanin(
    folder: str | Path,
    seeds: Sequence[int],
    *,
    coverage: str = 'slab',
    voxel_mm: float = 0.75,
    source: nib.Nifti1Image | None = None,
) -> Path:
    """Write simulated scans as a valid BIDS data set; participants are 001, 002, ...

    Parameters
    ----------
    folder : str or Path
        New or empty folder.
    seeds : sequence of int
        Random seed of each participant.
    coverage, voxel_mm, source
        See `make_neuromelanin`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If `folder` is not empty.
    """
    folder = Path(folder)
    require_empty(folder)
    rows = []
    for number, seed in enumerate(seeds, start=1):
        label = f'{number:03d}'
        phantom = make_neuromelanin(seed, coverage=coverage, voxel_mm=voxel_mm, source=source)
        _write_participant(folder, label, phantom)
        values = {'phantom_seed': seed, **phantom.parameters}
        rows.append([f'sub-{label}', *(_text(values[name]) for name in _COLUMNS)])
    write_table(folder / 'participants.tsv', [['participant_id', *_COLUMNS], *rows])
    write_json(folder / 'participants.json', _COLUMNS)
    write_descriptions(folder, 'tmsprep neuromelanin phantoms (simulated)', _README, _FOLDERS)
    return folder


def _write_participant(folder: Path, label: str, phantom: NeuromelaninPhantom) -> None:
    """Write scan, masks and points, each with its sidecar."""
    name = f'sub-{label}/anat/sub-{label}_acq-neuromelanin'
    write_image(folder / f'{name}_T1w.nii.gz', phantom.image)
    write_json(folder / f'{name}_T1w.json', _SIDECAR | {'PhantomParameters': phantom.parameters})
    sources: dict[str, object] = {'Sources': [f'bids:raw:{name}_T1w.nii.gz']}
    masks = {
        'truth': ('truth', phantom.truth),
        'rater1': ('manual', phantom.raters[0]),
        'rater2': ('manual', phantom.raters[1]),
    }
    for rater, (description, mask) in masks.items():
        stem = folder / 'derivatives' / rater / f'{name}_desc-{description}_dseg'
        write_image(stem.with_suffix('.nii.gz'), mask)
        write_json(stem.with_suffix('.json'), _MASK | sources)
        write_table(stem.with_suffix('.tsv'), _LEVELS)
    stem = folder / 'derivatives' / 'truth' / f'{name}_desc-truth_targets'
    rows = [
        [target, target[0], 'locus coeruleus', *(_text(v) for v in point)]
        for target, point in zip(phantom.points.labels, phantom.points.coordinates, strict=True)
    ]
    header = ['label', 'hemisphere', 'region', 'x', 'y', 'z']
    write_table(stem.with_suffix('.tsv'), [header, *rows])
    write_json(stem.with_suffix('.json'), _TRUTH | sources)


def _text(value: object) -> str:
    """Format a cell of a table: four decimals, n/a for a missing value."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return 'n/a'
    return f'{value:.4f}' if isinstance(value, float) else str(value)
