"""The command: from arguments to an exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from tmsprep import __version__
from tmsprep.bids import BidsError
from tmsprep.cli.parser import parse_args
from tmsprep.config import GroupConfig, ImageConfig, ParticipantConfig, RunConfig
from tmsprep.files import make_private
from tmsprep.intake import IntakeError
from tmsprep.running import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tmsprep.running.machine import explain_shortage
from tmsprep.running.supervise import supervise
from tmsprep.running.surroundings import leave_folder, open_streams
from tmsprep.text import printable, shown

logger = logging.getLogger('tmsprep')


def main(argv: Sequence[str] | None = None) -> int:
    """Run tmsprep.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    int
        0 if everything was done, 1 if something failed, 2 for wrong arguments (which end the
        process from within the parser) or files, 3 for warnings if asked for, 128 plus the
        signal if one stopped it.
    """
    if argv is not None:
        # Called from a program, which must not be forked or moved.
        return run(parse_args(argv))
    open_streams()
    config = parse_args()
    leave_folder()
    return supervise(lambda: run(config), lambda line: _log_end(config, line))


def run(config: RunConfig) -> int:
    """Run an analysis level; the last line of the log agrees with the exit code."""
    from tmsprep.methods.resources import ResourceError

    try:
        _log_to_terminal(config)
        taken = _take_image(config)
        _log_to_file(config)
        logger.info('tmsprep %s, run %s', __version__, config.run_id)
        if taken:
            logger.info('%s', taken)
            if config.dry_run:
                return EXIT_OK
        for note in config.notes:
            logger.warning('%s', note)
        level = import_module(f'tmsprep.cli.{config.analysis_level}')
        return level.run_level(_in_private(config))
    except (BidsError, ResourceError, IntakeError) as error:
        logger.error('%s', error)
        return EXIT_USAGE
    except Exception as error:
        logger.debug('', exc_info=True)
        folders = [config.out_dir]
        if isinstance(config, ImageConfig):
            folders.append(config.work_dir)
        message = explain_shortage(str(error) or repr(error), folders)
        logger.error('tmsprep stopped: %s: %s (-vv shows where)', type(error).__name__, message)
        return EXIT_FAILED


def _take_image(config: RunConfig) -> str:
    """Put an image that is given in place of a data set into one; '' if none is given."""
    if not isinstance(config, ParticipantConfig) or config.source is None:
        return ''
    from tmsprep.cli.intake import take_image
    from tmsprep.imaging.scanner_frame import ImageError

    try:
        return take_image(config)
    except ImageError as error:
        raise IntakeError(str(error)) from error


def _in_private(config: RunConfig) -> RunConfig:
    """Let a run that computes put all its files into a folder of this user alone."""
    computes = not (config.dry_run or getattr(config, 'reports_only', False))
    if isinstance(config, ImageConfig) and computes:
        return replace(config, work_dir=make_private(config.work_dir))
    return config


def _log_end(config: RunConfig, line: str) -> None:
    """Log the last line of a run whose process was stopped."""
    # With a full disk the line is shown on the terminal alone.
    with contextlib.suppress(OSError):
        _log_to_terminal(config)
        _log_to_file(config)
    logger.error('%s', line)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Continue if the disk is full: the terminal shows the line as well."""


def _log_to_terminal(config: RunConfig) -> None:
    logger.handlers.clear()
    logger.setLevel(logging.DEBUG if config.verbose > 1 else logging.INFO)
    logger.propagate = False
    _add_handler(logging.StreamHandler(sys.stderr))


def _log_to_file(config: RunConfig) -> None:
    """Log to a file in the run's log directory as well, unless the run writes nothing."""
    only_checks = isinstance(config, GroupConfig) and config.check_annotations
    if not (config.dry_run or only_checks):
        config.log_dir.mkdir(parents=True, exist_ok=True)
        _add_handler(_LogFile(config.log_dir / 'tmsprep.log', encoding='utf-8'))


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        """Keep names of files and labels from controlling the terminal or looking like a line."""
        record.message = shown(record.message).replace('\n', '\n    ')
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """Do the same to a traceback."""
        return printable(super().formatException(ei), keep='\n')


def _add_handler(handler: logging.Handler) -> None:
    handler.setFormatter(_Formatter('%(asctime)s %(levelname)s %(message)s'))
    logger.addHandler(handler)
