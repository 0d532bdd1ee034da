"""Measure the networks of a fold in images that they were not trained on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.evaluation.masks import dice, false_discovery_rate
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.read import read_image
from tmsprep.learning.examples import Record
from tmsprep.methods.duennwald2021.components import keep_plausible
from tmsprep.methods.duennwald2021.contrast import contrast_ratios, reference_region, volume_mm3
from tmsprep.methods.duennwald2021.locate import locate_volume
from tmsprep.methods.duennwald2021.segmentation import segment
from tmsprep.methods.duennwald2021.volumes import LABELS, Volume, load_volumes
from tmsprep.methods.duennwald2021.weights import CoeruleusModel

#: In the order of `LABELS` and of the masks' labels 1 and 2.
HEMISPHERES = ('L', 'R')

#: Rows of points, and rows of segmentations.
FoldRows = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def load(records: Iterable[Record], voxel_mm: float) -> list[Volume]:
    """Read what was prepared, or prepare it again if it is gone."""
    return [load_volumes([r.example], r.cache, voxel_mm)[0] for r in records]


def localise(model: CoeruleusModel, volume: Volume, device: str = 'cpu') -> np.ndarray:
    """Return the mean of the ensemble's points, shape (2, 3), voxel indices.

    NaN where no image of the training set has the point, as the card of the model says.
    """
    known = [label in model.card['targets'].split() for label in LABELS]
    found = locate_volume(model, volume.intensities.numpy(), device).points.mean(axis=0)
    return np.where(np.array(known)[:, None], found, np.nan)


def point_rows(volume: Volume, found: np.ndarray) -> list[dict[str, Any]]:
    """Compare localised points, voxel indices, with the reference: one row per target, mm."""
    here, reference = (
        apply_affine(volume.affine, p.astype(float)) for p in (found, volume.points.numpy())
    )
    rows = []
    for label, point, truth in zip(LABELS, here, reference, strict=True):
        row: dict[str, Any] = {'label': label}
        row |= dict(zip(('x', 'y', 'z'), point.tolist(), strict=True))
        row['status'] = 'ok' if np.isfinite(truth).all() else 'no_reference'
        if not np.isfinite(point).all():
            row['status'] = 'failed'
        names = ('reference_x', 'reference_y', 'reference_z')
        rows.append(row | dict(zip(names, truth.tolist(), strict=True)))
    return rows


def segmentations(
    model: CoeruleusModel, volume: Volume, points: np.ndarray, methods: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Segment by each method.

    Parameters
    ----------
    model : CoeruleusModel
        With segmenters.
    volume : Volume
        Image to segment.
    points : numpy.ndarray
        Shape (2, 3), voxel indices, of the localizer.
    methods : sequence of str
        Any of 'npp', 'pp', 'lpp'.

    Yields
    ------
    tuple
        Method, labels of shape (n, m, k), and seconds; for 'lpp' without those of `localise`.
    """
    intensities, networks = volume.intensities.numpy(), model.segmenters
    if {'npp', 'pp'} & set(methods):
        # 'pp' is 'npp' and one step more: the window slides once for both.
        plain, seconds = _timed(segment, intensities, networks, 'npp')
        if 'npp' in methods:
            yield 'npp', plain, seconds
        if 'pp' in methods:
            cleaned, further = _timed(keep_plausible, plain, model.voxel_mm)
            yield 'pp', cleaned, seconds + further
    if 'lpp' in methods:
        yield ('lpp', *_timed(segment, intensities, networks, 'lpp', points))


def segmentation_rows(
    volume: Volume, raw: nib.Nifti1Image, labels: np.ndarray, points: np.ndarray
) -> list[dict[str, Any]]:
    """Compare a segmentation with the rater's mask: one row per side.

    Both are on the isotropic grid, and both contrast ratios are of the same intensities. The
    reference region in the pons is placed by the localised points for the segmentation, and by
    the rater's points for the mask: the rater does not help the method.

    Parameters
    ----------
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
    shape = labels.shape
    manual = volume.labels.numpy() if len(volume.labels) else None
    here = reference_region(shape, affine, apply_affine(affine, points))
    of_rater = reference_region(
        shape, affine, apply_affine(affine, volume.points.numpy().astype(float))
    )
    rows = []
    for number, side in enumerate(HEMISPHERES, start=1):
        labelled = labels == number
        row: dict[str, Any] = {'hemisphere': side, 'status': 'ok' if labelled.any() else 'empty'}
        row |= _measures('', labelled, intensities, here, affine)
        if manual is None:
            row['status'] = 'no_mask'
        else:
            drawn = manual == number
            if not drawn.any():
                row['status'] = 'nothing_drawn'
            row |= {'dice': dice(labelled, drawn), 'fdr': false_discovery_rate(labelled, drawn)}
            row |= _measures('manual_', drawn, intensities, of_rater, affine)
        rows.append(row)
    return rows


def evaluate_fold(
    records: Sequence[Record],
    voxel_mm: float,
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
            found = failed_rows(record, localizers, methods if segmenter else ())
        else:
            found = evaluate_image(record, voxel_mm, localizers, segmenter, methods, device)
        points += found[0]
        segments += found[1]
    return points, segments


def failed_rows(record: Record, augmentations: Iterable[str], methods: Iterable[str]) -> FoldRows:
    """Return the rows of an image without results; the columns that they lack are missing."""
    row = {'image': record.name, 'participant': record.participant, 'status': 'failed'}
    points = [{**row, 'augmentation': a, 'label': x} for a in augmentations for x in LABELS]
    segments = [{**row, 'method': m, 'hemisphere': side} for m in methods for side in HEMISPHERES]
    return points, segments


def evaluate_image(
    record: Record,
    voxel_mm: float,
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
    voxel_mm : float
        Edge of the isotropic voxels.
    localizers : Mapping
        Kind of augmentation ('with', 'without') to network. The first gives the point for 'lpp';
        put 'with' first, as the paper has it.
    segmenter : CoeruleusModel or None
        None if no image has a mask.
    methods : sequence of str
        Any of 'npp', 'pp', 'lpp'.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    tuple of list
        Rows of points and of segmentations, as the tables have them but for the fold.
    """
    (volume,) = load([record], voxel_mm)
    names = {'image': record.name, 'participant': record.participant}
    points: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    located = []
    for augmentation, model in localizers.items():
        found, seconds = _timed(localise, model, volume, device)
        located.append((found, seconds))
        points += [
            {**names, 'augmentation': augmentation, **row} for row in point_rows(volume, found)
        ]
    if segmenter is None:
        return points, segments
    guide, seconds_to_localise = located[0]
    raw = conform_isotropic(read_image(record.example.image), voxel_mm)
    for method, labels, seconds in segmentations(segmenter, volume, guide, methods):
        took = seconds + (seconds_to_localise if method == 'lpp' else 0.0)
        segments += [
            {**names, 'method': method, **row, 'seconds': took}
            for row in segmentation_rows(volume, raw, labels, guide)
        ]
    return points, segments


def _measures(
    prefix: str,
    region: np.ndarray,
    intensities: np.ndarray,
    reference: np.ndarray,
    affine: np.ndarray,
) -> dict[str, float]:
    ratios = contrast_ratios(intensities, region, reference)
    return {
        f'{prefix}volume_mm3': volume_mm3(region, affine),
        f'{prefix}cr_median': ratios.median,
        f'{prefix}cr_maximum': ratios.maximum,
    }


def _timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start
