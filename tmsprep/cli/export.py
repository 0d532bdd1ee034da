"""The level export: files for navigators and reports again, from the outputs alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.bids.description import check_out_dir
from tmsprep.bids.names import BidsError, Layout, labels_in, natural_key, shorten
from tmsprep.export.files import export_subject
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.reports.collect import collect_subject
from tmsprep.reports.participant import write_participant_report
from tmsprep.review import take_reviews
from tmsprep.running import EXIT_FAILED, EXIT_OK
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
        0 if everything was done, 1 if something failed.

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
    failed = {}
    with lock_labels(config.out_dir / 'logs', subjects) as held:
        for subject in subjects:
            problems = list(_export(layout, protocol, subject)) if subject in held else [TAKEN]
            if problems:
                failed[subject] = '; '.join(problems)
    for subject, message in failed.items():
        logger.error('sub-%s failed: %s', subject, message)
    people = counted(len(subjects), 'participant')
    if failed:
        logger.error('tmsprep finished with errors: %d of %s failed', len(failed), people)
        return EXIT_FAILED
    logger.info('tmsprep finished without errors: %s', people)
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
        images = [results.image for results in collect_subject(layout, subject).images]
        yield from take_reviews(layout, protocol, images)
    except Exception as error:
        logger.debug('', exc_info=True)
        yield f'review: {str(error) or repr(error)}'
    problems = list(write_files(layout, protocol, subject))
    if not problems and not layout.navigations(subject):
        problems = ['no table of a method that could be read, so there is nothing to export']
    yield from problems


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
