"""The level export: files for navigators and reports again, from the outputs alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.bids.description import check_out_dir
from tmsprep.bids.names import BidsError, Layout, labels_in, natural_key, shorten
from tmsprep.cli.warned import Warned
from tmsprep.derivatives.earlier import EXPERT, REVIEWED
from tmsprep.export.files import export_subject
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.reports.collect import ImageResults, collect_subject
from tmsprep.reports.first_screen import recommended
from tmsprep.reports.participant import write_participant_report
from tmsprep.review import doubtful_statuses, take_reviews
from tmsprep.running import EXIT_FAILED, EXIT_OK, EXIT_WARNED
from tmsprep.running.locks import TAKEN, lock_labels
from tmsprep.text import counted

if TYPE_CHECKING:
    from tmsprep.config import ExportConfig

logger = logging.getLogger('tmsprep')


def run_level(config: ExportConfig) -> int:
    """Write the files for navigators of participants whose tables are there; then the reports.

    Tables of reviewers that were put beside those of the methods are taken up first.

    Parameters
    ----------
    config : ExportConfig
        Settings of the run.

    Returns
    -------
    int
        0 if everything was done, 1 if something failed, 3 if a target carries a warning and that
        was asked for.

    Raises
    ------
    BidsError
        If the folder is not one of this package, or holds no tables of a chosen participant.
    """
    check_out_dir(config.out_dir)
    protocol = load_protocol(config.protocol)
    layout = Layout(config.out_dir, protocol.name)
    subjects = _subjects(layout, config.participant_label)
    if config.dry_run:
        for subject in subjects:
            logger.info('sub-%s: would be exported', subject)
        logger.info('dry run: nothing was written')
        return EXIT_OK
    failed: dict[str, str] = {}
    statuses: dict[str, dict[str, dict[str, str]]] = {}
    with lock_labels(config.out_dir / 'logs', subjects) as held:
        for subject in subjects:
            if subject not in held:
                failed[subject] = TAKEN
                continue
            problems = list(_export(layout, protocol, subject))
            images = _collect(layout, protocol, subject)
            problems = problems or list(_without_points(images, layout, protocol))
            if problems:
                failed[subject] = '; '.join(problems)
            statuses |= {image.name: _statuses(image, layout) for image in images}
    warned = Warned.of(statuses)
    code = _conclude(failed, len(subjects), warned)
    return EXIT_WARNED if code == EXIT_OK and warned.named and config.fail_on_warning else code


def _conclude(failed: Mapping[str, str], total: int, warned: Warned) -> int:
    if warned.named:
        logger.warning('%s', warned.in_words)
    for subject, message in failed.items():
        logger.error('sub-%s failed: %s', subject, message)
    people = counted(total, 'participant')
    if failed:
        words = len(failed), people, warned.named_above
        logger.error('tmsprep finished with errors: %d of %s failed%s', *words)
        return EXIT_FAILED
    logger.info('tmsprep finished without errors: %s%s', people, warned.named_above)
    return EXIT_OK


def _subjects(layout: Layout, wanted: tuple[str, ...]) -> list[str]:
    """List the participants with tables of the protocol, in natural order.

    Raises
    ------
    BidsError
        If there are none, or a chosen one has none.
    """
    tables = f'**/*_protocol-{layout.label}_desc-*_targets.tsv'
    folders = labels_in(layout.out_dir, 'sub')
    known = [s for s in folders if any((layout.out_dir / f'sub-{s}').glob(tables))]
    unknown = [label for label in wanted if label not in known]
    if unknown or not known:
        which = f'--participant-label: no tables of {shorten(unknown)}' if unknown else 'no tables'
        raise BidsError(
            f'{layout.out_dir}: {which} of the protocol {layout.protocol!r} here; there are: '
            f'{shorten(known) or "none"}. Run the participant level first'
        )
    return sorted(set(wanted) or known, key=natural_key)


def _export(layout: Layout, protocol: Protocol, subject: str) -> Iterator[str]:
    """Export one participant; give what went wrong, in words."""
    try:
        images = [results.image for results in collect_subject(layout, subject, protocol).images]
        yield from take_reviews(layout, protocol, images)
    except Exception as error:
        logger.debug('', exc_info=True)
        yield f'review: {str(error) or repr(error)}'
    yield from write_files(layout, protocol, subject)


def _collect(layout: Layout, protocol: Protocol, subject: str) -> Sequence[ImageResults]:
    """Collect what was exported; nothing if it fails, as it did for the export, which said so."""
    try:
        return collect_subject(layout, subject, protocol).images
    except OSError:
        return ()


def _without_points(
    images: Iterable[ImageResults], layout: Layout, protocol: Protocol
) -> Iterator[str]:
    """Say of which images there are no points in the files for navigators."""
    exported = [image for image in images if layout.navigation(image.image).is_dir()]
    if not exported:
        yield 'no table of a method that could be read, so there is nothing to export'
    for image in exported:
        if not any(one.usable for one in recommended(image.every_table, protocol)):
            yield f'{image.name}: no point may be used'


def _statuses(image: ImageResults, layout: Layout) -> dict[str, dict[str, str]]:
    """Collect statuses of points of methods, of the user's own, and of doubtful decisions."""
    found = {
        name: {row['label']: row['status'] for row in table.rows}
        for name, table in image.every_table.items()
        if name not in (EXPERT, REVIEWED)
    }
    decided = doubtful_statuses(layout, image.image) if REVIEWED in image.tables else {}
    return {**found, REVIEWED: decided}


def write_files(
    layout: Layout, protocol: Protocol, subject: str, bids_dir: Path | None = None
) -> Iterator[str]:
    """Write the files for navigators of one participant, and the report.

    Parameters
    ----------
    layout : Layout
        Output folder and protocol.
    protocol : Protocol
        The targets.
    subject : str
        Label of the participant, without ``sub-``.
    bids_dir : Path, optional
        The data set; where the outputs say it is, if not given.

    Yields
    ------
    str
        What went wrong, in words.
    """
    try:
        for folder in export_subject(layout, protocol, subject, bids_dir):
            logger.info('files for navigators: %s', folder)
    except Exception as error:
        logger.debug('', exc_info=True)
        yield f'files for navigators: {str(error) or repr(error)}'
    try:
        path = write_participant_report(layout, protocol, subject, bids_dir)
    except Exception as error:
        logger.debug('', exc_info=True)
        path = layout.report(subject)
        # That of an earlier run must not pass for one of this run.
        path.unlink(missing_ok=True)
        yield f'report: {path} could not be written: {str(error) or repr(error)}'
    else:
        logger.info('report: %s', path)
