"""Masks of the raters, or their points: which belong to which image, and whether they can."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.atomic import atomic_path
from tmsprep.bids.annotations import ENTITY_LABEL, annotated_names, find_image, is_own_output
from tmsprep.bids.names import BidsError, ImageRef, natural_key, shorten
from tmsprep.evaluation.masks import centres_of_mass
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.imaging.labels import read_mask
from tmsprep.imaging.read import load_nifti, read_geometry
from tmsprep.learning.annotations import Annotations, collect_annotated
from tmsprep.learning.examples import Example
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.protocols import Protocol

_NAME = re.compile(
    rf'(?P<stem>sub-{ENTITY_LABEL}(?:_[a-z]+-{ENTITY_LABEL})*)_(?P<suffix>dseg|mask)\.nii(?:\.gz)?'
)

#: Entities of the name of a mask that are not those of its image.
_OF_THE_MASK = ('hemi', 'desc', 'label', 'res')

_FORM = (
    'sub-<label>[_<entity>-<label>][_desc-<rater>]_dseg.nii.gz with the labels 1 (left) and 2 '
    '(right), or two files _hemi-L_..._mask.nii.gz and _hemi-R_..._mask.nii.gz'
)
_UNREADABLE = (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError)

#: Voxels of the image by which a mask may reach over its edge.
_MARGIN = 1.0


@dataclass(frozen=True)
class MaskFiles:
    """The mask of one image by one rater.

    Parameters
    ----------
    image : ImageRef
        The image.
    paths : tuple of Path
        One file with both labels, or the left and the right one.
    """

    image: ImageRef
    paths: tuple[Path, ...]


class FoundMasks(NamedTuple):
    """The masks below a folder.

    Parameters
    ----------
    masks : list of MaskFiles
        One per image that has any, in the order of the images.
    problems : dict
        For each participant with something wrong, one message per problem.
    notes : list of str
        Files that are not used without being wrong.
    """

    masks: list[MaskFiles]
    problems: dict[str, list[str]]
    notes: list[str]


def find_masks(images: Mapping[str, Sequence[ImageRef]], folder: Path) -> FoundMasks:
    """Find masks by their names; none is opened.

    Duennwald et al. 2021, section 2.1, train on the masks of one of two raters. So one rater is
    wanted here: an image with masks by several is refused, because the choice of one is the
    user's.

    Parameters
    ----------
    images : mapping
        For each participant's label the images of this run.
    folder : Path
        Searched with all folders below it, hidden ones excepted. All entities of a name but hemi,
        desc, label, res and space must be the image's.

    Raises
    ------
    BidsError
        If every image that has a mask has several.
    """
    found = FoundMasks([], defaultdict(list), [])
    chosen: dict[str, list[tuple[Path, dict[str, str]]]] = defaultdict(list)
    by_stem = {image.stem: image for several in images.values() for image in several}
    others, own = [], []
    for path in sorted(folder.rglob('sub-*.nii*'), key=lambda path: natural_key(str(path))):
        entities = _mask_entities(path, folder)
        if entities is None:
            continue
        if is_own_output(path, SEGMENTATIONS):
            own.append(path.name)
            continue
        try:
            known = entities['sub'] in images
            image = find_image(path, folder, images, _OF_THE_MASK, 'masks') if known else None
        except BidsError as error:
            found.problems[entities['sub']].append(str(error))
            continue
        if image is None:
            others.append(path.name)
        else:
            chosen[image.stem].append((path, entities))
    if others:
        found.notes.append(f'Masks of participants not in this run: {shorten(others)}.')
    if own:
        found.notes.append(f'Masks that tmsprep made itself are not trained on: {shorten(own)}.')
    several = [_add(by_stem[stem], chosen[stem], found) for stem in by_stem if stem in chosen]
    if several and all(several):
        raise BidsError(f'{several[0]} This is so for all {len(several)} images with masks.')
    return found


def _mask_entities(path: Path, folder: Path) -> dict[str, str] | None:
    """Entities of a name that is one of a mask of the locus coeruleus, else None."""
    match = _NAME.fullmatch(path.name)
    if match is None or any(part.startswith('.') for part in path.relative_to(folder).parts):
        return None
    entities = dict(part.split('-') for part in match['stem'].split('_'))
    # A mask without a side is one of the brain.
    return None if match['suffix'] == 'mask' and 'hemi' not in entities else entities


def _add(image: ImageRef, files: Sequence[tuple[Path, dict[str, str]]], found: FoundMasks) -> str:
    """Take the one mask of an image; return what is wrong if there are several."""
    by_rater: dict[tuple, dict[str, Path]] = defaultdict(dict)
    message = ''
    for path, entities in files:
        side = entities.get('hemi', '')
        sides = by_rater[path.parent, entities.get('desc'), bool(side)]
        if side in sides or side not in ('', 'L', 'R'):
            message = 'masks by several raters'
        sides[side] = path
    if message or len(by_rater) > 1:
        names = shorten([str(path) for path, _ in files])
        message = (
            f'{image.path.name} has several masks: {names}. Only one rater can be used: '
            'give the folder of that rater by --annotations, such as derivatives/rater1.'
        )
        found.problems[image.subject].append(message)
        return message
    (sides,) = by_rater.values()
    lacking = [side for side in ('L', 'R') if '' not in sides and side not in sides]
    if lacking:
        found.problems[image.subject].append(
            f'{next(iter(sides.values()))}: there is no file of the other side, hemi-{lacking[0]}.'
            ' Add it; it may be empty if there is nothing to see.'
        )
    else:
        found.masks.append(MaskFiles(image, tuple(sides[side] for side in sorted(sides))))
    return ''


def collect_coeruleus(
    images: Mapping[str, Sequence[ImageRef]],
    folder: Path,
    protocol: Protocol,
    merged: Path | None,
    threshold_mm: float = DISAGREEMENT_MM,
) -> Annotations:
    """Find and check the masks, or points of the images without a mask.

    The points of an image with a mask are its centres of mass (Duennwald et al. 2021, section
    2.3), whatever other points there are.

    Parameters
    ----------
    images : mapping
        For each participant's label the images of this run.
    folder : Path
        Masks, see `find_masks`, or points, see `tmsprep.bids.annotations.find_annotations`.
    protocol : Protocol
        The targets, left then right.
    merged : Path or None
        Directory for masks that are made of a left and a right file; None writes nothing, and such
        masks are named by the left file.
    threshold_mm : float
        Largest distance between raters of points who agree.

    Raises
    ------
    BidsError
        If there is neither a mask nor a file of points, or each image has several masks.
    """
    folder = Path(folder)
    found = find_masks(images, folder)
    problems, notes = defaultdict(list, found.problems), list(found.notes)
    examples = _masked(found.masks, merged, problems, notes)
    _add_points(images, folder, protocol, threshold_mm, examples, problems, notes)
    if not examples and not problems:
        raise BidsError(f'{folder}: no mask and no file of points here. Name masks {_FORM}.')
    stems = [image.stem for several in images.values() for image in several]
    silent = [
        image.stem
        for several in images.values()
        for image in several
        if image.stem not in examples and image.subject not in problems
    ]
    if silent:
        notes.append(f'Images without mask or points, not used: {shorten(silent)}.')
    in_order = [examples[stem] for stem in stems if stem in examples]
    return Annotations(in_order, dict(problems), notes)


def _masked(
    masks: Sequence[MaskFiles],
    merged: Path | None,
    problems: dict[str, list[str]],
    notes: list[str],
) -> dict[str, Example]:
    """Check every mask; a problem of one does not concern the others."""
    examples: dict[str, Example] = {}
    holders: dict[bytes, MaskFiles] = {}
    for files in masks:
        subject = files.image.subject
        try:
            example, centres, remark = _checked(files, merged)
        except (*_UNREADABLE, ValueError) as error:
            problems[subject].append(_named(error, files))
            continue
        other = holders.setdefault(centres.tobytes(), files)
        if other.image.subject != subject:
            # Either may be the copy.
            examples.pop(other.image.stem, None)
            problems[subject].append(
                f'{files.paths[0]}: the same mask as {other.paths[0]}, of another '
                'participant, so neither is used. Keep the one in its right place.'
            )
            continue
        examples[example.name] = example
        if remark:
            notes.append(remark)
    return examples


def _named(error: Exception, files: MaskFiles) -> str:
    text = str(error)
    if any(str(path) in text for path in (*files.paths, files.image.path)):
        return text
    return f'{files.paths[0]}: cannot be read as a mask ({text}). Write it again.'


def _checked(files: MaskFiles, merged: Path | None) -> tuple[Example, np.ndarray, str]:
    """Check one mask against its image; return the example, the centres and perhaps a remark.

    Raises
    ------
    ValueError
        If it cannot be the mask of this image; the message names the file and the cure.
    """
    labels, affine = read_labels(files.paths)
    shape, image_affine, _ = read_geometry(files.image.path)
    _check_place(files, labels, np.linalg.inv(image_affine) @ affine, shape)
    centres = centres_of_mass(labels, affine)
    empty = np.isnan(centres).any(axis=1)
    if empty.all():
        raise ValueError(
            f'{files.paths[0]}: nothing is marked, so there is nothing to train on. Mark a side, '
            'or remove the file.'
        )
    if not empty.any() and centres[0, 0] >= centres[1, 0]:
        raise ValueError(
            f'{files.paths[0]}: label 1 (left) lies {centres[0, 0] - centres[1, 0]:.1f} mm to the '
            'right of label 2 (right). Exchange the labels; left is the left of the participant.'
        )
    mask = files.paths[0]
    if len(files.paths) > 1 and merged is not None:
        mask = Path(merged) / f'{files.image.stem}_dseg.nii.gz'
        with atomic_path(mask) as partial:
            nib.save(nib.Nifti1Image(labels, affine), partial)
    example = Example(files.image.stem, files.image.path, mask=mask)
    if not empty.any():
        return example, centres, ''
    side = ('left', 'right')[int(np.flatnonzero(empty)[0])]
    remark = f'{files.paths[0].name}: nothing is marked on the {side}; it counts as missing.'
    return example, centres, remark


def read_labels(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Read one file with both sides, or a left and a right one.

    Returns
    -------
    labels : numpy.ndarray
        Shape (n, m, k), uint8: 1 left, 2 right.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.

    Raises
    ------
    ImageError
        If a file is missing, damaged or not NIfTI.
    ValueError
        If a file is no mask, or if two files differ in their grid or have voxels in common.
    """
    if len(paths) == 1:
        return read_mask(paths[0])
    left, right = (load_nifti(path) for path in paths)
    if left.shape != right.shape or not np.allclose(left.affine, right.affine, atol=1e-3):
        raise ValueError(
            f'{paths[1]}: lies on another grid than {paths[0].name}. Write both on one grid.'
        )
    sides = [np.asanyarray(image.dataobj) > 0 for image in (left, right)]
    both = np.count_nonzero(sides[0] & sides[1])
    if both:
        raise ValueError(
            f'{paths[1]}: {both} voxels are marked in {paths[0].name} too. A voxel belongs to one '
            'side; correct one of the files.'
        )
    return (sides[0] + 2 * sides[1]).astype(np.uint8), left.affine


def _check_place(
    files: MaskFiles, labels: np.ndarray, to_image: np.ndarray, shape: tuple[int, int, int]
) -> None:
    """Refuse a mask that is not where the image is."""
    voxels = apply_affine(to_image, np.argwhere(labels))
    low, high = -0.5 - _MARGIN, np.array(shape) - 0.5 + _MARGIN
    outside = ~((voxels >= low) & (voxels <= high)).all(axis=1)
    if outside.any():
        raise ValueError(
            f'{files.paths[0]}: {outside.mean():.0%} of what is marked lies outside of '
            f'{files.image.path.name}. It was drawn in another image, or its header was lost. '
            'Draw it in this one, or move it into its scanner frame.'
        )


def _add_points(
    images: Mapping[str, Sequence[ImageRef]],
    folder: Path,
    protocol: Protocol,
    threshold_mm: float,
    examples: dict[str, Example],
    problems: dict[str, list[str]],
    notes: list[str],
) -> None:
    """Add the images that have points only."""
    if not annotated_names(folder):
        return
    given = collect_annotated(images, folder, protocol, threshold_mm)
    masked = set(examples)
    for example in given.examples:
        if example.name in masked or example.points is None:
            continue
        subject = example.participant[4:]
        points = example.points.reindex(protocol.labels)
        if points.found.all() and points.coordinates[0, 0] >= points.coordinates[1, 0]:
            left, right = protocol.labels
            problems[subject].append(
                f'{example.image.name}: the point {left} lies to the right of {right}. Exchange '
                'the labels; left is the left of the participant.'
            )
            continue
        examples[example.name] = Example(example.name, example.image, points=points)
    both = [example.name for example in given.examples if example.name in masked]
    if both:
        notes.append(f'Masks go before points, which are not used: {shorten(both)}.')
    for subject, messages in given.problems.items():
        problems[subject] += messages
    # What is said there of images without points is not so for those with a mask.
    notes += [note for note in given.notes if not note.startswith('Images without points')]
