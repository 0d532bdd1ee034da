"""What train and crossval share: the annotated people, their masks, and how a run ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tmsprep.cli.exit_codes import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from tmsprep.bids import Survey, T1wImage
    from tmsprep.config import RunConfig
    from tmsprep.learning.cohort import Annotated

logger = logging.getLogger('tmsprep')


class AnnotatedRun(NamedTuple):
    """Whom a run learns from.

    Parameters
    ----------
    people : list of Annotated
        One per image, with brain masks where there are any.
    images : dict
        Name of each to its image.
    problems : dict
        Participant's label to what was wrong, one message per problem.
    """

    people: list[Annotated]
    images: dict[str, T1wImage]
    problems: dict[str, list[str]]


def collect_people(config: RunConfig, found: Survey, log_dir: Path) -> AnnotatedRun:
    """Find everybody's points, say what is wrong with them, and keep the agreement of raters.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    found : Survey
        The images.
    log_dir : Path
        Of this run; gets ``agreements.tsv`` unless nothing is to be written.

    Raises
    ------
    BidsError
        If there is no file of points.
    """
    from tmsprep.atomic import atomic_path
    from tmsprep.learning.annotations import collect_annotated
    from tmsprep.protocols import load_protocol

    annotations = collect_annotated(
        found.images,
        config.annotations,
        load_protocol(config.protocol),
        config.consensus_threshold,
    )
    images = {image.stem: image for several in found.images.values() for image in several}
    for note in annotations.notes:
        logger.warning('%s', note)
    for subject, messages in annotations.problems.items():
        for message in messages:
            logger.error('sub-%s: %s', subject, message)
    for subject, messages in found.problems.items():
        # Whoever has points but no image is among the problems above.
        for message in messages:
            logger.warning('sub-%s: not used: %s', subject, message)
    if not config.dry_run:
        with atomic_path(log_dir / 'agreements.tsv') as partial:
            annotations.agreements.to_csv(partial, sep='\t', index=False, na_rep='n/a')
    people = list(annotations.people)
    used = {images[person.name].subject for person in people}
    logger.info(
        'points for %d images of %d participants; %d participants have none',
        len(people),
        len(used),
        len(set(found.images) - used - set(annotations.problems)),
    )
    return AnnotatedRun(people, images, dict(annotations.problems))


def with_masks(config: RunConfig, run: AnnotatedRun) -> list[Annotated]:
    """Give everybody a brain mask: from --derivatives, else by brain extraction.

    Without one, a person is trained on without views of the brain alone and cut views; the log
    says so.
    """
    from tmsprep.learning.masks import extract_mask, find_mask

    weights = Path(str(files('tmsprep.data'))) / 'brain_extraction.safetensors'
    people = []
    for person in run.people:
        mask = find_mask(run.images[person.name], config.derivatives)
        if mask is None:
            try:
                mask = extract_mask(person.image, weights, config.work_dir / 'masks')
            except Exception as error:
                logger.warning(
                    '%s: no brain mask, so no stripped and cut views of it are trained on '
                    '(%s). Give one through --derivatives.',
                    person.image,
                    error,
                )
        people.append(replace(person, mask=mask))
    return people


def describe_people(run: AnnotatedRun) -> int:
    """Say what would be done, for --dry-run."""
    for person in run.people:
        points = int(person.points.found.sum())
        logger.info('%s: %d of %d points', person.image, points, len(person.points))
    return conclude(run.problems, 'dry run: nothing was written', 'dry run')


def conclude(
    problems: Mapping[str, Sequence[str]], done: str, what: str = 'tmsprep finished'
) -> int:
    """Log the last line, and give the exit code.

    Parameters
    ----------
    problems : mapping
        Participant's label to messages, which were logged already.
    done : str
        The line if there are none.
    what : str
        Begins the line if there are some.
    """
    if not problems:
        logger.info('%s', done)
        return EXIT_OK
    names = ', '.join(f'sub-{subject}' for subject in problems)
    logger.error(
        '%s with errors in the images or points of %d participants, named above: %s',
        what,
        len(problems),
        names,
    )
    return EXIT_FAILED
