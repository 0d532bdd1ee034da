"""Participants that are still to be run: asked by the job files in ``hpc/`` before they submit."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from tmsprep.bids import BidsError
from tmsprep.bids.collect import choose_participants, find_images
from tmsprep.bids.names import ImageRef, Layout, refused_labels
from tmsprep.cli.parser import parse_args
from tmsprep.cli.participant import ParticipantRun
from tmsprep.cli.points import own_points
from tmsprep.config import ParticipantConfig
from tmsprep.done import Work
from tmsprep.failures import read_records
from tmsprep.methods.resources import ResourceError
from tmsprep.running import EXIT_OK, EXIT_USAGE
from tmsprep.running.surroundings import open_streams
from tmsprep.text import shown


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of unfinished participants: ``participant_id`` and ``reason``, tab-separated.

    Participants whose label breaks the rule of BIDS are not in it, but named on standard error.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments of the run that is to be completed; those of the process if not given.

    Returns
    -------
    int
        0, also if nothing is done; 2 for wrong arguments.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        open_streams()
    try:
        # Nothing is localised here, so the machine that submits the jobs needs no GPU.
        config = parse_args([*arguments, '--device', 'cpu'])
        if not isinstance(config, ParticipantConfig):
            raise BidsError(f'pending takes the level participant, not {config.analysis_level}')
        if config.source is not None:
            raise BidsError('pending takes a BIDS data set, not one image')
        waiting = pending(config)
        refused = {} if config.participant_label else refused_labels(config.bids_dir)
    except (BidsError, ResourceError) as error:
        sys.stderr.write(f'tmsprep: error: {shown(error)}\n')
        return EXIT_USAGE
    for message in refused.values():
        sys.stderr.write(f'tmsprep: error: {message}\n')
    sys.stdout.write('participant_id\treason\n')
    for label, reason in waiting.items():
        sys.stdout.write(f'sub-{label}\t{shown(" ".join(reason.split()))}\n')
    return EXIT_OK


def pending(config: ParticipantConfig) -> dict[str, str]:
    """Find the participants that a run with these settings would have work with.

    A participant is done if there is no record of a failure of the protocol, a report, and nothing
    left of any image; see `tmsprep.done.Work.left`. One without a usable point is named on the
    standard error, as the same run would not find it another time either.

    Parameters
    ----------
    config : ParticipantConfig
        Settings of the run.

    Returns
    -------
    dict
        Label to the reason, in the order of the data set.

    Raises
    ------
    BidsError
        If a requested participant does not exist, or there are none.
    ResourceError
        If weights or an atlas are missing or made for other targets.
    """
    run = ParticipantRun.of(config)
    resources = run.resources()
    work = run.work(resources, own_points(config, run.protocol, run.methods, resources))
    labels = choose_participants(config.bids_dir, config.participant_label)
    reasons = {label: next(_without_images(run.layout, label), '') for label in labels}
    finished = tuple(label for label, reason in reasons.items() if not reason)
    if finished:
        # Images are looked up only where it matters, which is slow for many participants.
        found = find_images(replace(config.image_query, participants=finished))
        for label, images in found.images.items():
            left = (reason for image in images for reason in work.left(image))
            reasons[label] = next(chain(found.problems.get(label, ()), left), '')
            if not reasons[label]:
                _name_useless(label, images, work)
    return {label: reason for label, reason in reasons.items() if reason}


def _name_useless(label: str, images: Sequence[ImageRef], work: Work) -> None:
    for image in images:
        for message in work.without_points(image):
            sys.stderr.write(f'tmsprep: sub-{label}: {message}; not run again\n')


def _without_images(layout: Layout, label: str) -> Iterator[str]:
    """Say what is missing of a participant, as far as it can be seen without the images."""
    for record in read_records(layout, label):
        yield f'failed: {record.node}: {record.message}'
    if not layout.report(label).is_file():
        started = (layout.out_dir / f'sub-{label}').exists()
        yield 'stopped before the report' if started else 'not run'


if __name__ == '__main__':
    sys.exit(main())
