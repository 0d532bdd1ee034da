"""Phantom heads as a BIDS data set, with the truth as a derivative."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib

from tmsprep import __version__
from tmsprep.atomic import atomic_path, write_text
from tmsprep.phantoms.head import Phantom, atlas_rows, make_head

#: For the README of every data set, as all phantoms are made from the MNI152 template.
TEMPLATE_LICENCE = """\
The template: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal
Neurological Institute, McGill University. Permission to use, copy, modify, and distribute this
software and its documentation for any purpose and without fee is hereby granted, provided that
the above copyright notice appear in all copies. The authors and McGill University make no
representations about the suitability of this software for any purpose. It is provided "as is"
without express or implied warranty. The authors are not responsible for any data loss, equipment
damage, property loss, or injury to subjects or patients resulting from the use or misuse of this
software package.
"""

_README = f"""Phantom heads made by tmsprep
=============================

No person was scanned. Each image is the MNI152 template (ICBM 2009a nonlinear symmetric, as
bundled with nilearn) deformed by a smooth map, with a skull, scalp, face and neck drawn around
it, a coil field and noise.

derivatives/truth holds the exact position of every target: the atlas point moved by the same
map (mm, RAS+, frame of the T1w).

{TEMPLATE_LICENCE}"""

_PARTICIPANTS = {'phantom_seed': {'Description': 'Random seed of the head'}}

_TRUTH: dict[str, object] = {
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

_FOLDERS = {'truth': 'Exact target positions of the phantom heads'}


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
        New or empty folder.
    seeds : sequence of int
        Random seed of each head.
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
        If `folder` is not empty.
    ValueError
        If there are not as many labels as seeds, or labels repeat.
    """
    folder = Path(folder)
    labels = [f'{i:02d}' for i in range(1, len(seeds) + 1)] if labels is None else list(labels)
    if len(labels) != len(seeds) or len(set(labels)) != len(labels):
        raise ValueError(f'{len(seeds)} heads need as many different labels, not {labels}')
    require_empty(folder)
    for seed, label in zip(seeds, labels, strict=True):
        head = make_head(seed, voxel_size=voxel_size, axcodes=axcodes, oblique=oblique)
        _write_scan(folder, label, head)
        _write_truth(folder / 'derivatives' / 'truth', label, head)
    _write_participants(folder, seeds, labels)
    write_descriptions(folder, 'tmsprep phantom heads', _README, _FOLDERS)
    return folder


def _write_scan(folder: Path, label: str, head: Phantom) -> None:
    stem = folder / f'sub-{label}' / 'anat' / f'sub-{label}_T1w'
    write_image(stem.with_suffix('.nii.gz'), head.image)
    write_json(stem.with_suffix('.json'), scan_sidecar('phantom head'))


def _write_truth(folder: Path, label: str, head: Phantom) -> None:
    anat, scan = folder / f'sub-{label}' / 'anat', f'sub-{label}/anat/sub-{label}_T1w.nii.gz'
    rows = [
        [row['label'], row['hemisphere'], row['region'], *(f'{value:.4f}' for value in point)]
        for row, point in zip(atlas_rows(), head.points.coordinates, strict=True)
    ]
    sources: dict[str, object] = {'Sources': [f'bids:raw:{scan}']}
    write_table(
        anat / f'sub-{label}_desc-truth_targets.tsv',
        [['label', 'hemisphere', 'region', 'x', 'y', 'z'], *rows],
    )
    write_json(anat / f'sub-{label}_desc-truth_targets.json', _TRUTH | sources)
    write_image(anat / f'sub-{label}_desc-brain_mask.nii.gz', head.brain_mask)
    write_json(anat / f'sub-{label}_desc-brain_mask.json', {'Type': 'Brain'} | sources)


def _write_participants(folder: Path, seeds: Sequence[int], labels: Sequence[str]) -> None:
    rows = [[f'sub-{label}', str(seed)] for seed, label in zip(seeds, labels, strict=True)]
    write_table(folder / 'participants.tsv', [['participant_id', 'phantom_seed'], *rows])
    write_json(folder / 'participants.json', _PARTICIPANTS)


def require_empty(folder: Path) -> None:
    """Raise FileExistsError if a folder exists and is not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty: give a new folder')


def scan_sidecar(model: str) -> dict[str, object]:
    """Return the sidecar of a scan by a scanner called `model`."""
    return {
        'Modality': 'MR',
        'Manufacturer': 'tmsprep',
        'ManufacturersModelName': model,
        'SoftwareVersions': __version__,
    }


def write_descriptions(
    folder: Path, name: str, readme: str, derivatives: Mapping[str, str]
) -> None:
    """Describe a data set and its derivatives.

    Parameters
    ----------
    folder : Path
        Folder of the data set.
    name : str
        Name of the data set.
    readme : str
        Text of its README.
    derivatives : mapping
        Name of each derivative by its folder. One folder is 'truth', whose tables of targets are
        not part of BIDS.
    """
    common: dict[str, object] = {
        'BIDSVersion': '1.9.0',
        'Authors': ['The tmsprep developers'],
        'License': 'terms of the MNI ICBM152 template, see README',
        'GeneratedBy': [{'Name': 'tmsprep', 'Version': __version__}],
    }
    raw = {'Name': name, 'DatasetType': 'raw', **common}
    write_json(folder / 'dataset_description.json', raw)
    write_text(folder / 'README', readme)
    for place, title in derivatives.items():
        derivative = {
            'Name': title,
            'DatasetType': 'derivative',
            'DatasetLinks': {'raw': '../..'},
            **common,
        }
        write_json(folder / 'derivatives' / place / 'dataset_description.json', derivative)
    write_text(folder / 'derivatives' / 'truth' / '.bidsignore', '*_targets.tsv\n*_targets.json\n')


def write_image(path: Path, image: nib.Nifti1Image) -> None:
    """Write an image, whole or not at all."""
    with atomic_path(path) as partial:
        nib.save(image, partial)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write an indented JSON file."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a TSV file; the first row is the header."""
    write_text(path, ''.join('\t'.join(row) + '\n' for row in rows))
