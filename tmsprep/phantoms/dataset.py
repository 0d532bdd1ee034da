"""Phantom heads as a BIDS data set, the truth beside them as a derivative."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tmsprep.phantoms.atlas_points import atlas_rows
from tmsprep.phantoms.bids_files import (
    TEMPLATE_LICENCE,
    scan_sidecar,
    write_descriptions,
    write_image,
    write_json,
    write_table,
)
from tmsprep.phantoms.head import Phantom, make_head

_README = f"""Phantom heads made by tmsprep
=============================

No person was scanned. Each image is the MNI152 template (ICBM 2009a nonlinear symmetric, as
bundled with nilearn) deformed by a smooth map, with a skull, scalp, face and neck drawn around
it, a coil field and noise.

derivatives/truth holds the exact position of every target: the atlas point moved by the same
map (mm, RAS+, frame of the T1w).

{TEMPLATE_LICENCE}"""

_SIDECAR = scan_sidecar('phantom head')

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
    write_descriptions(folder, 'tmsprep phantom heads', _README, _FOLDERS)
    return folder


def _write_scan(folder: Path, label: str, head: Phantom) -> None:
    stem = folder / f'sub-{label}' / 'anat' / f'sub-{label}_T1w'
    write_image(stem.with_suffix('.nii.gz'), head.image)
    write_json(stem.with_suffix('.json'), _SIDECAR)


def _write_truth(folder: Path, label: str, head: Phantom) -> None:
    anat, scan = folder / f'sub-{label}' / 'anat', f'sub-{label}/anat/sub-{label}_T1w.nii.gz'
    rows = [
        [row['label'], row['hemisphere'], row['region'], *(f'{value:.4f}' for value in point)]
        for row, point in zip(atlas_rows(), head.points.coordinates, strict=True)
    ]
    sources = {'Sources': [f'bids:raw:{scan}']}
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
