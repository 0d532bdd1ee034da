"""What all data sets of phantoms share: how files are written, and what describes the data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib

from tmsprep import __version__
from tmsprep.atomic import atomic_path, write_text

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
"""For the README: every phantom is made from the MNI152 template."""


def scan_sidecar(model: str) -> dict[str, str]:
    """Return the sidecar of a scan that a scanner called `model` has made."""
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
        The data set.
    name : str
        Its name.
    readme : str
        Text of its README.
    derivatives : mapping
        Folder of each derivative to its name. One is 'truth', whose tables of targets BIDS does
        not know.
    """
    common = {
        'BIDSVersion': '1.9.0',
        'Authors': ['The tmsprep developers'],
        'License': 'terms of the MNI ICBM152 template, see README',
        'GeneratedBy': [{'Name': 'tmsprep', 'Version': __version__}],
    }
    raw = {'Name': name, 'DatasetType': 'raw'}
    write_json(folder / 'dataset_description.json', raw | common)
    write_text(folder / 'README', readme)
    for place, title in derivatives.items():
        derivative = {
            'Name': title,
            'DatasetType': 'derivative',
            'DatasetLinks': {'raw': '../..'},
        }
        path = folder / 'derivatives' / place / 'dataset_description.json'
        write_json(path, derivative | common)
    write_text(folder / 'derivatives' / 'truth' / '.bidsignore', '*_targets.tsv\n*_targets.json\n')


def write_image(path: Path, image: nib.Nifti1Image) -> None:
    """Write an image, whole or not at all."""
    with atomic_path(path) as partial:
        nib.save(image, partial)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file as people like to read it."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a TSV file; the first row is the header."""
    write_text(path, ''.join('\t'.join(row) + '\n' for row in rows))
