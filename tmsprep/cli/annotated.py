"""What train and crossval share: the annotated images, and how a run ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tmsprep.atomic import atomic_path
from tmsprep.bids import FoundImages, find_images
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.config import CrossvalConfig, TrainConfig
from tmsprep.derivatives.earlier import located_points
from tmsprep.evaluation.head_checks import far_from_methods
from tmsprep.group.issues import Issue, in_common
from tmsprep.learning.annotations import Annotations
from tmsprep.learning.examples import Example
from tmsprep.methods import methods_of
from tmsprep.methods.base import Method
from tmsprep.methods.learner import Learner
from tmsprep.methods.resources import ResourceError
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.running import EXIT_FAILED, EXIT_OK
from tmsprep.tables import read_json
from tmsprep.text import counted

logger = logging.getLogger('tmsprep')

_LEVELS = {'error': logging.ERROR, 'warning': logging.WARNING, 'note': logging.INFO}


@dataclass(frozen=True)
class AnnotatedRun:
    """A run that learns from annotated images.

    Parameters
    ----------
    config : TrainConfig or CrossvalConfig
        Settings.
    layout : Layout
        Names of the outputs.
    method : str
        Name of the method that is trained.
    learner : Learner
        Its learner.
    examples : list of Example
        One per annotated image.
    images : dict
        Name of each to its image.
    problems : dict
        Participant's label to what was wrong, one message per problem.
    """

    config: TrainConfig | CrossvalConfig
    layout: Layout
    method: str
    learner: Learner
    examples: list[Example]
    images: dict[str, ImageRef]
    problems: dict[str, list[str]]

    @property
    def data(self) -> str:
        """Origin of images and annotations, in words."""
        config, marked = self.config, any(example.mask for example in self.examples)
        assert config.annotations is not None
        folder = config.annotations.name
        if marked:
            return f'{data_set_name(config)}; masks or points from {folder}'
        threshold = f'{config.consensus_threshold:g}'
        return f'{data_set_name(config)}; points from {folder}, raters within {threshold} mm'

    def complete(self) -> list[Example]:
        """Return the examples with what else the method needs."""
        config = self.config
        return self.learner.complete(
            self.examples, self.images, config.derivatives, config.work_dir / 'masks'
        )

    def describe(self) -> int:
        """Say what would be done, for --dry-run; return the exit code."""
        for example in self.examples:
            logger.info('%s: %s', example.image, self.learner.describe(example))
        return conclude(self.problems, 'dry run: nothing was written', 'dry run')


def find_annotated(config: TrainConfig | CrossvalConfig) -> AnnotatedRun:
    """Find the annotated images, and log what is wrong with others.

    Raises
    ------
    BidsError
        If there are no annotations.
    ResourceError
        If no method of the protocol learns, or weights to start from cannot be used.
    """
    protocol = load_protocol(config.protocol)
    chosen = config.localizers if isinstance(config, TrainConfig) else ()
    method, learner = learner_of(methods_of(protocol, chosen), protocol, config.options)
    learner.check()
    found = find_images(config.image_query)
    assert config.annotations is not None
    given = learner.collect(
        found.images,
        config.annotations,
        config.consensus_threshold,
        None if config.dry_run else config.work_dir / 'masks',
    )
    problems = {**given.problems, **{who: [why] for who, why in found.refused.items()}}
    _log_problems(problems, given, found)
    layout = Layout(config.out_dir, protocol.name)
    if not config.dry_run and len(given.agreements):
        _write_agreements(config, given)
    images = {image.stem: image for several in found.images.values() for image in several}
    _warn_of_far_points(given.examples, images, layout, protocol)
    used = {images[example.name].subject for example in given.examples}
    masks = sum(example.mask is not None for example in given.examples)
    points = len(given.examples) - masks
    logger.info(
        '%spoints for %s of %s; %s without any',
        f'masks for {counted(masks, "image")}, ' if masks else '',
        counted(points, 'image'),
        counted(len(used), 'participant'),
        counted(len(set(found.images) - used - set(given.problems)), 'participant'),
    )
    return AnnotatedRun(config, layout, method, learner, given.examples, images, problems)


def learner_of(
    methods: Sequence[Method], protocol: Protocol, options: Mapping[str, object]
) -> tuple[str, Learner]:
    """Return the first of some methods of a protocol that learns, and its learner.

    Raises
    ------
    ResourceError
        If there is none.
    """
    for method in methods:
        learner = method.learner(protocol, options)
        if learner is not None:
            return method.name, learner
    names = ', '.join(method.name for method in methods)
    raise ResourceError(f'protocol {protocol.name}: none of its methods ({names}) is trained')


def _log_problems(
    problems: Mapping[str, Sequence[str]], given: Annotations, found: FoundImages
) -> None:
    for note in given.notes:
        logger.warning('%s', note)
    for subject, messages in problems.items():
        for message in messages:
            logger.error('sub-%s: %s', subject, message)
    for subject, messages in found.problems.items():
        # Participants with annotations but no image are among the problems above.
        for message in messages:
            logger.warning('sub-%s: not used: %s', subject, message)


def _warn_of_far_points(
    examples: Sequence[Example], images: Mapping[str, ImageRef], layout: Layout, protocol: Protocol
) -> None:
    """Compare the points with those of the methods, where the outputs have some of the image."""
    names = [method.name for method in methods_of(protocol)]
    for example in examples:
        if example.points is None:
            continue
        located = located_points(layout, images[example.name], names)
        for finding in far_from_methods(example.points, located):
            logger.warning('%s, points of raters: %s', example.name, finding.message)


def _write_agreements(config: TrainConfig | CrossvalConfig, given: Annotations) -> None:
    """Keep the agreement of the raters with the log of the run."""
    with atomic_path(config.log_dir / 'agreements.tsv') as partial:
        given.agreements.to_csv(partial, sep='\t', index=False, na_rep='n/a')


def data_set_name(config: TrainConfig | CrossvalConfig) -> str:
    """Return what the data set calls itself, else the name of its directory."""
    description = read_json(config.bids_dir / 'dataset_description.json')
    return description.get('Name') or config.bids_dir.resolve().name


def log_issues(issues: Iterable[Issue]) -> None:
    """Log issues, those that several participants have in common once."""
    for severity, who, message in in_common(issues):
        logger.log(_LEVELS[severity], '%s: %s', who, message)


def conclude(
    problems: Mapping[str, Sequence[str]], done: str, what: str = 'tmsprep finished'
) -> int:
    """Log the last line, and return the exit code.

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
        '%s with errors in the images or points of %s, named above: %s',
        what,
        counted(len(problems), 'participant'),
        names,
    )
    return EXIT_FAILED
