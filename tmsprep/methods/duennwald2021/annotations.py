"""The masks or points of the raters, checked."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.atomic import atomic_path
from tmsprep.bids.annotations import annotated_names
from tmsprep.bids.names import BidsError, ImageRef, shorten
from tmsprep.evaluation.masks import centres_of_mass
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.imaging.labels import read_mask
from tmsprep.imaging.read import load_nifti, read_geometry
from tmsprep.learning.annotations import Annotations, collect_annotated
from tmsprep.learning.examples import Example, participant_of
from tmsprep.methods.duennwald2021.masks import FORM, MaskFiles, find_masks
from tmsprep.methods.duennwald2021.volumes import LABELS
from tmsprep.protocols import Protocol

_UNREADABLE = (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError)
_SIDES = ('left', 'right')
#: Voxels of the image by which a mask may reach over its edge.
_MARGIN = 1.0


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
        With the targets `LABELS`.
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
        raise BidsError(f'{folder}: no mask and no file of points here. Name masks {FORM}.')
    stems = [image.stem for several in images.values() for image in several]
    bare = [stem for stem in stems if stem not in examples]
    silent = [stem for stem in bare if participant_of(stem)[4:] not in problems]
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
                f'{files.paths[0]}: the very same mask as {other.paths[0]}, of another '
                'participant, so neither is used. Find out whose it is.'
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
    labels, affine = _read(files)
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
    side = _SIDES[int(np.flatnonzero(empty)[0])]
    remark = f'{files.paths[0].name}: nothing is marked on the {side}; it counts as missing.'
    return example, centres, remark


def _read(files: MaskFiles) -> tuple[np.ndarray, np.ndarray]:
    """Labels and affine of one file with both, or of a left and a right one."""
    if len(files.paths) == 1:
        return read_mask(files.paths[0])
    left, right = (load_nifti(path) for path in files.paths)
    if left.shape != right.shape or not np.allclose(left.affine, right.affine, atol=1e-3):
        raise ValueError(
            f'{files.paths[1]}: lies on another grid than {files.paths[0].name}. Write both on '
            'one grid.'
        )
    sides = [np.asanyarray(image.dataobj) > 0 for image in (left, right)]
    both = np.count_nonzero(sides[0] & sides[1])
    if both:
        raise ValueError(
            f'{files.paths[1]}: {both} voxels are marked in {files.paths[0].name} too. A voxel '
            'belongs to one side; correct one of the files.'
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
        points = example.points.reindex(LABELS)
        if points.found.all() and points['LLC'][0] >= points['RLC'][0]:
            problems[subject].append(
                f'{example.image.name}: the point LLC lies to the right of RLC. Exchange the '
                'labels; left is the left of the participant.'
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
