"""The fair opponent of what is trained: the atlas with offsets from other participants."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.names import shorten
from tmsprep.evaluation.errors import AXES, CONSENSUS
from tmsprep.evaluation.offsets import LEAST, OFFSET, by_participant, mean_of_others
from tmsprep.evaluation.template import MNI, MNI_FROM
from tmsprep.group.analysis import Group
from tmsprep.group.issues import Issue
from tmsprep.group.points import in_columns, in_order
from tmsprep.protocols import Protocol
from tmsprep.tables import read_json
from tmsprep.template import template_of
from tmsprep.text import counted, printable

logger = logging.getLogger(__name__)

#: What is done without usable transforms.
IN_IMAGE = 'the offset is along the axes of the image instead'

Move = Callable[[np.ndarray, Path], np.ndarray]


@dataclass(eq=False)
class RegisteredImage:
    """One image with points of the registration and of the raters.

    Parameters
    ----------
    name, participant : str
        Such as 'sub-01_ses-A' and 'sub-01'.
    atlas : str
        Name of the atlas in the names of transforms.
    key : str
        Tells atlases apart, also those of the same name.
    points, reference : numpy.ndarray
        Shape (n, 3), mm, RAS+, scanner frame of the image: of the method, and the consensus.
    given_offsets : str
        Name of the file of ``--atlas-offsets`` by which the points were moved; '' without one.
    in_atlas : numpy.ndarray or None
        Shape (n, 3), mm, RAS+: the consensus in the atlas; None if there is no usable transform.
    new, new_in_atlas : numpy.ndarray
        Shape (n, 3), mm: the points with offset, as `points`, and in the atlas.
    statuses : numpy.ndarray
        Shape (n,): keys of `tmsprep.evaluation.offsets.STATUSES`.
    """

    name: str
    participant: str
    atlas: str
    key: str
    points: np.ndarray
    reference: np.ndarray
    given_offsets: str = ''
    in_atlas: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.new = self.points.copy()
        self.new_in_atlas = np.full_like(self.points, np.nan)
        self.statuses = np.full(len(self.points), 'not_shifted', dtype=object)

    @property
    def subject(self) -> str:
        """Label of the participant, without 'sub-'."""
        return self.participant.removeprefix('sub-')

    def take(self, status: str, points: np.ndarray) -> None:
        """Take new points where they are known and the method has one."""
        taken = np.isfinite(points + self.points).all(axis=1)
        self.new[taken], self.statuses[taken] = points[taken], status


def with_offsets(name: str, group: Group, move: Move) -> Group:
    """Add the method's points with the mean offset of the other participants.

    The reference points of the others are moved to the atlas by their own registrations and
    averaged; the mean is moved to the image by its own. That is the point of the atlas plus the
    mean offset. Without usable transforms the mean offset of the others along the axes of their
    images is added. The participant that is judged has no part in either.

    Parameters
    ----------
    name : str
        Name of the method.
    group : Group
        With a consensus; without one nothing is added.
    move : callable
        Moves points, shape (n, 3), mm, RAS+, by a file, as `TransformReader.move`.
    """
    images = list(registered_images(name, group))
    if not images:
        return group
    group = group.with_issues(
        _moved_before(name, image) for image in images if image.given_offsets
    )
    people = len({image.participant for image in images})
    if people <= LEAST:
        message = (
            f'{name}{OFFSET}: left out; it needs points of the registration and of raters in '
            f'{LEAST + 1} participants, and there are {people}'
        )
        return group.with_issues([Issue('', message, 'note')])
    logger.info('%s%s: by the registrations of %s', name, OFFSET, counted(len(images), 'image'))
    issues = list(to_atlas(name, images, group, move))
    _average(images)
    issues += _from_atlas(name, images, group, move)
    _shift_in_images(images)
    issues += _unshifted(name, images, group.request.protocol.labels)
    request = group.request
    tables = [_rows(name, image, request.protocol) for image in images]
    points = in_order([group.points, *tables], request.protocol.labels, request.names)
    return replace(group, points=points).with_issues(issues)


def registered_images(name: str, group: Group) -> Iterator[RegisteredImage]:
    """Find the images with a point of the method and a consensus for the same target."""
    labels, layout = group.request.protocol.labels, group.request.layout
    located, references = (_places(group.points, m, labels) for m in (name, CONSENSUS))
    for image, points in located.items():
        reference = references.get(image)
        if reference is None or not np.isfinite(points + reference).any():
            continue
        sidecar = read_json(layout.table(group.images[image], name).with_suffix('.json'))
        key = str(sidecar.get('Atlas'))
        # Without an atlas in the sidecar no transform has a name like this.
        atlas = group.atlases.get((image, name), 'unknown')
        given = sidecar.get('AtlasOffsets')
        moved_by = printable(given.get('File', '?')) if isinstance(given, dict) else ''
        yield RegisteredImage(image, image.split('_')[0], atlas, key, points, reference, moved_by)


def _moved_before(name: str, image: RegisteredImage) -> Issue:
    message = (
        f'{name}: its points have the offsets of {image.given_offsets}; if those were learnt from '
        'points of the same participants, its errors are too small'
    )
    return Issue(image.subject, message, 'warning')


def _places(points: pd.DataFrame, method: str, labels: Sequence[str]) -> dict[str, np.ndarray]:
    """Points of one method by image: shape (n, 3), in the order of the labels."""
    own = points[points['method'] == method]
    return {
        str(image): rows.set_index('label')[AXES].reindex(list(labels)).to_numpy(np.float64)
        for image, rows in own.groupby('image', sort=False)
    }


def _move(
    image: RegisteredImage,
    points: np.ndarray,
    spaces: tuple[str, str],
    group: Group,
    move: Move,
) -> np.ndarray:
    """Move points, shape (n, 3), NaN where missing, by a registration among the outputs.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged.
    """
    names = {'from': spaces[0], 'to': spaces[1], 'mode': 'image'}
    path = group.request.layout.derivative(group.images[image.name], 'xfm', '.h5', **names)
    moved, known = np.full_like(points, np.nan), np.isfinite(points).all(axis=1)
    moved[known] = move(points[known], path)
    return moved


def _unusable(image: RegisteredImage, name: str, error: Exception, then: str = IN_IMAGE) -> Issue:
    absent = isinstance(error, FileNotFoundError)
    why = 'the outputs lack the transforms of the registration' if absent else str(error)
    message = f'{name}{OFFSET}: {why}; {then}'
    return Issue(image.subject, message, 'note' if absent else 'warning')


def to_atlas(
    name: str,
    images: Sequence[RegisteredImage],
    group: Group,
    move: Move,
    otherwise: str = IN_IMAGE,
) -> Iterator[Issue]:
    """Move the consensus of each image to the atlas; yield why it cannot be, and what is then."""
    for image in images:
        # Points move against images: this transform resamples the atlas onto the T1w.
        spaces = (image.atlas, 'T1w')
        try:
            image.in_atlas = _move(image, image.reference, spaces, group, move)
        except (FileNotFoundError, ValueError) as error:
            yield _unusable(image, name, error, otherwise)


def _average(images: Sequence[RegisteredImage]) -> None:
    """Average the consensus of the other participants in the atlas, of each atlas alone."""
    for key in dict.fromkeys(image.key for image in images):
        those = [image for image in images if image.key == key]
        places = [image.in_atlas for image in those if image.in_atlas is not None]
        people = [image.participant for image in those if image.in_atlas is not None]
        if not places:
            continue
        names, means = by_participant(np.stack(places), people)
        others = dict(zip(names, mean_of_others(means), strict=True))
        for image in those:
            if image.in_atlas is not None:
                image.new_in_atlas = others[image.participant]


def _from_atlas(
    name: str, images: Sequence[RegisteredImage], group: Group, move: Move
) -> Iterator[Issue]:
    """Move the points with offset from the atlas to each image."""
    for image in images:
        if not np.isfinite(image.new_in_atlas).any():
            continue
        try:
            points = _move(image, image.new_in_atlas, ('T1w', image.atlas), group, move)
        except (FileNotFoundError, ValueError) as error:
            image.in_atlas = None
            yield _unusable(image, name, error)
        else:
            image.take('shifted', points)


def _shift_in_images(images: Sequence[RegisteredImage]) -> None:
    """Add the mean offset of others along the axes of the image, where transforms are missing."""
    apart = np.stack([image.reference - image.points for image in images])
    names, means = by_participant(apart, [image.participant for image in images])
    others = dict(zip(names, mean_of_others(means), strict=True))
    for image in images:
        if image.in_atlas is None:
            image.take('shifted_in_image', image.points + others[image.participant])


def _unshifted(name: str, images: Sequence[RegisteredImage], labels: Sequence[str]) -> list[Issue]:
    """Say which targets lie where they lie without offset."""
    found: dict[str, list[str]] = {}
    for image in images:
        compared = np.isfinite(image.points + image.reference).all(axis=1)
        there = compared & (image.statuses == 'not_shifted')
        missing = [label for label, stays in zip(labels, there, strict=True) if stays]
        if missing:
            found.setdefault(shorten(missing), []).append(image.subject)
    return [
        Issue(
            participant,
            f'{name}{OFFSET}: {which} as by {name}, since fewer than {LEAST} other participants '
            'have a reference',
            'note',
        )
        for which, participants in found.items()
        for participant in dict.fromkeys(participants)
    ]


def _rows(name: str, image: RegisteredImage, protocol: Protocol) -> pd.DataFrame:
    """Return the points of one image, but missing ones, as rows of the group's table."""
    in_template = (image.statuses == 'shifted') & (image.atlas == template_of(protocol))
    mni = np.where(in_template[:, None], image.new_in_atlas, np.nan)
    table = pd.DataFrame(
        {
            'participant_id': image.participant,
            'image': image.name,
            'method': name + OFFSET,
            'repetition': np.nan,
            'label': protocol.labels,
            **dict(zip(AXES, image.new.T, strict=True)),
            'status': image.statuses,
            **dict(zip(MNI, mni.T, strict=True)),
            MNI_FROM: np.where(in_template, 'registration', ''),
        }
    )
    return in_columns(table.dropna(subset=AXES))
