"""What train and crossval share: the annotated people, their masks, and how a run ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tmsprep.running import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from tmsprep.bids import ImageRef, Survey
    from tmsprep.config import RunConfig
    from tmsprep.learning.annotations import Annotations
    from tmsprep.methods.baxter2021.cohort import Annotated
    from tmsprep.methods.duennwald2021.annotations import CoeruleusAnnotations
    from tmsprep.methods.duennwald2021.volumes import LabelledVolume

Person = TypeVar('Person', 'Annotated', 'LabelledVolume')

logger = logging.getLogger('tmsprep')


@dataclass(frozen=True)
class AnnotatedRun(Generic[Person]):
    """Whom a run learns from.

    Parameters
    ----------
    people : list of Annotated or LabelledVolume
        One per image.
    images : dict
        Name of each to its image.
    problems : dict
        Participant's label to what was wrong, one message per problem.
    """

    people: list[Person]
    images: dict[str, ImageRef]
    problems: dict[str, list[str]]


def collect_people(config: RunConfig, found: Survey, log_dir: Path) -> AnnotatedRun[Annotated]:
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
    run = whom_to_learn_from(annotations, found)
    if not config.dry_run:
        with atomic_path(log_dir / 'agreements.tsv') as partial:
            annotations.agreements.to_csv(partial, sep='\t', index=False, na_rep='n/a')
    used = {run.images[person.name].subject for person in run.people}
    logger.info(
        'points for %d images of %d participants; %d participants have none',
        len(run.people),
        len(used),
        len(set(found.images) - used - set(run.problems)),
    )
    return run


def whom_to_learn_from(
    given: Annotations | CoeruleusAnnotations, found: Survey
) -> AnnotatedRun[Any]:
    """Say what is wrong with annotations and images, and keep who can be learnt from.

    Parameters
    ----------
    given : Annotations or CoeruleusAnnotations
        What the raters gave.
    found : Survey
        The images.
    """
    for note in given.notes:
        logger.warning('%s', note)
    for subject, messages in given.problems.items():
        for message in messages:
            logger.error('sub-%s: %s', subject, message)
    for subject, messages in found.problems.items():
        # Whoever has annotations but no image is among the problems above.
        for message in messages:
            logger.warning('sub-%s: not used: %s', subject, message)
    images = {image.stem: image for several in found.images.values() for image in several}
    return AnnotatedRun(list(given.people), images, dict(given.problems))


def with_masks(config: RunConfig, run: AnnotatedRun[Annotated]) -> list[Annotated]:
    """Give everybody a brain mask: from --derivatives, else by brain extraction.

    Without one, a person is trained on without views of the brain alone and cut views; the log
    says so.
    """
    from tmsprep.methods.baxter2021.masks import extract_mask, find_mask

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


def describe_people(run: AnnotatedRun[Annotated]) -> int:
    """Say what would be done, for --dry-run."""
    for person in run.people:
        points = int(person.points.found.sum())
        logger.info('%s: %d of %d points', person.image, points, len(person.points))
    return conclude(run.problems, 'dry run: nothing was written', 'dry run')


def data_set_name(config: RunConfig) -> str:
    """Return what the data set calls itself, else the name of its folder."""
    description = config.bids_dir / 'dataset_description.json'
    name = config.bids_dir.resolve().name
    if description.is_file():
        name = json.loads(description.read_text(encoding='utf-8-sig')).get('Name') or name
    return name


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
