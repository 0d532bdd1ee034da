"""Which images of whom are localised, and why the others are not."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tmsprep.bids.filters import matches, t1w_query
from tmsprep.bids.index import has_database, list_images
from tmsprep.bids.names import BidsError, ImageRef, labels_in, natural_key, shorten
from tmsprep.config import RunConfig

logger = logging.getLogger(__name__)


class Survey(NamedTuple):
    """What a data set holds for one run.

    Parameters
    ----------
    images : dict
        For each participant of the run, in order, the T1w images, perhaps none.
    problems : dict
        For each participant with something wrong, one message per problem. Whoever has no image
        has at least one message.
    """

    images: dict[str, list[ImageRef]]
    problems: dict[str, list[str]]


def collect_t1w(config: RunConfig) -> dict[str, list[ImageRef]]:
    """Find the T1w images of each participant of a run; see `survey`."""
    return survey(config).images


def survey(config: RunConfig) -> Survey:
    """Find the T1w images of each participant of a run, and what stands in the way of others.

    Parameters
    ----------
    config : RunConfig
        Its data set, participants, sessions and filters.

    Returns
    -------
    Survey
        A problem of one participant leaves the others alone. A link that leads nowhere counts as
        an image here; whoever reads it says what to do.

    Raises
    ------
    BidsError
        If a requested participant does not exist, or nobody does.
    """
    participants = choose_participants(config.bids_dir, config.participant_label)
    images: dict[str, list[ImageRef]] = {label: [] for label in participants}
    problems: dict[str, list[str]] = defaultdict(list)
    query = t1w_query(config.bids_filters)
    paths = _list_images(config, participants)
    for path in paths:
        folder = path.relative_to(config.bids_dir).parts[0].removeprefix('sub-')
        try:
            image = ImageRef.from_path(config.bids_dir, path)
        except BidsError as error:
            if _could_match(path, query):
                problems[folder].append(str(error))
            continue
        in_session = not config.session_label or image.session in config.session_label
        if in_session and matches(image, query):
            images[folder].append(image)
    for label in participants:
        images[label].sort(key=lambda image: natural_key(image.stem))
        _drop_namesakes(images[label], problems[label])
        if not images[label] and not problems[label]:
            problems[label].append(_nothing_found(config, label, query, paths))
    return Survey(images, {label: messages for label, messages in problems.items() if messages})


def _list_images(config: RunConfig, participants: list[str]) -> list[Path]:
    """List images; a database is made by a run over everybody only.

    Jobs for a few people each need none, and all of them would make it at the same time.
    """
    database = config.bids_database_dir
    make = not config.participant_label
    if database is not None and not make and not has_database(database):
        logger.info(
            '%s: no PyBIDS database here yet, and none is needed for a few people. Run once '
            'without --participant-label (--dry-run is enough) to have it made',
            database,
        )
    return list_images(config.bids_dir, participants, database, make_database=make)


def choose_participants(bids_dir: Path, wanted: tuple[str, ...] = ()) -> list[str]:
    """List the participants to work on: those wanted, or everybody; in natural order.

    The data set is looked through only for everybody, or for a message: on a network disk of many
    people that takes long, and a job for three of them need not know the others.

    Raises
    ------
    BidsError
        If somebody is not there; the message says who is.
    """
    homes = [bids_dir / f'sub-{label}' for label in wanted]
    if homes and all(home.is_dir() and home.parent == bids_dir for home in homes):
        return sorted(set(wanted), key=natural_key)
    there = labels_in(bids_dir, 'sub')
    if not there:
        raise BidsError(f'{bids_dir}: no participants; there is no folder named sub-<label>')
    missing = [label for label in wanted if label not in there]
    if missing:
        raise BidsError(
            f'--participant-label: no {shorten(missing)} in {bids_dir}; there are: '
            f'{shorten(there)}'
        )
    return [label for label in there if not wanted or label in wanted]


def _could_match(path: Path, query: dict) -> bool:
    """Tell whether a file with a wrong name was meant, by its suffix alone."""
    wanted = query['suffix'] if isinstance(query['suffix'], list) else [query['suffix']]
    suffix = path.name.rpartition('_')[2].split('.')[0]
    return any(item in (None, '*') or str(item) in suffix for item in wanted)


def _drop_namesakes(images: list[ImageRef], problems: list[str]) -> None:
    """Take out images whose outputs would have the same names."""
    by_stem: dict[str, list[ImageRef]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    for twins in by_stem.values():
        if len(twins) > 1:
            problems.append(
                f'{" and ".join(str(image.path) for image in twins)}: these would share the names '
                'of their outputs. Remove or rename one, or choose by --bids-filter-file.'
            )
            for image in twins:
                images.remove(image)


def _nothing_found(config: RunConfig, label: str, query: dict, paths: list[Path]) -> str:
    """Say where a T1w was looked for, with which filters, and what is there instead."""
    home = config.bids_dir / f'sub-{label}'
    asked = ', '.join(f'{key} = {_in_words(value)}' for key, value in query.items())
    if config.session_label:
        asked += f', session = {_in_words(list(config.session_label))}'
    there = [str(p.relative_to(home)) for p in paths if p.is_relative_to(home)]
    there = there or sorted(str(p.relative_to(home)) for p in home.rglob('*.nii*'))
    stale = ''
    if config.bids_database_dir is not None:
        stale = f' If {config.bids_database_dir} is older than the data, delete it.'
    return (
        f'sub-{label}: no T1w image. Looked in {home}/[ses-*/]anat for {asked}. '
        f'Images there: {shorten(there) or "none"}. Sessions there: '
        f'{shorten(labels_in(home, "ses")) or "none"}. Choose others by --bids-filter-file or '
        f'--session-label, or check the names.{stale}'
    )


def _in_words(value: object) -> str:
    items = value if isinstance(value, list) else [value]
    words = {None: 'absent', '*': 'any'}
    return ' or '.join(words.get(item, str(item)) for item in items)
