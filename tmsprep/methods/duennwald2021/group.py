"""Group level of the locus coeruleus: accuracy in cross-validation and at participant level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import source_sha256
from tmsprep.evaluation.errors import CROSSVAL as CROSSVAL_PREFIX
from tmsprep.evaluation.errors import RATER
from tmsprep.evaluation.masks import centres_of_mass
from tmsprep.group.analysis import Group, GroupRequest, GroupResult, common_settings
from tmsprep.group.collect import refuse_nothing
from tmsprep.group.crossval import read_crossval
from tmsprep.group.derivatives import Derivatives, read_derivatives
from tmsprep.group.issues import (
    Issue,
    errors_by_subject,
    known_participants,
    participants_table,
    participants_without,
    refused_participants,
)
from tmsprep.group.points import in_columns, in_order
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import resample_labels
from tmsprep.imaging.read import ImageError, load_nifti, read_source
from tmsprep.methods.duennwald2021.comparison import (
    FOLDS,
    POINTS,
    SEGMENTATION,
    WORDS,
    as_table,
    point_rows,
    segment_rows,
)
from tmsprep.methods.duennwald2021.group_tables import COLUMNS, DESCRIPTIONS, Measured, all_tables
from tmsprep.methods.duennwald2021.masks import find_masks
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.methods.duennwald2021.volumes import read_labels
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, read_json
from tmsprep.text import open_text

#: Levels whose outputs are compared.
CROSSVAL, PARTICIPANT = 'crossval', 'participant'

#: Role of participants that no network of a cross-validation has seen.
HELD_OUT = 'held out'

_MEASURES = ('volume_mm3', 'cr_median', 'cr_maximum')

# Labels and affine of a mask; None without one.
_Mask = tuple[np.ndarray, np.ndarray] | None


def collect_group(request: GroupRequest, method: str) -> Group:
    """Compare the outputs of crossval and participant with the masks of one rater.

    Parameters
    ----------
    request : GroupRequest
        What is compared.
    method : str
        Name of the method that localises.

    Returns
    -------
    Group
        `extra` maps the level, 'crossval' or 'participant', to what was measured.

    Raises
    ------
    tmsprep.bids.BidsError
        If there is nothing to compare, or a chosen participant is unknown.
    """
    layout, protocol, wanted = request.layout, request.protocol, request.participants
    derivatives = read_derivatives(layout, request.bids_dir, protocol, [method], wanted)
    masks, issues = _masks(request, derivatives)
    issues += derivatives.issues
    measured = {CROSSVAL: measure_crossval(layout, wanted)}
    raters: tuple[str, ...] = ()
    if masks and request.annotations is not None:
        raters = (request.annotations.name,)
        measured[PARTICIPANT] = measure_participants(derivatives, masks, layout, protocol)
    issues += [issue for given in measured.values() for issue in given.issues]
    measured = {level: given for level, given in measured.items() if len(given.points)}
    tables = [generic_points(given.points, method, raters) for given in measured.values()]
    points = in_order(tables, protocol.labels, request.names)
    cure = (
        f'Run crossval --protocol {protocol.name} --annotations DIR first; or participant, and '
        'then group with --annotations DIR, the masks of one rater'
    )
    refuse_nothing(layout, points, issues, cure)
    issues += refused_participants(request.bids_dir, wanted)
    roles = {name for given in measured.values() for name in given.roles}
    named = {name.removeprefix('sub-') for name in (*roles, *points['participant_id'])}
    participants = known_participants(request.bids_dir, layout.out_dir, named, wanted)
    message = 'is in the data set, but in no table: without mask or points, or not run'
    issues += participants_without(participants, named | set(errors_by_subject(issues)), message)
    return Group(request, points, participants, issues, raters, extra=measured)


def _masks(
    request: GroupRequest, derivatives: Derivatives
) -> tuple[dict[str, tuple[Path, ...]], list[Issue]]:
    """Find the masks of the images with outputs: name of an image to its files."""
    if request.annotations is None:
        message = (
            'outputs of the participant level are not compared: give the masks of one rater by '
            '--annotations DIR'
        )
        return {}, [Issue('', message, 'note')] if derivatives.images else []
    if not derivatives.images:
        message = 'no outputs of the participant level, so --annotations are not used'
        return {}, [Issue('', message, 'note')]
    found = find_masks(derivatives.images, request.annotations)
    issues = [Issue(label, text) for label, texts in found.problems.items() for text in texts]
    issues += [Issue('', note, 'note') for note in found.notes]
    return {files.image.stem: files.paths for files in found.masks}, issues


def generic_points(points: pd.DataFrame, method: str, raters: tuple[str, ...]) -> pd.DataFrame:
    """Turn measured points, and the reference of a rater, into those of every group."""
    ways = points['augmentation']
    found = points.rename(columns={'participant': 'participant_id', 'fold': 'repetition'}).assign(
        method=np.where(ways.isna(), method, CROSSVAL_PREFIX + ways.astype(str)),
    )
    reference = found[ways.isna()]
    parts = [in_columns(found)]
    for rater in raters:
        places = {axis: reference[f'reference_{axis}'] for axis in 'xyz'}
        given = reference.assign(method=RATER + rater, status='given', **places)
        parts.append(in_columns(given))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def analyse_group(group: Group) -> GroupResult:
    """Make the tables of Duennwald et al. 2021 from what `collect_group` measured."""
    request = group.request
    measured: Mapping[str, Measured] = group.extra
    voxel_mm = request.protocol.voxel_mm
    tables = all_tables(measured, voxel_mm, request.random_seed)
    tables['participants'] = _participants(group, measured)
    settings = {**common_settings(group), 'VoxelSize': voxel_mm}
    if CROSSVAL in measured:
        own = ('Description', 'SoftwareVersion', 'Disclaimer')
        given = measured[CROSSVAL].settings
        settings['CrossValidation'] = {k: v for k, v in given.items() if k not in own}
    return GroupResult(group, tables, DESCRIPTIONS, COLUMNS, settings)


def _participants(group: Group, measured: Mapping[str, Measured]) -> pd.DataFrame:
    """Make the table of participants, with the role of each and its number of known errors."""
    roles = {name: role for given in measured.values() for name, role in given.roles.items()}
    trained = dict.fromkeys(roles, 'trained on')
    table = participants_table(group.points, group.participants, group.issues, trained)
    counts = pd.concat(
        [given.points.dropna(subset=['x', 'reference_x']) for given in measured.values()]
        or [pd.DataFrame(columns=['participant'])]
    )['participant'].value_counts()
    names = table['participant_id']
    table.insert(1, 'role', [roles.get(name, '') for name in names])
    table.insert(2, 'points', [int(counts.get(name, 0)) for name in names])
    return table


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

    def read(name: str, columns: Mapping[str, Column]) -> pd.DataFrame:
        path = layout.level('crossval', name)
        found = read_crossval(path, list(columns), WORDS, wanted, 'participant')
        return as_table([], columns) if found is None else found

    points, segments = read('points', POINTS), read('segmentation', SEGMENTATION)
    roles = dict(read('folds', FOLDS).astype(str).itertuples(index=False))
    sidecar = read_json(layout.level('crossval', 'points', '.json'))
    return Measured(
        points,
        segments,
        list(_crossval_issues(points, roles)),
        roles,
        {name: value for name, value in sidecar.items() if name not in POINTS},
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
        message = f'{images}: could not be used in crossval, see its log'
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
        Name of an image to its mask: one file with the labels 1 and 2, or two files.
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        Targets, left then right, and edge of the voxels.

    Returns
    -------
    Measured
        `fold` and `augmentation` are missing. Contrast ratios of the masks need the image itself;
        without it they are missing too, with an issue.
    """
    points: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    issues: list[Issue] = []
    tables = dict(list(derivatives.points.groupby('image', sort=False)))
    images = (image for several in derivatives.images.values() for image in several)
    for image in (image for image in images if image.stem in tables):
        base = {'image': image.stem, 'participant': f'sub-{image.subject}'}
        try:
            mask = read_labels(masks[image.stem]) if image.stem in masks else None
            centres = np.full((2, 3), np.nan) if mask is None else centres_of_mass(*mask)
            places = tables[image.stem].set_index('label')[['x', 'y', 'z']]
            localised = places.reindex(list(protocol.labels)).to_numpy(float)
            rows = point_rows(protocol, localised, centres)
            found = list(_segments(image, mask, centres, layout, protocol, issues))
        except (OSError, ValueError, ImageError, nib.filebasedimages.ImageFileError) as error:
            issues.append(Issue(image.subject, f'{image.stem}: cannot be compared: {error}'))
            continue
        if mask is None:
            issues.append(Issue(image.subject, f'{image.stem}: no mask of a rater', 'warning'))
        points += [base | row for row in rows]
        segments += [base | row for row in found]
    roles = {row['participant']: 'participant level' for row in points}
    return Measured(as_table(points, POINTS), as_table(segments, SEGMENTATION), issues, roles)


def _segments(
    image: ImageRef,
    mask: _Mask,
    reference: np.ndarray,
    layout: Layout,
    protocol: Protocol,
    issues: list[Issue],
) -> Iterator[dict[str, Any]]:
    """Compare every segmentation of an image among the outputs."""
    for method in SEGMENTATIONS:
        path = layout.derivative(image, 'dseg', '.nii.gz', desc=method)
        table = layout.table(image, method, 'segmentation')
        if not path.is_file() or not table.is_file():
            continue
        upright = nib.as_closest_canonical(load_nifti(path))
        labels, affine = np.asanyarray(upright.dataobj), upright.affine
        intensities = manual = None
        if mask is not None:
            intensities = _intensities(image, upright, protocol.voxel_mm, table, issues)
            manual = resample_labels(mask[0], np.linalg.inv(mask[1]) @ affine, labels.shape)
        for row in segment_rows(protocol, labels, manual, affine, intensities, reference):
            yield {'method': method, **_measures(table)[row['hemisphere']], **row}


def _intensities(
    image: ImageRef, labels: nib.Nifti1Image, voxel_mm: float, table: Path, issues: list[Issue]
) -> np.ndarray | None:
    """Return the image on the grid of its segmentation; None, with an issue, if it is gone."""
    if not image.path.exists():
        message = 'the image is no longer in the data set: no contrast ratios of the rater, no ICC'
        issue = Issue(image.subject, message, 'warning')
        if issue not in issues:
            issues.append(issue)
        return None
    source = read_source(image.path)
    segmented = source_sha256(table)
    if segmented and segmented != source.sha256:
        raise ValueError(
            f'{image.path}: the segmentation in the outputs is of another image of this name; '
            'run the participant level again'
        )
    volume = conform_isotropic(
        mend_image(source.image, image.path, whole_head=False).image, voxel_mm
    )
    if volume.shape != labels.shape or not np.allclose(volume.affine, labels.affine, atol=1e-3):
        raise ValueError(
            f'{image.path}: the segmentation in the outputs is on another grid; run the '
            'participant level again'
        )
    return volume.get_fdata(dtype=np.float32)


def _measures(path: Path) -> dict[str, dict[str, float]]:
    """Read the volume and the contrast ratios of each side that the participant level wrote."""
    table = pd.read_csv(open_text(path), sep='\t', keep_default_na=False, na_values=['n/a'])
    missing = [name for name in ('hemisphere', *_MEASURES) if name not in table]
    if missing:
        raise ValueError(f'{path}: has no column {missing[0]!r}; run the participant level again')
    numbers = table[list(_MEASURES)].astype(np.float64).to_dict('records')
    return dict(zip(table['hemisphere'], numbers, strict=True))
