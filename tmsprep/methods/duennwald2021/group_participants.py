"""Points and segmentations of the participant level beside a rater's masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, derivative_path
from tmsprep.evaluation.centres import centres_of_mass
from tmsprep.evaluation.overlap import dice, false_discovery_rate
from tmsprep.group.issues import Issue
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import read_mask, resample_labels
from tmsprep.imaging.read import read_image
from tmsprep.methods.duennwald2021.contrast import contrast_ratios, reference_region, volume_mm3
from tmsprep.methods.duennwald2021.group_sources import (
    POINT_COLUMNS,
    SEGMENT_COLUMNS,
    Measured,
    as_numbers,
    nothing,
)
from tmsprep.protocols import Protocol
from tmsprep.reports.collect import ImageResults

METHODS = ('npp', 'pp', 'lpp')
LOCALIZER = 'coreunet'
SIDES = ('L', 'R')
"""Sides in the order of the masks' labels 1 and 2."""

_MEASURES = ('volume_mm3', 'cr_median', 'cr_maximum')


def measure_participants(
    results: Mapping[ImageRef, ImageResults],
    masks: Mapping[str, Sequence[Path]],
    out_dir: Path,
    protocol: Protocol,
) -> Measured:
    """Compare everybody's points and segmentations with a rater's masks.

    Parameters
    ----------
    results : mapping
        What the participant level left of each image; see `tmsprep.reports.collect`.
    masks : mapping
        Name of an image to its mask: one file with the labels 1 and 2, or a left and a right one.
    out_dir : Path
        Folder of the outputs.
    protocol : Protocol
        Targets, left then right, and edge of the voxels.

    Returns
    -------
    Measured
        `fold` and `augmentation` are missing. Contrast ratios of the rater's masks need the image
        itself; where it is gone they are missing too, and an issue says so.
    """
    points, segments, issues = [], [], []
    for image, found in results.items():
        if LOCALIZER not in found.tables:
            continue
        who = {'image': image.stem, 'participant': f'sub-{image.subject}'}
        try:
            mask = _read(masks[image.stem]) if image.stem in masks else None
            mine = points_of(found, mask, protocol)
            theirs = list(_segments(image, mask, mine, out_dir, protocol.voxel_mm, issues))
        except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
            issues.append(Issue(image.subject, f'{image.stem}: cannot be compared: {error}'))
            continue
        if mask is None:
            issues.append(Issue(image.subject, f'{image.stem}: no mask of a rater', 'warning'))
        points += [{**who, **row} for row in mine]
        segments += [{**who, **row} for row in theirs]
    if not points:
        return nothing()._replace(issues=issues)
    return Measured(
        as_numbers(pd.DataFrame(points), POINT_COLUMNS),
        as_numbers(pd.DataFrame(segments), SEGMENT_COLUMNS),
        issues,
        {row['participant']: 'participant level' for row in points},
        {},
    )


def _read(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and affine of one file, or of a left and a right one."""
    if len(paths) == 1:
        return read_mask(paths[0])
    (left, affine), (right, other) = (read_mask(path) for path in paths)
    if left.shape != right.shape or not np.allclose(affine, other, atol=1e-3):
        raise ValueError(
            f'{paths[1]}: lies on another grid than {paths[0].name}. Write both on one grid.'
        )
    return np.where(left > 0, 1, np.where(right > 0, 2, 0)).astype(np.uint8), affine


def points_of(
    found: ImageResults, mask: tuple[np.ndarray, np.ndarray] | None, protocol: Protocol
) -> list[dict[str, Any]]:
    """Put the localised points beside the mask's centres of mass, mm, RAS+.

    Raises
    ------
    ValueError
        If a coordinate is no number.
    """
    centres = np.full((2, 3), np.nan) if mask is None else centres_of_mass(*mask)
    written = {row['label']: row for row in found.tables[LOCALIZER].rows}
    rows = []
    for label, centre in zip(protocol.labels, centres, strict=True):
        cells = written.get(label, {})
        place = [float(cells.get(axis, 'n/a').replace('n/a', 'nan')) for axis in 'xyz']
        status = 'ok' if np.isfinite(centre).all() else 'no_reference'
        row = {'label': label, **dict(zip('xyz', place, strict=True))}
        row['status'] = status if np.isfinite(place).all() else 'failed'
        names = (f'reference_{axis}' for axis in 'xyz')
        rows.append(row | dict(zip(names, centre.tolist(), strict=True)))
    return rows


def _segments(
    image: ImageRef,
    mask: tuple[np.ndarray, np.ndarray] | None,
    points: Sequence[Mapping[str, Any]],
    out_dir: Path,
    voxel_mm: float,
    issues: list[Issue],
) -> Iterator[dict[str, Any]]:
    """Compare every segmentation of an image that is there."""
    for method in METHODS:
        path = derivative_path(out_dir, image, desc=method, suffix='dseg', extension='.nii.gz')
        table = path.with_name(path.name.replace('_dseg.nii.gz', '_segmentation.tsv'))
        if not path.is_file() or not table.is_file():
            continue
        upright = nib.as_closest_canonical(nib.load(path))
        labels = np.asanyarray(upright.dataobj)
        intensities = None
        if mask is not None:
            intensities = _intensities(image, upright, voxel_mm, issues)
        reference = np.array([[row[f'reference_{axis}'] for axis in 'xyz'] for row in points])
        yield from segment_rows(
            method, labels, upright.affine, mask, reference, intensities, _measured(table)
        )


def segment_rows(
    method: str,
    labels: np.ndarray,
    affine: np.ndarray,
    mask: tuple[np.ndarray, np.ndarray] | None,
    reference: np.ndarray,
    intensities: np.ndarray | None,
    measured: Mapping[str, Mapping[str, float]],
) -> Iterator[dict[str, Any]]:
    """Compare one segmentation with a mask, as the cross-validation does: one row per side.

    Parameters
    ----------
    method : str
        Of `METHODS`.
    labels, affine : numpy.ndarray
        Shape (n, m, k): 1 left, 2 right; voxel indices to mm, RAS+.
    mask : tuple of numpy.ndarray or None
        Labels and affine of the rater's mask, on a grid of its own.
    reference : numpy.ndarray
        Shape (2, 3): the mask's centres of mass, mm, which place its region in the pons.
    intensities : numpy.ndarray or None
        Of the image, on the grid of `labels`.
    measured : mapping
        For each side what the participant level measured.
    """
    manual = None
    if mask is not None:
        manual = resample_labels(mask[0], np.linalg.inv(mask[1]) @ affine, labels.shape)
    for number, side in enumerate(SIDES, start=1):
        mine = labels == number
        row = {'method': method, 'hemisphere': side, **measured.get(side, {})}
        row['status'] = 'ok' if mine.any() else 'empty'
        if manual is None:
            yield {**row, 'status': 'no_mask'}
            continue
        drawn = manual == number
        if not drawn.any():
            row['status'] = 'nothing_drawn'
        row |= {'dice': dice(mine, drawn), 'fdr': false_discovery_rate(mine, drawn)}
        row['manual_volume_mm3'] = volume_mm3(drawn, affine)
        if intensities is not None:
            pons = reference_region(labels.shape, affine, reference)
            ratios = contrast_ratios(intensities, drawn, pons)
            row |= {'manual_cr_median': ratios.median, 'manual_cr_maximum': ratios.maximum}
        yield row


def _intensities(
    image: ImageRef, labels: nib.Nifti1Image, voxel_mm: float, issues: list[Issue]
) -> np.ndarray | None:
    """Return the image on the grid of its segmentation; None, with an issue, if it is gone."""
    if not image.path.exists():
        message = (
            'the image is not in the data set any more: no contrast ratios of the rater, no ICC'
        )
        if not any(i.subject == image.subject and i.message == message for i in issues):
            issues.append(Issue(image.subject, message, 'warning'))
        return None
    volume = conform_isotropic(read_image(image.path), voxel_mm)
    if volume.shape != labels.shape or not np.allclose(volume.affine, labels.affine, atol=1e-3):
        raise ValueError(
            f'{image.path}: the segmentation in the outputs is on another grid; run the '
            'participant level again'
        )
    return volume.get_fdata(dtype=np.float32)


def _measured(path: Path) -> dict[str, dict[str, float]]:
    """Read what the participant level measured: side to volume and contrast ratios."""
    table = pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])
    missing = [name for name in ('hemisphere', *_MEASURES) if name not in table]
    if missing:
        raise ValueError(f'{path}: has no column {missing[0]!r}; run the participant level again')
    numbers = table[list(_MEASURES)].astype(np.float64).to_dict('records')
    return dict(zip(table['hemisphere'], numbers, strict=True))


def images_of(results: Iterable[ImageRef]) -> dict[str, list[ImageRef]]:
    """Sort images by participant's label."""
    found: dict[str, list[ImageRef]] = {}
    for image in results:
        found.setdefault(image.subject, []).append(image)
    return found
