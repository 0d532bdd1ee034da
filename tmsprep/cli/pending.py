"""Who is still to be run: asked by the job files in ``hpc/`` before they submit anything."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.cli.parser import parse_args
from tmsprep.running import EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from tmsprep.bids import ImageRef
    from tmsprep.config import RunConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of who is not done: ``participant_id`` and ``reason``, tab-separated.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments of the run that is to be completed; those of the process if not given.

    Returns
    -------
    int
        0, also if nobody is done; 2 for wrong arguments.
    """
    from tmsprep.bids import BidsError

    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Nothing is localised here, so the machine that submits the jobs needs no GPU.
        waiting = pending(parse_args([*arguments, '--device', 'cpu']))
    except BidsError as error:
        sys.stderr.write(f'tmsprep: error: {error}\n')
        return EXIT_USAGE
    sys.stdout.write('participant_id\treason\n')
    for label, reason in waiting.items():
        sys.stdout.write(f'sub-{label}\t{" ".join(reason.split())}\n')
    return EXIT_OK


def pending(config: RunConfig) -> dict[str, str]:
    """Find the participants that a run like this would have work with.

    Somebody is done if there is no record of a failure, a report, and for each image and method a
    table that is younger than the image and in which no row says ``failed``.

    Parameters
    ----------
    config : RunConfig
        Settings of the run, level 'participant'.

    Returns
    -------
    dict
        Label to the reason, in the order of the data set.

    Raises
    ------
    BidsError
        If a participant that was asked for does not exist, or nobody does.
    """
    from tmsprep.bids.collect import choose_participants, survey

    people = choose_participants(config.bids_dir, config.participant_label)
    coeruleus = _is_coeruleus(config)
    reasons = {label: _without_images(config.out_dir, label, coeruleus) for label in people}
    finished = tuple(label for label, reason in reasons.items() if not reason)
    if finished:
        # Images are looked up only where it matters, which is slow for very many people.
        found = survey(replace(config, participant_label=finished))
        for label, images in found.images.items():
            problems = chain(found.problems.get(label, ()), _in_tables(config, images))
            reasons[label] = next(problems, '')
    return {label: reason for label, reason in reasons.items() if reason}


def _is_coeruleus(config: RunConfig) -> bool:
    from tmsprep.protocols import load_protocol

    return 'coreunet' in load_protocol(config.protocol).methods


def _without_images(out_dir: Path, label: str, coeruleus: bool) -> str:
    """Say what is missing of somebody, as far as it can be seen without knowing the images."""
    from tmsprep.failures import read_records
    from tmsprep.methods.duennwald2021.report import coeruleus_report_path

    for record in read_records(out_dir, label):
        # An image that cannot be used is a failure of either protocol.
        if record['node'] == 'input' or record['node'].startswith('coeruleus_') == coeruleus:
            return f'failed: {record["node"]}: {record["message"]}'
    report = out_dir / f'sub-{label}.html'
    if coeruleus:
        report = coeruleus_report_path(out_dir, label)
    if report.is_file():
        return ''
    return 'stopped before the report' if (out_dir / f'sub-{label}').exists() else 'not run'


def _in_tables(config: RunConfig, images: Sequence[ImageRef]) -> Iterator[str]:
    from tmsprep.bids import derivative_path

    tables = [(method, 'targets') for method in config.localizers]
    if _is_coeruleus(config):
        tables = [('coreunet', 'targets'), *((how, 'segmentation') for how in config.segmentation)]
    for image in images:
        for desc, suffix in tables:
            table = derivative_path(
                config.out_dir, image, desc=desc, suffix=suffix, extension='.tsv'
            )
            if not table.is_file():
                yield f'no {table.name}'
            elif _modified(image.path) > table.stat().st_mtime:
                yield f'{image.path.name} is younger than {table.name}'
            elif _has_failed(table):
                yield f'{table.name} says failed'


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        # A link to an image that was taken away again after it had been used.
        return 0.0


def _has_failed(table: Path) -> bool:
    with table.open(encoding='utf-8', newline='') as file:
        return any(row.get('status') == 'failed' for row in csv.DictReader(file, delimiter='\t'))


if __name__ == '__main__':
    sys.exit(main())
