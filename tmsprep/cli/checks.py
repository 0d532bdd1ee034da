"""Checks of the settings against the disk, before anything is built."""

from __future__ import annotations

import os
from pathlib import Path

from tmsprep.bids.collect import choose_participants
from tmsprep.bids.description import check_out_dir, read_description
from tmsprep.bids.filters import QUERY, check_filters
from tmsprep.bids.names import labels_in, shorten
from tmsprep.cli.places import not_an_image, single_image
from tmsprep.config import (
    CrossvalConfig,
    DataConfig,
    ImageConfig,
    ParticipantConfig,
    RunConfig,
    TrainConfig,
)
from tmsprep.files import check_private
from tmsprep.running.plugins import read_plugin


def check_paths(config: RunConfig) -> None:
    """Refuse directories, participants and sessions that cannot be used.

    Raises
    ------
    ValueError
        With one line that names the argument and the cure.
    """
    for name in (*config.folders, 'work_dir'):
        _check_text(getattr(config, name, config.out_dir))
    source = getattr(config, 'source', None)
    if source is not None:
        _check_source(source, config)
    elif isinstance(config, DataConfig):
        _check_bids_dir(config.bids_dir, validate=not config.skip_bids_validation)
    if isinstance(config, DataConfig):
        _check_out_dir(config.out_dir, config.bids_dir)
    elif not config.out_dir.is_dir():
        raise ValueError(f'{config.out_dir}: no such folder; give one with outputs of tmsprep')
    _check_annotations(config)
    if isinstance(config, ImageConfig):
        _check_work_dir(config.work_dir, config.bids_dir, config.out_dir)
        _check_files(config)
        check_filters(config.bids_filters, 'bids_filters')
        if source is None:
            _check_labels(config)


def _check_text(folder: Path) -> None:
    """Refuse a path that cannot stand in a settings file of UTF-8."""
    try:
        str(folder).encode('utf-8')
    except UnicodeEncodeError:
        raise ValueError(
            f'{folder}: this path has a byte that is not UTF-8; rename the folder, or give a '
            'link to it with another name'
        ) from None


def _check_source(source: Path, config: RunConfig) -> None:
    """Refuse outputs among DICOM files: they would be read as such the next time."""
    _check_text(source)
    if not source.is_dir():
        return
    for what, folder in (
        ('the outputs', config.out_dir),
        ('the working folder (-w)', getattr(config, 'work_dir', config.out_dir)),
    ):
        if source.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise ValueError(f'{folder}: {what} may not go into the folder of the DICOM files')


def _check_bids_dir(bids_dir: Path, validate: bool) -> None:
    if bids_dir.is_file():
        raise ValueError(f'{bids_dir}: is a file, {not_an_image(bids_dir)}')
    if not bids_dir.is_dir():
        raise ValueError(f'{bids_dir}: no such folder; the first argument is the BIDS data set')
    if not os.access(bids_dir, os.R_OK | os.X_OK):
        raise ValueError(f'{bids_dir}: this folder may not be read; check its permissions')
    if not validate:
        return
    description = bids_dir / 'dataset_description.json'
    if not description.is_file():
        raise ValueError(
            f'{bids_dir}: no dataset_description.json, so this is not the root of a BIDS data '
            f'set; add the file, or give --skip-bids-validation{single_image(bids_dir)}'
        )
    read_description(description)


def _check_out_dir(out_dir: Path, bids_dir: Path) -> None:
    out, bids = out_dir.resolve(), bids_dir.resolve()
    if out == bids:
        raise ValueError(
            f'{out_dir}: the outputs may not go into the data set itself; give another folder, '
            f'such as {bids_dir / "derivatives" / "tmsprep"}'
        )
    if bids in out.parents and out.relative_to(bids).parts[0].startswith('sub-'):
        raise ValueError(f'{out_dir}: the outputs may not go into the folder of a participant')
    _check_writable(out_dir, 'output folder')
    check_out_dir(out_dir)


def _check_work_dir(work_dir: Path, bids_dir: Path, out_dir: Path) -> None:
    work, bids = work_dir.resolve(), bids_dir.resolve()
    if work == bids or work in bids.parents or bids in work.parents:
        raise ValueError(
            f'--work-dir {work_dir}: the working folder may not be, hold or lie in the data set; '
            'give one elsewhere with -w'
        )
    if work == out_dir.resolve():
        raise ValueError(f'--work-dir {work_dir}: is the output folder; give another one with -w')
    _check_writable(work_dir, 'working folder')
    check_private(work_dir)


def _check_writable(folder: Path, what: str) -> None:
    """Check that a folder, or its nearest existing parent, can be written to."""
    there = next(p for p in (folder, *folder.parents) if p.exists() or p.is_symlink())
    if not there.is_dir():
        raise ValueError(f'{what} {folder}: {there} is not a folder')
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f'{what} {folder}: {there} may not be written to; give another folder, or in a '
            'container bind it writable'
        )


def _check_files(config: ImageConfig) -> None:
    if config.use_plugin is not None:
        read_plugin(config.use_plugin)
    database = config.bids_database_dir
    if database is not None and database.exists() and not database.is_dir():
        raise ValueError(f'--bids-database-dir: {database} is not a folder')


def _check_annotations(config: RunConfig) -> None:
    if isinstance(config, (TrainConfig, CrossvalConfig)) and config.annotations is None:
        raise ValueError(
            f'{config.analysis_level} needs --annotations DIR: a folder with one file of points '
            'per image, such as sub-01_desc-<rater>_targets.tsv (or .mrk.json, .fcsv), or masks'
        )
    if not (isinstance(config, ParticipantConfig) and config.reports_only):
        return
    if config.annotations:
        raise ValueError(
            '--reports-only uses what is in OUT_DIR, and --annotations new points that the '
            'figures would lack; leave one of them out'
        )
    if config.point or config.points:
        raise ValueError(
            '--reports-only uses what is in OUT_DIR, and --point has to be carried into the image '
            'first; leave one of them out'
        )


def _check_labels(config: ImageConfig) -> None:
    participants = choose_participants(config.bids_dir, config.participant_label)
    if not config.session_label:
        return
    if 'session' in config.bids_filters.get(QUERY, {}):
        raise ValueError('--session-label and the filter file both choose sessions; give only one')
    folders = (config.bids_dir / f'sub-{label}' for label in participants)
    there = {session for folder in folders for session in labels_in(folder, 'ses')}
    missing = [session for session in config.session_label if session not in there]
    if missing:
        raise ValueError(
            f'--session-label: no {shorten(missing)} for any of these participants; there are: '
            f'{shorten(sorted(there)) or "none"}'
        )
