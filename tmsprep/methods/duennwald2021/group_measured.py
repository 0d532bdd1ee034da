"""Points and segmentations of the group level, compared with the masks of a rater."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.masks import centres_of_mass, dice, false_discovery_rate
from tmsprep.group.crossval import read_crossval
from tmsprep.group.derivatives import Derivatives
from tmsprep.group.issues import Issue
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import read_mask, resample_labels
from tmsprep.imaging.read import ImageError, load_nifti, read_image
from tmsprep.methods.duennwald2021.contrast import contrast_ratios, reference_region, volume_mm3
from tmsprep.protocols import Protocol
from tmsprep.tables import read_json

#: Levels whose outputs are compared.
CROSSVAL, PARTICIPANT = 'crossval', 'participant'

#: Segmentations, from the sliding window to the localised patch.
METHODS = ('npp', 'pp', 'lpp')

#: Sides in the order of the labels 1 and 2 of the masks.
SIDES = ('L', 'R')

#: Role of participants that no network of a cross-validation has seen.
HELD_OUT = 'held out'

#: Columns of the points and the segmentations of a cross-validation.
POINT_COLUMNS = (
    *('image', 'participant', 'fold', 'augmentation', 'label', 'x', 'y', 'z', 'status'),
    *('reference_x', 'reference_y', 'reference_z'),
)
SEGMENT_COLUMNS = (
    *('image', 'participant', 'fold', 'method', 'hemisphere', 'status', 'dice', 'fdr'),
    *('volume_mm3', 'cr_median', 'cr_maximum'),
    *('manual_volume_mm3', 'manual_cr_median', 'manual_cr_maximum', 'seconds'),
)

_WORDS = {
    *('image', 'participant', 'augmentation', 'label', 'method', 'hemisphere', 'status', 'role'),
}
_MEASURES = ('volume_mm3', 'cr_median', 'cr_maximum')
_REFERENCE = ('reference_x', 'reference_y', 'reference_z')

# Labels and affine of a mask; None without one.
_Mask = tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Measured:
    """Points and segmentations of one level, with the reference of a rater.

    Parameters
    ----------
    points, segments : pandas.DataFrame
        `POINT_COLUMNS`, mm, RAS+; `SEGMENT_COLUMNS`. NaN where missing.
    issues : list of Issue
        Participants that are missing or failed.
    roles : dict
        Full label of each known participant to its part in the level.
    settings : dict
        Sidecar of the level, without the columns.
    """

    points: pd.DataFrame
    segments: pd.DataFrame
    issues: list[Issue]
    roles: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Make a table of rows that may lack values; what is not text becomes a number."""
    table = pd.DataFrame(rows, columns=list(columns))
    numbers = [name for name in columns if name not in _WORDS]
    return table.astype(dict.fromkeys(numbers, np.float64))


def measure_crossval(layout: Layout, wanted: Sequence[str] = ()) -> Measured:
    """Read the tables of a cross-validation; they are empty if there was none.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    wanted : sequence of str
        Labels of participants without 'sub-'; empty for all.

    Raises
    ------
    tmsprep.bids.BidsError
        If a table cannot be read or lacks a column.
    """

    def read(name: str, columns: Sequence[str]) -> pd.DataFrame:
        path = layout.level('crossval', name)
        found = read_crossval(path, columns, _WORDS, wanted, 'participant')
        return _table([], columns) if found is None else found

    points, segments = read('points', POINT_COLUMNS), read('segmentation', SEGMENT_COLUMNS)
    roles = dict(read('folds', ('participant', 'role')).astype(str).itertuples(index=False))
    sidecar = read_json(layout.level('crossval', 'points', '.json'))
    return Measured(
        points,
        segments,
        list(_crossval_issues(points, roles)),
        roles,
        {name: value for name, value in sidecar.items() if name not in POINT_COLUMNS},
    )


def _crossval_issues(points: pd.DataFrame, roles: Mapping[str, str]) -> Iterator[Issue]:
    """Name participants that were not tested, and sides without a reference."""
    held_out = [name for name, role in roles.items() if role == HELD_OUT]
    for name in dict.fromkeys(held_out or roles):
        if name not in set(points['participant']):
            message = 'was to be tested in crossval, but its tables have no points; run it again'
            yield Issue(name.removeprefix('sub-'), message)
    failed = points[points['status'] == 'failed']
    for name, rows in failed.groupby('participant', sort=False):
        images = ', '.join(dict.fromkeys(rows['image']))
        message = f'{images}: could not be used in crossval, whose log says why'
        if len(rows) < (points['participant'] == name).sum():
            message = f'{images}: {len(rows)} points were not localised in crossval'
        yield Issue(str(name).removeprefix('sub-'), message)
    without = points[points['status'] == 'no_reference']
    for name, label in dict.fromkeys(zip(without['participant'], without['label'], strict=True)):
        message = f'the rater has no {label}, so its error is unknown'
        yield Issue(name.removeprefix('sub-'), message, 'note')


def measure_participants(
    derivatives: Derivatives,
    masks: Mapping[str, Sequence[Path]],
    layout: Layout,
    protocol: Protocol,
) -> Measured:
    """Compare points and segmentations of the participant level with the masks of a rater.

    Parameters
    ----------
    derivatives : Derivatives
        Points of one method.
    masks : mapping
        Name of an image to its mask: one file with the labels 1 and 2, or a left and a right one.
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        Targets, left then right, and edge of the voxels.

    Returns
    -------
    Measured
        `fold` and `augmentation` are missing. Contrast ratios of the masks need the image itself;
        where it is gone they are missing too, with an issue.
    """
    points: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    issues: list[Issue] = []
    tables = dict(list(derivatives.points.groupby('image', sort=False)))
    images = (image for several in derivatives.images.values() for image in several)
    for image in (image for image in images if image.stem in tables):
        base = {'image': image.stem, 'participant': f'sub-{image.subject}'}
        try:
            mask = _read(masks[image.stem]) if image.stem in masks else None
            rows = list(point_rows(tables[image.stem], mask, protocol))
            found = list(_segments(image, mask, rows, layout, protocol.voxel_mm, issues))
        except (OSError, ValueError, ImageError, nib.filebasedimages.ImageFileError) as error:
            issues.append(Issue(image.subject, f'{image.stem}: cannot be compared: {error}'))
            continue
        if mask is None:
            issues.append(Issue(image.subject, f'{image.stem}: no mask of a rater', 'warning'))
        points += [base | row for row in rows]
        segments += [base | row for row in found]
    roles = {row['participant']: 'participant level' for row in points}
    return Measured(
        _table(points, POINT_COLUMNS), _table(segments, SEGMENT_COLUMNS), issues, roles
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


def point_rows(table: pd.DataFrame, mask: _Mask, protocol: Protocol) -> Iterator[dict[str, Any]]:
    """Yield the points of one image with the centres of mass of its mask, mm, RAS+."""
    centres = np.full((2, 3), np.nan) if mask is None else centres_of_mass(*mask)
    places = table.set_index('label')[['x', 'y', 'z']].reindex(list(protocol.labels))
    for (label, place), centre in zip(places.iterrows(), centres, strict=True):
        status = 'ok' if np.isfinite(centre).all() else 'no_reference'
        yield {
            'label': label,
            **place,
            'status': status if place.notna().all() else 'failed',
            **dict(zip(_REFERENCE, centre.tolist(), strict=True)),
        }


def _segments(
    image: ImageRef,
    mask: _Mask,
    points: Sequence[Mapping[str, Any]],
    layout: Layout,
    voxel_mm: float,
    issues: list[Issue],
) -> Iterator[dict[str, Any]]:
    """Compare every segmentation of an image among the outputs."""
    reference = np.array([[row[name] for name in _REFERENCE] for row in points])
    for method in METHODS:
        path = layout.derivative(image, 'dseg', '.nii.gz', desc=method)
        table = layout.table(image, method, 'segmentation')
        if not path.is_file() or not table.is_file():
            continue
        upright = nib.as_closest_canonical(load_nifti(path))
        intensities = None
        if mask is not None:
            intensities = _intensities(image, upright, voxel_mm, issues)
        labels, affine = np.asanyarray(upright.dataobj), upright.affine
        for row in segment_rows(labels, affine, mask, reference, intensities):
            yield {'method': method, **_measures(table)[row['hemisphere']], **row}


def segment_rows(
    labels: np.ndarray,
    affine: np.ndarray,
    mask: _Mask,
    reference: np.ndarray,
    intensities: np.ndarray | None,
) -> Iterator[dict[str, Any]]:
    """Compare one segmentation with a mask, as the cross-validation does: one row per side.

    Parameters
    ----------
    labels, affine : numpy.ndarray
        Shape (n, m, k): 1 left, 2 right; voxel indices to mm, RAS+.
    mask : tuple of numpy.ndarray or None
        Labels and affine of the mask of the rater, on a grid of its own.
    reference : numpy.ndarray
        Shape (2, 3): centres of mass of the mask, mm, which place its region in the pons.
    intensities : numpy.ndarray or None
        Of the image, on the grid of `labels`.
    """
    manual = None
    if mask is not None:
        manual = resample_labels(mask[0], np.linalg.inv(mask[1]) @ affine, labels.shape)
    for number, side in enumerate(SIDES, start=1):
        found = labels == number
        row: dict[str, Any] = {'hemisphere': side, 'status': 'ok' if found.any() else 'empty'}
        if manual is None:
            yield row | {'status': 'no_mask'}
            continue
        drawn = manual == number
        if not drawn.any():
            row['status'] = 'nothing_drawn'
        row |= {'dice': dice(found, drawn), 'fdr': false_discovery_rate(found, drawn)}
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
        message = 'the image is no longer in the data set: no contrast ratios of the rater, no ICC'
        issue = Issue(image.subject, message, 'warning')
        if issue not in issues:
            issues.append(issue)
        return None
    volume = conform_isotropic(read_image(image.path), voxel_mm)
    if volume.shape != labels.shape or not np.allclose(volume.affine, labels.affine, atol=1e-3):
        raise ValueError(
            f'{image.path}: the segmentation in the outputs is on another grid; run the '
            'participant level again'
        )
    return volume.get_fdata(dtype=np.float32)


def _measures(path: Path) -> dict[str, dict[str, float]]:
    """Read the volume and the contrast ratios of each side that the participant level wrote."""
    table = pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])
    missing = [name for name in ('hemisphere', *_MEASURES) if name not in table]
    if missing:
        raise ValueError(f'{path}: has no column {missing[0]!r}; run the participant level again')
    numbers = table[list(_MEASURES)].astype(np.float64).to_dict('records')
    return dict(zip(table['hemisphere'], numbers, strict=True))
