"""Find the images of a run, and say why others are not used."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tmsprep.bids.filters import matches, wanted_entities
from tmsprep.bids.foreign import foreign_images
from tmsprep.bids.index import Listing, has_database, list_images, special
from tmsprep.bids.names import (
    BidsError,
    ImageRef,
    labels_in,
    may_be,
    natural_key,
    refused_labels,
    shorten,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageQuery:
    """Which images of a data set are asked for.

    Parameters
    ----------
    bids_dir : Path
        Absolute path of the data set.
    participants, sessions : tuple of str
        Labels without 'sub-' and 'ses-'; empty for all.
    filters : mapping
        As `tmsprep.bids.filters.load_filters` returns them.
    database_dir : Path, optional
        Directory of a PyBIDS database of the whole data set.
    """

    bids_dir: Path
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    database_dir: Path | None = None


class FoundImages(NamedTuple):
    """Images of a data set that fit a query.

    Parameters
    ----------
    images : dict
        For each participant of the query, in order, the images, perhaps none.
    problems : dict
        For each participant with a problem, one message per problem. Participants without an
        image have at least one.
    refused : dict
        Label that breaks the rule of BIDS, made safe to show, to a message. Such participants are
        neither among the images nor among the problems: nothing can be named after them. Empty if
        the query names its participants.
    """

    images: dict[str, list[ImageRef]]
    problems: dict[str, list[str]]
    refused: dict[str, str]


def find_images(query: ImageQuery) -> FoundImages:
    """Find the images that a query asks for.

    Parameters
    ----------
    query : ImageQuery
        A database is made only by a query for all participants.

    Returns
    -------
    FoundImages
        A problem of one participant does not affect the others. A broken link counts as an image;
        reading it fails later.

    Raises
    ------
    BidsError
        If a requested participant does not exist, or there are none.
    """
    participants = choose_participants(query.bids_dir, query.participants)
    images: dict[str, list[ImageRef]] = {label: [] for label in participants}
    wanted = wanted_entities(query.filters)
    listing = _list_images(query, participants)
    paths, problems = listing.files, defaultdict(list, listing.problems)
    for path in paths:
        subject = path.relative_to(query.bids_dir).parts[0].removeprefix('sub-')
        try:
            image = ImageRef.from_path(query.bids_dir, path)
        except BidsError as error:
            if _could_match(path, wanted['suffix']):
                problems[subject].append(str(error))
            continue
        in_session = not query.sessions or image.session in query.sessions
        if not in_session or not matches(image, wanted):
            continue
        kind = special(path)
        if kind:
            problems[subject].append(f'{path}: {kind}, not a file. Put the image in its place.')
        else:
            images[subject].append(image)
    for label in participants:
        images[label].sort(key=lambda image: natural_key(image.stem))
        _drop_namesakes(images[label], problems[label])
        problems[label] += _not_read(query, label, wanted, paths)
        if not images[label] and not problems[label]:
            problems[label].append(_nothing_found(query, label, wanted, paths))
    found = {label: messages for label, messages in problems.items() if messages}
    return FoundImages(images, found, {} if query.participants else refused_labels(query.bids_dir))


def _list_images(query: ImageQuery, participants: list[str]) -> Listing:
    """List images; only a query for all participants makes a database.

    Parallel jobs for a few participants need none, and would all make it at the same time.
    """
    database = query.database_dir
    make = not query.participants
    if database is not None and not make and not has_database(database):
        logger.info(
            '%s: no PyBIDS database here yet, and none is needed for a few participants. Run once '
            'without --participant-label (--dry-run is enough) to have it made',
            database,
        )
    return list_images(query.bids_dir, participants, database, make_database=make)


def choose_participants(bids_dir: Path, wanted: Sequence[str] = ()) -> list[str]:
    """List the requested participants, or all, in natural order.

    The data set is listed only for all participants, or for a message: in large data sets on
    network disks that takes long, and a job for three participants does not need it.

    Raises
    ------
    BidsError
        If a participant does not exist; the message lists those that do.
    """
    folders = [bids_dir / f'sub-{label}' for label in wanted]
    if folders and all(may_be(f, Path.is_dir) and f.parent == bids_dir for f in folders):
        return sorted(set(wanted), key=natural_key)
    there = labels_in(bids_dir, 'sub')
    if not there:
        refused = ' '.join(refused_labels(bids_dir).values())
        raise BidsError(
            f'{bids_dir}: no participants; there is no folder named sub-<label>. {refused}'
        )
    missing = [label for label in wanted if label not in there]
    if missing:
        raise BidsError(
            f'--participant-label: no {shorten(missing)} in {bids_dir}; there are: '
            f'{shorten(there)}'
        )
    return [label for label in there if not wanted or label in wanted]


def _could_match(path: Path, suffix: object) -> bool:
    """Tell whether a file with an invalid name was meant, by its suffix alone."""
    wanted = suffix if isinstance(suffix, list) else [suffix]
    actual = path.name.rpartition('_')[2].split('.')[0]
    return any(item in (None, '*') or str(item) in actual for item in wanted)


def _not_read(
    query: ImageQuery, label: str, wanted: Mapping[str, Any], paths: list[Path]
) -> Iterator[str]:
    """Name the images that are asked for and there, but in a format that is not read."""
    readable = {path.with_name(path.name.split('.')[0]) for path in paths}
    for path, stem, message in foreign_images(query.bids_dir / f'sub-{label}'):
        try:
            image = ImageRef.from_path(query.bids_dir, path.with_name(f'{stem}.nii.gz'))
        except BidsError:
            fits = _could_match(path, wanted['suffix'])
        else:
            in_session = not query.sessions or image.session in query.sessions
            fits = in_session and matches(image, wanted)
        if fits and path.with_name(stem) not in readable:
            yield f'{path}: {message}'


def _drop_namesakes(images: list[ImageRef], problems: list[str]) -> None:
    """Remove images whose outputs would have the same names."""
    by_stem: dict[str, list[ImageRef]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    for same in by_stem.values():
        if len(same) > 1:
            problems.append(
                f'{" and ".join(str(image.path) for image in same)}: these would share the names '
                'of their outputs. Remove or rename one, or choose by --bids-filter-file.'
            )
            for image in same:
                images.remove(image)


def _nothing_found(
    query: ImageQuery, label: str, wanted: Mapping[str, Any], paths: list[Path]
) -> str:
    """Say where an image was looked for, with which filters, and what is there instead."""
    folder = query.bids_dir / f'sub-{label}'
    asked = ', '.join(f'{key} = {_in_words(value)}' for key, value in wanted.items())
    if query.sessions:
        asked += f', session = {_in_words(list(query.sessions))}'
    there = [str(p.relative_to(folder)) for p in paths if p.is_relative_to(folder)]
    there = there or sorted(str(p.relative_to(folder)) for p in folder.rglob('*.nii*'))
    stale = ''
    if query.database_dir is not None:
        stale = f' If {query.database_dir} is older than the data, delete it.'
    return (
        f'sub-{label}: no image found. Looked in {folder}/[ses-*/]anat for {asked}. '
        f'Images there: {shorten(there) or "none"}. Sessions there: '
        f'{shorten(labels_in(folder, "ses")) or "none"}. Choose others by --bids-filter-file or '
        f'--session-label, or check the names.{stale}'
    )


def _in_words(value: object) -> str:
    words = {'None': 'absent', '*': 'any'}
    texts = [str(item) for item in (value if isinstance(value, list) else [value])]
    return ' or '.join(words.get(text, text) for text in texts)
