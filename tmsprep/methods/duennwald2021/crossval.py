"""Measure the networks of a fold in images that they were not trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.read import read_image
from tmsprep.learning.examples import Record
from tmsprep.methods.duennwald2021.comparison import point_rows, segment_rows, side_measures
from tmsprep.methods.duennwald2021.locate import locate_volume
from tmsprep.methods.duennwald2021.networks import CoeruleusModel
from tmsprep.methods.duennwald2021.segmentation import segmentations, timed
from tmsprep.methods.duennwald2021.volumes import Volume, load_volumes
from tmsprep.protocols import Protocol

#: Rows of points, and rows of segmentations.
FoldRows = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def load(records: Iterable[Record], protocol: Protocol) -> list[Volume]:
    """Read the prepared volumes, or prepare them again if they are gone."""
    return [load_volumes([r.example], r.cache, protocol)[0] for r in records]


def localise(model: CoeruleusModel, volume: Volume, device: str = 'cpu') -> np.ndarray:
    """Return the mean of the ensemble's points, shape (2, 3), voxel indices.

    NaN where no image of the training set has the point, according to the card of the model.
    """
    known = [label in model.card['targets'].split() for label in model.labels]
    found = locate_volume(model, volume.intensities.numpy(), device).points.mean(axis=0)
    return np.where(np.array(known)[:, None], found, np.nan)


def segmentation_rows(
    protocol: Protocol,
    volume: Volume,
    raw: nib.Nifti1Image,
    labels: np.ndarray,
    points: np.ndarray,
) -> list[dict[str, Any]]:
    """Compare a segmentation with the rater's mask: one row per side.

    Both are on the isotropic grid, and both contrast ratios are of the same intensities. The
    reference region in the pons is placed by the localised points for the segmentation, and by
    the rater's points for the mask.

    Parameters
    ----------
    protocol : Protocol
        The targets.
    volume : Volume
        With the rater's labels on the isotropic grid, or none.
    raw : nibabel.Nifti1Image
        The same volume with the scanner's intensities.
    labels : numpy.ndarray
        Shape (n, m, k), 1 left, 2 right.
    points : numpy.ndarray
        Shape (2, 3), voxel indices, of the localizer.
    """
    intensities, affine = raw.get_fdata(dtype=np.float32), volume.affine
    manual = volume.labels.numpy() if len(volume.labels) else None
    here, of_rater = _in_mm(volume, points), _in_mm(volume, volume.points.numpy())
    compared = segment_rows(protocol, labels, manual, affine, intensities, of_rater)
    return [
        row | side_measures('', labels == number, intensities, affine, here)
        for number, row in enumerate(compared, start=1)
    ]


def _in_mm(volume: Volume, points: np.ndarray) -> np.ndarray:
    return apply_affine(volume.affine, points.astype(float))


def evaluate_fold(
    records: Sequence[Record],
    protocol: Protocol,
    localizers: Mapping[str, CoeruleusModel],
    segmenter: CoeruleusModel | None,
    methods: Sequence[str],
    device: str = 'cpu',
) -> FoldRows:
    """Localise and segment in all images given; see `evaluate_image`."""
    for model in (*localizers.values(), *([segmenter] if segmenter else [])):
        for network in (*model.localizers, *model.segmenters):
            network.to(device)
    points: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    for record in records:
        if record.error:
            found = failed_rows(record, protocol, localizers, methods if segmenter else ())
        else:
            found = evaluate_image(record, protocol, localizers, segmenter, methods, device)
        points += found[0]
        segments += found[1]
    return points, segments


def failed_rows(
    record: Record, protocol: Protocol, augmentations: Iterable[str], methods: Iterable[str]
) -> FoldRows:
    """Return the rows of an image without results; the other columns are missing values."""
    row = {'image': record.name, 'participant': record.participant, 'status': 'failed'}
    points = [
        {**row, 'augmentation': a, 'label': x} for a in augmentations for x in protocol.labels
    ]
    sides = [target.hemisphere for target in protocol.targets]
    segments = [{**row, 'method': m, 'hemisphere': side} for m in methods for side in sides]
    return points, segments


def evaluate_image(
    record: Record,
    protocol: Protocol,
    localizers: Mapping[str, CoeruleusModel],
    segmenter: CoeruleusModel | None,
    methods: Sequence[str],
    device: str = 'cpu',
) -> FoldRows:
    """Localise and segment in one image.

    Parameters
    ----------
    record : Record
        Image that is not in the training set.
    protocol : Protocol
        Targets, and edge of the isotropic voxels.
    localizers : Mapping
        Kind of augmentation ('with', 'without') to network. The first gives the points for 'lpp';
        'with' in the paper.
    segmenter : CoeruleusModel or None
        None if no image has a mask.
    methods : sequence of str
        Any of `SEGMENTATIONS`.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    tuple of list
        Rows of points and of segmentations, without the fold.
    """
    (volume,) = load([record], protocol)
    names = {'image': record.name, 'participant': record.participant}
    points: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    located = []
    for augmentation, model in localizers.items():
        found, seconds = timed(localise, model, volume, device)
        located.append((found, seconds))
        compared = point_rows(
            protocol, _in_mm(volume, found), _in_mm(volume, volume.points.numpy())
        )
        points += [{**names, 'augmentation': augmentation, **row} for row in compared]
    if segmenter is None:
        return points, segments
    guide, seconds_to_localise = located[0]
    path = record.example.image
    raw = conform_isotropic(
        mend_image(read_image(path), path, whole_head=False).image, protocol.voxel_mm
    )
    for method, labels, seconds in segmentations(segmenter, volume, guide, methods):
        took = seconds + (seconds_to_localise if method == 'lpp' else 0.0)
        segments += [
            {**names, 'method': method, **row, 'seconds': took}
            for row in segmentation_rows(protocol, volume, raw, labels, guide)
        ]
    return points, segments


def blind_error(training: Sequence[Volume], validation: Sequence[Volume]) -> float:
    """Mean error of a guess that looks at no image, mm; NaN if nothing is known.

    It is the mean position in the training set, either from the middle of the image, along its
    axes, or in the scanner frame, whichever is nearer in the validation set.

    Parameters
    ----------
    training, validation : sequence of Volume
        With points, NaN where missing.
    """
    errors = []
    for places in (_from_middle, _in_scanner):
        known, truth = (np.array([places(v) for v in some]) for some in (training, validation))
        guess = np.ma.masked_invalid(known).mean(axis=0).filled(np.nan)
        off = np.linalg.norm(truth - guess, axis=-1)
        errors.append(off[np.isfinite(off)].mean() if np.isfinite(off).any() else np.nan)
    return float(min(errors))


def _from_middle(volume: Volume) -> np.ndarray:
    middle = (np.array(volume.shape) - 1) / 2
    return (volume.points.numpy().astype(float) - middle) * volume.voxel_mm


def _in_scanner(volume: Volume) -> np.ndarray:
    return _in_mm(volume, volume.points.numpy())


def validation_measures(
    model: CoeruleusModel, validation: Sequence[Record], protocol: Protocol, device: str = 'cpu'
) -> tuple[float, float]:
    """Mean error in mm, and mean Dice of 'lpp', in a validation set; NaN where nothing is known.

    The networks are on the CPU afterwards.
    """
    segmenter = model if model.segmenters else None
    points, segments = evaluate_fold(
        validation, protocol, {'with': model}, segmenter, ['lpp'], device
    )
    for network in (*model.localizers, *model.segmenters):
        network.cpu()
    found, reference = (
        np.array([[row[prefix + axis] for axis in 'xyz'] for row in points])
        for prefix in ('', 'reference_')
    )
    errors = np.linalg.norm(found - reference, axis=1)
    overlaps = [row['dice'] for row in segments if np.isfinite(row.get('dice', np.nan))]
    known = errors[np.isfinite(errors)]
    return (
        float(known.mean()) if len(known) else float('nan'),
        float(np.mean(overlaps)) if overlaps else float('nan'),
    )
