"""Train a fold's networks, and measure them in people who did not train."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.evaluation.masks import dice, false_discovery_rate
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.read import read_image
from tmsprep.learning.loop import Report, Trained
from tmsprep.methods.duennwald2021.components import keep_plausible
from tmsprep.methods.duennwald2021.contrast import contrast_ratios, reference_region, volume_mm3
from tmsprep.methods.duennwald2021.localizer_task import train_coreunet
from tmsprep.methods.duennwald2021.locate import locate_volume
from tmsprep.methods.duennwald2021.recipes import CoeruleusRecipe
from tmsprep.methods.duennwald2021.records import VolumeRecord, usable
from tmsprep.methods.duennwald2021.segmentation import segment
from tmsprep.methods.duennwald2021.segmenter_task import train_patch_unet
from tmsprep.methods.duennwald2021.volumes import LABELS, Volume
from tmsprep.methods.duennwald2021.weights import CoeruleusModel

HEMISPHERES = ('L', 'R')
"""In the order of `LABELS` and of the masks' labels 1 and 2."""


@dataclass(frozen=True)
class FoldTraining:
    """One training of a fold.

    Parameters
    ----------
    network : str
        'localizer' or 'segmenter'.
    augment : bool
        Whether the localizer sees random views; the segmenter always does.
    seed : int
        Of this training.
    """

    network: str
    augment: bool
    seed: int


def train_network(
    training: Sequence[VolumeRecord],
    validation: Sequence[VolumeRecord],
    what: FoldTraining,
    recipe: CoeruleusRecipe,
    *,
    checkpoint: Path | None = None,
    report: Report | None = None,
    device: str = 'cpu',
) -> Trained:
    """Train one network on some people, and let others choose the epoch.

    Parameters
    ----------
    training, validation : sequence of VolumeRecord
        Nobody else is looked at; those with an error are passed over.
    what : FoldTraining
        Which network.
    recipe : CoeruleusRecipe
        How to train.
    checkpoint : Path, optional
        Where an interrupted training goes on.
    report : callable, optional
        Is told of each epoch.
    device : str
        'cpu' or 'cuda'.

    Raises
    ------
    ValueError
        If somebody stands in both groups, or nobody can be trained on.
    """
    both = {r.participant for r in training} & {r.participant for r in validation}
    if both:
        raise ValueError(f'{", ".join(sorted(both))}: both in training and validation')
    people, aside = ([r.load() for r in usable(group)] for group in (training, validation))
    settings: dict[str, Any] = {'seed': what.seed, 'checkpoint': checkpoint, 'report': report}
    if what.network == 'localizer':
        return train_coreunet(
            people, aside, recipe, augment=what.augment, device=device, **settings
        )
    return train_patch_unet(people, aside, recipe, device=device, **settings)


def localise(model: CoeruleusModel, person: Volume, device: str = 'cpu') -> np.ndarray:
    """Mean of the ensemble's points, shape (2, 3), voxel indices.

    NaN where nobody that it was trained on has the point, as the card of `model_of` says.
    """
    known = [label in model.card['targets'].split() for label in LABELS]
    found = locate_volume(model, person.intensities.numpy(), device).points.mean(axis=0)
    return np.where(np.array(known)[:, None], found, np.nan)


def point_rows(person: Volume, found: np.ndarray) -> list[dict[str, Any]]:
    """Compare localised points, voxel indices, with the reference: one row per target, mm."""
    here, reference = (_to_mm(p, person.affine) for p in (found, person.points.numpy()))
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
    model: CoeruleusModel, person: Volume, points: np.ndarray, methods: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Segment by each method.

    Parameters
    ----------
    model : CoeruleusModel
        With segmenters.
    person : Volume
        Whom to segment.
    points : numpy.ndarray
        Shape (2, 3), voxel indices, of the localizer.
    methods : sequence of str
        Any of 'npp', 'pp', 'lpp'.

    Yields
    ------
    tuple
        Method, labels of shape (n, m, k), and seconds; for 'lpp' without those of `localise`.
    """
    intensities, networks = person.intensities.numpy(), model.segmenters
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
    person: Volume, raw: nib.Nifti1Image, labels: np.ndarray, points: np.ndarray
) -> list[dict[str, Any]]:
    """Compare a segmentation with the rater's mask: one row per side.

    Both are on the isotropic grid, and both contrast ratios are of the same intensities. The
    reference region in the pons is placed by the localised points for the segmentation, and by
    the rater's points for the mask: nothing of the rater's helps the method.

    Parameters
    ----------
    person : Volume
        With the rater's labels on the isotropic grid, or none.
    raw : nibabel.Nifti1Image
        The same volume with the scanner's intensities.
    labels : numpy.ndarray
        Shape (n, m, k), 1 left, 2 right.
    points : numpy.ndarray
        Shape (2, 3), voxel indices, of the localizer.
    """
    intensities, affine = raw.get_fdata(dtype=np.float32), person.affine
    shape = labels.shape
    manual = person.labels.numpy() if len(person.labels) else None
    here = reference_region(shape, affine, _to_mm(points, affine))
    theirs = reference_region(shape, affine, _to_mm(person.points.numpy(), affine))
    rows = []
    for number, side in enumerate(HEMISPHERES, start=1):
        mine = labels == number
        row: dict[str, Any] = {'hemisphere': side, 'status': 'ok' if mine.any() else 'empty'}
        row |= _measures('', mine, intensities, here, affine)
        if manual is None:
            row['status'] = 'no_mask'
        else:
            drawn = manual == number
            if not drawn.any():
                row['status'] = 'nothing_drawn'
            row |= {'dice': dice(mine, drawn), 'fdr': false_discovery_rate(mine, drawn)}
            row |= _measures('manual_', drawn, intensities, theirs, affine)
        rows.append(row)
    return rows


def evaluate_fold(
    records: Sequence[VolumeRecord],
    fold: int,
    localizers: Mapping[str, CoeruleusModel],
    segmenter: CoeruleusModel | None,
    methods: Sequence[str],
    device: str = 'cpu',
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Localise and segment in everybody given; see `evaluate_person`."""
    for model in (*localizers.values(), *([segmenter] if segmenter else [])):
        for network in (*model.localizers, *model.segmenters):
            network.to(device)
    points, segments = [], []
    for record in records:
        if record.error:
            found = _failed(record, localizers, methods if segmenter else ())
        else:
            found = evaluate_person(record, localizers, segmenter, methods, device)
        points += [{**row, 'fold': fold} for row in found[0]]
        segments += [{**row, 'fold': fold} for row in found[1]]
    return points, segments


def _failed(
    record: VolumeRecord, augmentations: Iterable[str], methods: Iterable[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of a person whose image could not be used; what they lack is missing."""
    row = {'image': record.name, 'participant': record.participant, 'status': 'failed'}
    points = [{**row, 'augmentation': a, 'label': x} for a in augmentations for x in LABELS]
    segments = [{**row, 'method': m, 'hemisphere': side} for m in methods for side in HEMISPHERES]
    return points, segments


def evaluate_person(
    record: VolumeRecord,
    localizers: Mapping[str, CoeruleusModel],
    segmenter: CoeruleusModel | None,
    methods: Sequence[str],
    device: str = 'cpu',
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Localise and segment in one person.

    Parameters
    ----------
    record : VolumeRecord
        Whom; not trained on.
    localizers : Mapping
        Kind of augmentation ('with', 'without') to network. The first gives the point for 'lpp';
        put 'with' first, as the paper has it.
    segmenter : CoeruleusModel or None
        None if nobody has a mask.
    methods : sequence of str
        Any of 'npp', 'pp', 'lpp'.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    tuple of list
        Rows of points and of segmentations, as `crossval_points.tsv` and
        `crossval_segmentation.tsv` have them but for the fold.
    """
    person = record.load()
    who = {'image': record.name, 'participant': record.participant}
    points, segments = [], []
    guide, seconds_to_find = None, 0.0
    for augmentation, model in localizers.items():
        found, seconds = _timed(localise, model, person, device)
        if guide is None:
            guide, seconds_to_find = found, seconds
        points += [
            {**who, 'augmentation': augmentation, **row} for row in point_rows(person, found)
        ]
    if segmenter is None:
        return points, segments
    raw = conform_isotropic(read_image(record.image), record.voxel_mm)
    for method, labels, seconds in segmentations(segmenter, person, guide, methods):
        took = seconds + (seconds_to_find if method == 'lpp' else 0.0)
        segments += [
            {**who, 'method': method, **row, 'seconds': took}
            for row in segmentation_rows(person, raw, labels, guide)
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


def _to_mm(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return points.astype(float) @ affine[:3, :3].T + affine[:3, 3]


def _timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start
