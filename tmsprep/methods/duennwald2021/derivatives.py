"""Points, heatmaps and segmentations of the locus coeruleus, as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.atomic import atomic_path
from tmsprep.bids.names import ImageRef, derivative_path
from tmsprep.config import SEGMENTATIONS
from tmsprep.derivatives import COLUMNS, image_entries, write_json
from tmsprep.formats.targets_tsv import write_table
from tmsprep.imaging.labels import label_image
from tmsprep.methods.duennwald2021.contrast import ANTERIOR_MM, RADIUS_MM
from tmsprep.methods.duennwald2021.measures import SEGMENTATION_STATUSES
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES, pair_status
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

POINTS = 'coreunet'
"""The desc of points and heatmaps."""

METHODS = {
    'npp': 'a window of the patch network slides over the whole volume, threshold 0.5',
    'pp': 'the same as npp, then parts that cannot be a locus coeruleus are dropped',
    'lpp': 'one patch of the patch network, centred between the localised points, threshold 0.5',
}
"""How each segmentation is made (Duennwald et al. 2021, section 2.3)."""

TARGET_COLUMNS: dict[str, dict[str, Any]] = {
    **{name: COLUMNS[name] for name in ('label', 'hemisphere', 'region', 'x', 'y', 'z')},
    'status': {'Description': 'What is known about the point', 'Levels': PAIR_STATUSES},
    'dispersion_mm': COLUMNS['dispersion_mm'],
    'heatmap_spread_mm': {
        'Description': 'Root mean square distance of the heatmap from its mean, the point',
        'Units': 'mm',
    },
}

_RATIO = 'over the median signal of the reference region; 1 is no contrast'
SEGMENTATION_COLUMNS: dict[str, dict[str, Any]] = {
    **{name: COLUMNS[name] for name in ('label', 'hemisphere')},
    'status': {'Description': 'What is known about this side', 'Levels': SEGMENTATION_STATUSES},
    'volume_mm3': {'Description': 'Volume of the labelled voxels', 'Units': 'mm^3'},
    'cr_median': {'Description': f'Median signal of the labelled voxels {_RATIO}'},
    'cr_maximum': {'Description': f'Largest signal of the labelled voxels {_RATIO}'},
    'reference_median': {'Description': 'Median signal of the reference region'},
    **{
        f'reference_{axis}': {'Description': f'{axis} of the middle of the reference region',
                              'Units': 'mm'}
        for axis in 'xyz'
    },
}  # fmt: skip

_REFERENCE = (
    f'ball of {RADIUS_MM:g} mm radius in the pons, {ANTERIOR_MM:g} mm in front of the middle '
    'between the two localised points, perpendicular to the line between them'
)


def targets_of(
    outcome: Outcome, protocol: Protocol, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[PointSet, list[str]]:
    """Return the points of an outcome, missing ones NaN, and the status of each."""
    labels = protocol.labels
    points = PointSet.from_mapping({}, labels)
    if outcome.points is not None:
        points = outcome.points.reindex(labels)
    spread = outcome.columns.get('heatmap_spread_mm', [None] * len(labels))
    return points, pair_status(points, protocol, shape, affine, np.array(spread, dtype=float))


def write_points(
    out_dir: Path,
    image: ImageRef,
    outcome: Outcome,
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int,
) -> Path:
    """Write the table of points and its sidecar.

    Parameters
    ----------
    out_dir, image : Path, ImageRef
        Where, and whose.
    outcome : Outcome
        Of the localiser.
    protocol : Protocol
        The targets.
    properties : Mapping
        Of the input: 'shape', 'affine', 'sha256'.
    random_seed : int
        Of the run.
    """
    shape, affine = tuple(properties['shape']), np.array(properties['affine'])
    points, statuses = targets_of(outcome, protocol, shape, affine)
    columns = {
        'label': protocol.labels,
        'hemisphere': [target.hemisphere for target in protocol.targets],
        'region': [target.region for target in protocol.targets],
        **dict(zip('xyz', points.coordinates.T, strict=True)),
        'status': statuses,
    }
    for name, values in outcome.columns.items():
        columns[name] = np.array(values, dtype=np.float64)
    sidecar = {
        'Method': POINTS,
        'Description': 'Locus coeruleus by coordinate regression, a 3D U-Net and a differentiable '
        'spatial to numerical transform (Duennwald et al. 2021)',
        **image_entries(image, properties, random_seed),
        **outcome.details,
        **({} if outcome.error is None else {'Error': outcome.error['message']}),
        **{name: TARGET_COLUMNS[name] for name in columns},
    }
    path = _path(out_dir, image, POINTS, 'targets', '.tsv')
    # The sidecar first: a table never stands without its frame.
    write_json(path.with_suffix('.json'), sidecar)
    return write_table(path, pd.DataFrame(columns))


def write_heatmaps(
    out_dir: Path,
    image: ImageRef,
    heatmaps: Mapping[str, str],
    labels: Sequence[str],
    details: Mapping[str, Any],
) -> list[Path]:
    """Copy the heatmaps of both sides, or delete those of an earlier run if there are none.

    Parameters
    ----------
    out_dir, image : Path, ImageRef
        Where, and whose.
    heatmaps : Mapping
        Label of a target to a file; empty if the localiser failed.
    labels : sequence of str
        Of the protocol.
    details : Mapping
        What the sidecar says of the localiser.
    """
    written = []
    for label in labels:
        path = _path(out_dir, image, POINTS, 'probseg', '.nii.gz', label=label)
        if label not in heatmaps:
            _delete(path)
            continue
        sidecar = {
            'Sources': [image.uri],
            'Description': 'Where the network looks: the probability map whose mean is the point '
            '(Duennwald et al. 2021, section 2.2), divided by its largest value; mean of the '
            'networks. It is no probability that a voxel belongs to the locus coeruleus',
            'SpatialReference': 'The isotropic grid of the localiser, in the frame of the source',
            **details,
        }
        write_json(_sidecar(path), sidecar)
        with atomic_path(path) as partial:
            shutil.copyfile(heatmaps[label], partial)
        written.append(path)
    return written


def write_segmentation(
    out_dir: Path,
    image: ImageRef,
    method: str,
    found: Mapping[str, Any],
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int,
) -> Path:
    """Write the labels and measures of one method, with sidecars.

    Parameters
    ----------
    out_dir, image : Path, ImageRef
        Where, and whose.
    method : str
        A key of `METHODS`.
    found : Mapping
        'rows' of `measure_segmentation`; 'labels', a file on the isotropic grid, or None; 'error',
        or None; 'details' of the method and its weights.
    protocol, properties, random_seed : Protocol, Mapping, int
        As for `write_points`.

    Returns
    -------
    Path
        The table of measures.
    """
    entries = {
        'Method': method,
        'Description': f'Segmentation of the locus coeruleus: {METHODS[method]}',
        **image_entries(image, properties, random_seed),
        **found['details'],
    }
    _write_labels(out_dir, image, method, found['labels'], protocol, entries)
    table = pd.DataFrame(found['rows'])
    table.insert(0, 'label', protocol.labels)
    table.insert(1, 'hemisphere', [target.hemisphere for target in protocol.targets])
    sidecar = {
        **entries,
        'ReferenceRegion': _REFERENCE,
        **({} if found['error'] is None else {'Error': found['error']['message']}),
        **{name: SEGMENTATION_COLUMNS[name] for name in table.columns},
    }
    path = _path(out_dir, image, method, 'segmentation', '.tsv')
    write_json(path.with_suffix('.json'), sidecar)
    return write_table(path, table)


def _write_labels(
    out_dir: Path,
    image: ImageRef,
    method: str,
    labels: str | None,
    protocol: Protocol,
    entries: Mapping[str, Any],
) -> None:
    path = _path(out_dir, image, method, 'dseg', '.nii.gz')
    names = path.with_name(path.name.replace('.nii.gz', '.tsv'))
    if labels is None:
        # Labels of an earlier run beside a table without numbers would be taken for its own.
        _delete(path)
        names.unlink(missing_ok=True)
        return
    volume, reference = nib.load(labels), entries['ReferenceImage']
    result, same = label_image(
        np.asanyarray(volume.dataobj, dtype=np.uint8),
        volume.affine,
        reference['Shape'],
        np.array(reference['Affine']),
    )
    grid = 'The grid of the source' if same else 'The isotropic grid of the segmentation'
    write_json(_sidecar(path), {**entries, 'SpatialReference': f'{grid}, in its frame'})
    regions = [target.region for target in protocol.targets]
    table = {'index': (1, 2), 'name': regions, 'abbreviation': protocol.labels}
    write_table(names, pd.DataFrame(table))
    with atomic_path(path) as partial:
        nib.save(result, partial)


def delete_other_images(
    out_dir: Path, image: ImageRef, methods: Sequence[str], sha256: str
) -> list[Path]:
    """Delete segmentations by methods that are not run, if they are of another image.

    The image may have been replaced under the same name.

    Parameters
    ----------
    out_dir, image : Path, ImageRef
        Whose outputs.
    methods : sequence of str
        Those that are run, which are written anew.
    sha256 : str
        Of the image as it is now.
    """
    deleted = []
    for method in SEGMENTATIONS:
        table = _path(out_dir, image, method, 'segmentation', '.tsv')
        sidecar = table.with_suffix('.json')
        if method in methods or not sidecar.is_file():
            continue
        known = json.loads(sidecar.read_text(encoding='utf-8')).get('ReferenceImage', {})
        if known.get('SHA256') != sha256:
            labels = _path(out_dir, image, method, 'dseg', '.nii.gz')
            _delete(labels)
            labels.with_name(labels.name.replace('.nii.gz', '.tsv')).unlink(missing_ok=True)
            _delete(table)
            deleted.append(table)
    return deleted


def _path(
    out_dir: Path, image: ImageRef, desc: str, suffix: str, extension: str, **entities: str
) -> Path:
    return derivative_path(
        out_dir, image, desc=desc, suffix=suffix, extension=extension, **entities
    )


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix('.gz').rsplit('.', 1)[0] + '.json')


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sidecar(path).unlink(missing_ok=True)
