"""Which masks of the locus coeruleus belong to which image."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tmsprep.bids.annotations import is_own_output
from tmsprep.bids.filters import matches
from tmsprep.bids.names import ENTITIES, BidsError, ImageRef, natural_key, shorten
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS

_LABEL = r'[a-zA-Z0-9+]+'
_NAME = re.compile(
    rf'(?P<stem>sub-{_LABEL}(?:_[a-z]+-{_LABEL})*)_(?P<suffix>dseg|mask)\.nii(?:\.gz)?'
)
_OF_THE_MASK = ('hemi', 'desc', 'label', 'res')
_SPACES = ('T1w', 'individual', 'native', 'orig', 'scanner')
FORM = (
    'sub-<label>[_<entity>-<label>][_desc-<rater>]_dseg.nii.gz with the labels 1 (left) and 2 '
    '(right), or two files _hemi-L_..._mask.nii.gz and _hemi-R_..._mask.nii.gz'
)


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
            image = _image_of(path, entities, images)
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


def _image_of(
    path: Path, entities: Mapping[str, str], images: Mapping[str, Sequence[ImageRef]]
) -> ImageRef | None:
    """Find the image of a mask; None if the participant is not in this run."""
    space = entities.get('space', 'T1w')
    if space not in _SPACES:
        raise BidsError(
            f'{path}: this mask is in the space {space}, not in the scanner frame of the image. '
            'Move it there and name the file without space.'
        )
    own = images.get(entities['sub'])
    if own is None:
        return None
    query = {
        ENTITIES.get(key, key): label
        for key, label in entities.items()
        if key not in (*_OF_THE_MASK, 'space')
    }
    fitting = [image for image in own if matches(image, query)]
    if len(fitting) == 1:
        return fitting[0]
    names = shorten([image.path.name for image in fitting or own]) or 'none'
    what = 'fits several images' if fitting else f'fits no image of sub-{entities["sub"]}'
    raise BidsError(
        f'{path}: its name {what}: {names}. Give the file the entities (ses, acq, run, ...) of '
        'the image that it was drawn in, or choose images by --bids-filter-file.'
    )


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
            'give the folder of that one by --annotations, such as derivatives/rater1.'
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
