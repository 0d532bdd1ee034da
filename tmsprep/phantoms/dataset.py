"""Phantom heads as a BIDS data set, the truth beside them as a derivative."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib

from tmsprep import __version__
from tmsprep.atomic import atomic_path, write_text
from tmsprep.phantoms.atlas_points import atlas_rows
from tmsprep.phantoms.head import Phantom, make_head

_LICENCE = 'terms of the MNI ICBM152 template, see README'

_README = """Phantom heads made by tmsprep
=============================

No person was scanned. Each image is the MNI152 template (ICBM 2009a nonlinear symmetric, as
bundled with nilearn) deformed by a smooth map, with a skull, scalp, face and neck drawn around
it, a coil field and noise.

derivatives/truth holds the exact position of every target: the atlas point moved by the same
map (mm, RAS+, frame of the T1w).

The template: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal
Neurological Institute, McGill University. Permission to use, copy, modify, and distribute this
software and its documentation for any purpose and without fee is hereby granted, provided that
the above copyright notice appear in all copies. The authors and McGill University make no
representations about the suitability of this software for any purpose. It is provided "as is"
without express or implied warranty. The authors are not responsible for any data loss, equipment
damage, property loss, or injury to subjects or patients resulting from the use or misuse of this
software package.
"""

_SIDECAR = {
    'Modality': 'MR',
    'Manufacturer': 'tmsprep',
    'ManufacturersModelName': 'phantom head',
    'SoftwareVersions': __version__,
}

_PARTICIPANTS = {'phantom_seed': {'Description': 'Random seed the head was made from'}}

_TRUTH = {
    'Description': 'Exact positions: the atlas points moved by the map that deformed the template',
    'CoordinateSystem': 'scanner, RAS+',
    'CoordinateUnits': 'mm',
    'label': {'Description': 'Name of the target'},
    'hemisphere': {'Description': 'Side', 'Levels': {'L': 'left', 'R': 'right'}},
    'region': {'Description': 'Brain region'},
    'x': {'Description': 'Towards the right', 'Units': 'mm'},
    'y': {'Description': 'Towards the front', 'Units': 'mm'},
    'z': {'Description': 'Towards the top', 'Units': 'mm'},
}


def write_dataset(
    folder: str | Path,
    seeds: Sequence[int],
    labels: Sequence[str] | None = None,
    *,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    axcodes: str = 'RAS',
    oblique: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Path:
    """Write phantom heads as a valid BIDS data set.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist; must be empty otherwise.
    seeds : sequence of int
        One head for each.
    labels : sequence of str, optional
        Participant labels, as many as seeds; 01, 02, ... by default.
    voxel_size, axcodes, oblique
        See `make_head`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If `folder` holds anything already.
    ValueError
        If there are not as many labels as seeds, or labels repeat.
    """
    folder = Path(folder)
    labels = [f'{i:02d}' for i in range(1, len(seeds) + 1)] if labels is None else list(labels)
    if len(labels) != len(seeds) or len(set(labels)) != len(labels):
        raise ValueError(f'{len(seeds)} heads need as many different labels, not {labels}')
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty: give a new folder')
    for seed, label in zip(seeds, labels, strict=True):
        head = make_head(seed, voxel_size=voxel_size, axcodes=axcodes, oblique=oblique)
        _write_scan(folder, label, head)
        _write_truth(folder / 'derivatives' / 'truth', label, head)
    _write_participants(folder, seeds, labels)
    _write_descriptions(folder)
    return folder


def _write_scan(folder: Path, label: str, head: Phantom) -> None:
    stem = folder / f'sub-{label}' / 'anat' / f'sub-{label}_T1w'
    _write_image(stem.with_suffix('.nii.gz'), head.image)
    _write_json(stem.with_suffix('.json'), _SIDECAR)


def _write_truth(folder: Path, label: str, head: Phantom) -> None:
    anat, scan = folder / f'sub-{label}' / 'anat', f'sub-{label}/anat/sub-{label}_T1w.nii.gz'
    rows = [
        [row['label'], row['hemisphere'], row['region'], *(f'{value:.4f}' for value in point)]
        for row, point in zip(atlas_rows(), head.points.coordinates, strict=True)
    ]
    sources = {'Sources': [f'bids:raw:{scan}']}
    _write_table(
        anat / f'sub-{label}_desc-truth_targets.tsv',
        [['label', 'hemisphere', 'region', 'x', 'y', 'z'], *rows],
    )
    _write_json(anat / f'sub-{label}_desc-truth_targets.json', _TRUTH | sources)
    _write_image(anat / f'sub-{label}_desc-brain_mask.nii.gz', head.brain_mask)
    _write_json(anat / f'sub-{label}_desc-brain_mask.json', {'Type': 'Brain'} | sources)


def _write_participants(folder: Path, seeds: Sequence[int], labels: Sequence[str]) -> None:
    rows = [[f'sub-{label}', str(seed)] for seed, label in zip(seeds, labels, strict=True)]
    _write_table(folder / 'participants.tsv', [['participant_id', 'phantom_seed'], *rows])
    _write_json(folder / 'participants.json', _PARTICIPANTS)


def _write_descriptions(folder: Path) -> None:
    generated = [{'Name': 'tmsprep', 'Version': __version__}]
    common = {
        'BIDSVersion': '1.9.0',
        'Authors': ['The tmsprep developers'],
        'License': _LICENCE,
        'GeneratedBy': generated,
    }
    raw = {'Name': 'tmsprep phantom heads', 'DatasetType': 'raw'}
    truth = {
        'Name': 'Exact target positions of the phantom heads',
        'DatasetType': 'derivative',
        'DatasetLinks': {'raw': '../..'},
    }
    _write_json(folder / 'dataset_description.json', raw | common)
    write_text(folder / 'README', _README)
    _write_json(folder / 'derivatives' / 'truth' / 'dataset_description.json', truth | common)
    write_text(folder / 'derivatives' / 'truth' / '.bidsignore', '*_targets.tsv\n*_targets.json\n')


def _write_image(path: Path, image: nib.Nifti1Image) -> None:
    with atomic_path(path) as partial:
        nib.save(image, partial)


def _write_json(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2) + '\n')


def _write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    write_text(path, ''.join('\t'.join(row) + '\n' for row in rows))
