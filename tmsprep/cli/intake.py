"""One image in place of a data set: it is put into a small data set inside the outputs first."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tmsprep.config import ParticipantConfig
from tmsprep.files import file_sha256, make_private
from tmsprep.imaging.read import read_image
from tmsprep.intake import IntakeError, Kind, kind_of
from tmsprep.intake.dicom import convert
from tmsprep.intake.metadata import allowed
from tmsprep.intake.raw import add_image, image_of
from tmsprep.intake.series import Choice, choose
from tmsprep.protocols import load_protocol
from tmsprep.running.locks import short_lock
from tmsprep.text import counted

logger = logging.getLogger('tmsprep')


def take_image(config: ParticipantConfig) -> str:
    """Copy or convert the image of a run that was given one.

    It is done before the log file is opened: paths and descriptions of series, which may hold the
    name of a patient, are shown on the terminal alone.

    Parameters
    ----------
    config : ParticipantConfig
        Settings, with a source.

    Returns
    -------
    str
        What was done, for the log; nothing in it comes from the source.

    Raises
    ------
    tmsprep.intake.IntakeError
        If it cannot be taken.
    tmsprep.imaging.scanner_frame.ImageError
        If the file is damaged, or no image to localise in.
    """
    assert config.source is not None
    image = image_of(config.out_dir, config.participant_label[0], config.bids_filters)
    with _as_nifti(config, load_protocol(config.protocol).head != '') as (path, choice):
        original = {'SourceSHA256': file_sha256(path)}
        facts = original if choice is None else allowed(choice.series.facts)
        # An image that no run could use must not take the label of one that can be used.
        read_image(path)
        copied = add_image(path, image, config.out_dir, facts, dry_run=config.dry_run)
        if config.dry_run and copied:
            return f'dry run: would copy the image to {image.path}, and run on it'
    what = 'the image' if choice is None else f'series {choice.series.name}'
    done = f'{what} is copied to' if copied else f'{what} is the one that is already in'
    return f'{done} {image.path}'


@contextlib.contextmanager
def _as_nifti(config: ParticipantConfig, by_rule: bool) -> Iterator[tuple[Path, Choice | None]]:
    """Yield a NIfTI file, and how it was chosen if it had to be converted."""
    assert config.source is not None
    kind = kind_of(config.source)
    if kind is Kind.NIFTI:
        if config.series is not None:
            raise IntakeError('--series chooses from DICOM files, and a NIfTI file is given')
        yield config.source, None
        return
    with _private_folder(config) as folder:
        logger.info('converting the DICOM files by dcm2niix')
        found = convert(config.source, kind, folder)
        logger.info('%s in these DICOM files', counted(len(found), 'image'))
        choice = choose(found, config.series, by_rule=by_rule)
        for series in found:
            reason = choice.reasons[series.name]
            logger.info(
                'series %s (%s), %s: %s', series.name, series.description, series.grid, reason
            )
        yield choice.series.path, choice


@contextlib.contextmanager
def _private_folder(config: ParticipantConfig) -> Iterator[Path]:
    """Make a folder that nobody else can read, and delete it with all that names the patient."""
    if config.dry_run:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    home = make_private(config.work_dir)
    with short_lock(home, 'intake'):
        folder = home / 'intake'
        # A killed run has left it.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
