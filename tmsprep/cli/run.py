"""The command: from arguments to an exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep import __version__
from tmsprep.cli.parser import parse_args
from tmsprep.running.exit_codes import EXIT_FAILED, EXIT_USAGE
from tmsprep.running.resources import explain_shortage

if TYPE_CHECKING:
    from tmsprep.bids import Survey
    from tmsprep.config import RunConfig

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
        process from within the parser), 128 plus the signal if one stopped it.
    """
    config = parse_args(argv)
    if argv is not None:
        # Called from a program, which is not to be doubled.
        return run(config)
    from tmsprep.running.supervise import supervise

    return supervise(lambda: run(config), lambda line: _report_end(config, line))


def run(config: RunConfig) -> int:
    """Do what the settings say; the last line logged agrees with the returned exit code."""
    from tmsprep.bids import BidsError, survey

    log_dir = log_dir_of(config)
    try:
        _start_logging(config, log_dir)
        logger.info('tmsprep %s, run %s', __version__, config.run_id)
        if _is_coeruleus(config):
            from tmsprep.cli.coeruleus import run_coeruleus

            return run_coeruleus(config, log_dir)
        if config.analysis_level == 'group':
            from tmsprep.cli.group import run_group

            return run_group(config, log_dir)
        return _run_level(config, survey(config), log_dir)
    except BidsError as error:
        logger.error('%s', error)
        return EXIT_USAGE
    except Exception as error:
        logger.debug('', exc_info=True)
        message = explain_shortage(str(error) or repr(error), [config.out_dir, config.work_dir])
        logger.error('tmsprep stopped: %s: %s (-vv shows where)', type(error).__name__, message)
        return EXIT_FAILED


def log_dir_of(config: RunConfig) -> Path:
    """Folder of the log, the settings and the crash files of a run."""
    return config.out_dir / 'logs' / config.run_id


def _report_end(config: RunConfig, line: str) -> None:
    """Log the last line of a run that could not log it itself."""
    # A full disk takes no log, but the terminal does.
    with contextlib.suppress(OSError):
        _start_logging(config, log_dir_of(config))
    logger.error('%s', line)


def _is_coeruleus(config: RunConfig) -> bool:
    from tmsprep.protocols import load_protocol

    return 'coreunet' in load_protocol(config.protocol).methods


def _run_level(config: RunConfig, found: Survey, log_dir: Path) -> int:
    if not config.dry_run and not config.reports_only:
        config.to_toml(log_dir / 'config.toml')
    if config.analysis_level == 'train':
        from tmsprep.cli.train import run_train

        return run_train(config, found, log_dir)
    if config.analysis_level == 'crossval':
        from tmsprep.cli.crossval import run_crossval

        return run_crossval(config, found, log_dir)
    from tmsprep.cli.participant import run_participant

    return run_participant(config, found, log_dir)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Go on if the disk is full: the terminal has the line as well."""


def _start_logging(config: RunConfig, log_dir: Path) -> None:
    """Log to the terminal and, unless nothing is to be written, into a file of this run."""
    logger.handlers.clear()
    logger.setLevel(logging.DEBUG if config.verbose > 1 else logging.INFO)
    logger.propagate = False
    _add_handler(logging.StreamHandler(sys.stderr))
    if not (config.dry_run or config.check_annotations):
        log_dir.mkdir(parents=True, exist_ok=True)
        _add_handler(_LogFile(log_dir / 'tmsprep.log', encoding='utf-8'))


def _add_handler(handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    logger.addHandler(handler)
