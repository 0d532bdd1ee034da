"""Write heatmaps and segmentations of the locus coeruleus."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.imaging.labels import label_image
from tmsprep.methods.duennwald2021.measures import ANTERIOR_MM, RADIUS_MM, SEGMENTATION_COLUMNS
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.tables import FRAME, Column, column, write_json, write_table

_REFERENCE = (
    f'ball of {RADIUS_MM:g} mm radius in the pons, {ANTERIOR_MM:g} mm in front of the middle '
    'between the two localised points, perpendicular to the line between them'
)

_LABEL_COLUMNS: dict[str, Column] = {
    'index': column('Value of the voxels'),
    'name': column('Brain region'),
    'abbreviation': column('Name of the target'),
}


def write_derivatives(
    outcome: Outcome,
    image: ImageRef,
    layout: Layout,
    protocol: Protocol,
    entries: Mapping[str, Any],
) -> None:
    """Write heatmaps and segmentations; see `tmsprep.methods.base.Method.write`."""
    write_heatmaps(outcome, image, layout, protocol)
    for way, found in outcome.extra.get('segmentations', {}).items():
        labels = outcome.files.get(f'labels_{way}')
        write_segmentation(way, found, labels, image, layout, protocol, entries)


def write_heatmaps(
    outcome: Outcome, image: ImageRef, layout: Layout, protocol: Protocol
) -> list[Path]:
    """Copy the heatmaps of both sides, or delete those of an earlier run if there are none."""
    written = []
    for label in protocol.labels:
        path = layout.derivative(image, 'probseg', '.nii.gz', label=label, desc=outcome.method)
        source = outcome.files.get(f'heatmap_{label}')
        if source is None:
            _delete(path)
            continue
        sidecar = {
            'Sources': [image.uri],
            'Description': 'Probability map of which the point is the mean '
            '(Duennwald et al. 2021, section 2.2), divided by its largest value; mean of the '
            'networks. It is not the probability that a voxel belongs to the locus coeruleus',
            'SpatialReference': 'The isotropic grid of the localiser, in the frame of the source',
            **outcome.details,
        }
        write_json(_sidecar(path), sidecar)
        with atomic_path(path) as partial:
            shutil.copyfile(source, partial)
        written.append(path)
    return written


def write_segmentation(
    way: str,
    found: Mapping[str, Any],
    labels: str | None,
    image: ImageRef,
    layout: Layout,
    protocol: Protocol,
    entries: Mapping[str, Any],
) -> Path:
    """Write the labels and measures of one segmentation, with sidecars.

    Parameters
    ----------
    way : str
        A key of `SEGMENTATIONS`.
    found : mapping
        'rows' of `measure_segmentation`; 'error', or None; 'details' for the sidecar; 'how' it was
        made, if it differs from `SEGMENTATIONS`.
    labels : str or None
        File on the isotropic grid.
    image : ImageRef
        The source.
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    entries : mapping
        As in `tmsprep.methods.base.Method.write`.

    Returns
    -------
    Path
        The table of measures.
    """
    how = found.get('how', SEGMENTATIONS[way])
    description = f'Segmentation of the locus coeruleus: {how}'
    entries = {'Method': way, **FRAME, **entries, **found['details']}
    _write_labels(
        layout.derivative(image, 'dseg', '.nii.gz', desc=way),
        labels,
        protocol,
        {'Description': description, **entries},
    )
    if found['error'] is not None:
        entries['Error'] = found['error']['message']
    table = pd.DataFrame(found['rows'])
    table.insert(0, 'label', protocol.labels)
    table.insert(1, 'hemisphere', [target.hemisphere for target in protocol.targets])
    return write_table(
        layout.table(image, way, 'segmentation'),
        table,
        description,
        SEGMENTATION_COLUMNS,
        **{'ReferenceRegion': _REFERENCE, **entries},
    )


def _write_labels(
    path: Path, labels: str | None, protocol: Protocol, entries: Mapping[str, Any]
) -> None:
    names = path.with_name(path.name.replace('.nii.gz', '.tsv'))
    if labels is None:
        # Labels of an earlier run do not belong to a table without numbers.
        _delete(path)
        names.unlink(missing_ok=True)
        return
    volume, reference = nib.Nifti1Image.from_filename(labels), entries['ReferenceImage']
    result, same = label_image(
        np.asanyarray(volume.dataobj, dtype=np.uint8),
        volume.affine,
        reference['Shape'],
        np.array(reference['Affine']),
    )
    regions = [target.region for target in protocol.targets]
    table = {'index': (1, 2), 'name': regions, 'abbreviation': protocol.labels}
    grid = 'The grid of the source' if same else 'The isotropic grid of the segmentation'
    # One sidecar serves the labels and the table of their names.
    write_table(
        names,
        pd.DataFrame(table),
        entries['Description'],
        _LABEL_COLUMNS,
        **{k: v for k, v in entries.items() if k != 'Description'},
        SpatialReference=f'{grid}, in its frame',
    )
    with atomic_path(path) as partial:
        nib.save(result, partial)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix('.gz').rsplit('.', 1)[0] + '.json')


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sidecar(path).unlink(missing_ok=True)
