"""The gyri of an image among its derivatives: one label map per hemisphere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.gyri.frame import SHAPE, SIDES
from tmsprep.gyri.judge import face_distances
from tmsprep.gyri.labels import NAMES, OTHER_HEMISPHERE
from tmsprep.gyri.probabilities import Parcellation
from tmsprep.imaging.read import ImageError, load_nifti
from tmsprep.outcome import Outcome
from tmsprep.tables import FRAME, column, read_json, write_table

_DESCRIPTION = (
    'Gyri of one hemisphere, as a parcellation network of tmsprep sees them: the likeliest class '
    'of each voxel; 0 outside of the hemisphere'
)


def map_path(layout: Layout, image: ImageRef, side: str, extension: str = '.nii.gz') -> Path:
    """Name the label map of a hemisphere, 'L' or 'R', or the table or sidecar beside it."""
    return layout.derivative(image, 'dseg', extension, hemi=side, desc='gyri')


def write_gyri(
    outcomes: Mapping[str, Outcome], image: ImageRef, layout: Layout, entries: Mapping[str, Any]
) -> list[Path]:
    """Write the label maps of both hemispheres, as seen from the points of the first method.

    Parameters
    ----------
    outcomes : mapping
        Method to outcome, in the order of the protocol; nothing is written if none has gyri.
    image : ImageRef
        The source.
    layout : Layout
        Names of the outputs.
    entries : mapping
        Entries that every sidecar has.

    Returns
    -------
    list of Path
        Left and right.
    """
    made = [outcome for outcome in outcomes.values() if 'gyri' in outcome.files]
    if not made:
        return []
    parcellation = Parcellation.load(Path(made[0].files['gyri']))
    table = pd.DataFrame({'index': range(len(NAMES)), 'name': NAMES})
    kept = table[table['name'] != OTHER_HEMISPHERE]
    columns = {'index': column('Value of the voxels'), 'name': column('Gyrus, or other tissue')}
    written = []
    for side in SIDES:
        path = map_path(layout, image, side)
        labels = parcellation.probabilities[side].argmax(axis=0).astype(np.uint8)
        labels[labels == NAMES.index(OTHER_HEMISPHERE)] = 0
        write_table(
            map_path(layout, image, side, '.tsv'),
            kept,
            _DESCRIPTION,
            columns,
            **{**FRAME, **entries, 'SeenFrom': made[0].method},
        )
        result = nib.Nifti1Image(labels, parcellation.affines[side])
        result.header.set_xyzt_units('mm')
        with atomic_path(path) as partial:
            nib.save(result, partial)
        written.append(path)
    return written


def read_gyri(layout: Layout, image: ImageRef, sha256: str) -> dict[str, nib.Nifti1Image]:
    """Read the label maps of an image: side to map; empty if there are none of this image.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    sha256 : str
        Checksum that the image had when its points were found.

    Raises
    ------
    ValueError
        If a map is damaged; the message names it and the remedy.
    """
    found = {}
    for side in SIDES:
        path = map_path(layout, image, side)
        sidecar = read_json(map_path(layout, image, side, '.json'))
        reference = sidecar.get('ReferenceImage')
        of = reference.get('SHA256') if isinstance(reference, dict) else None
        if not path.is_file() or not sha256 or of != sha256:
            return {}
        try:
            found[side] = load_nifti(path)
        except ImageError as error:
            raise ValueError(str(error)) from error
        affine = found[side].affine
        placed = np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-9
        if found[side].shape != SHAPE or not placed:
            raise ValueError(f'{path}: not a map of gyri; run the participant level again')
    return found


def gyrus_distance(
    maps: Mapping[str, nib.Nifti1Image], points: np.ndarray, side: str, gyrus: str
) -> np.ndarray:
    """Distance of points from the voxels of a gyrus, 0 in it.

    Parameters
    ----------
    maps : mapping
        Result of `read_gyri`.
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+, scanner frame; NaN where missing.
    side : str
        'L' or 'R'; either hemisphere counts for others.
    gyrus : str
        One of `tmsprep.gyri.labels.GYRI`.

    Returns
    -------
    numpy.ndarray
        Shape (n,), mm; NaN where a point is missing, or the gyrus is nowhere.
    """
    nearest = np.full(len(points), np.nan)
    for one in [side] if side in SIDES else SIDES:
        voxels = np.argwhere(np.asarray(maps[one].dataobj) == NAMES.index(gyrus))
        if len(voxels):
            away = [face_distances(voxels, maps[one].affine, point).min() for point in points]
            nearest = np.fmin(nearest, away)
    return nearest
