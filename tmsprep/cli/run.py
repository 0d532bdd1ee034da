"""The command: from arguments to an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep import __version__
from tmsprep.cli.exit_codes import EXIT_FAILED, EXIT_USAGE
from tmsprep.cli.parser import parse_args

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
        process from within the parser).
    """
    config = parse_args(argv)
    return run(config)


def run(config: RunConfig) -> int:
    """Do what the settings say; the last line logged agrees with the returned exit code."""
    from tmsprep.bids import BidsError, survey

    log_dir = config.out_dir / 'logs' / config.run_id
    _start_logging(config, log_dir)
    try:
        if config.analysis_level == 'group':
            from tmsprep.cli.group import run_group

            return run_group(config, log_dir)
        return _run_level(config, survey(config), log_dir)
    except BidsError as error:
        logger.error('%s', error)
        return EXIT_USAGE
    except Exception as error:
        logger.debug('', exc_info=True)
        logger.error('tmsprep stopped: %s: %s (-vv shows where)', type(error).__name__, error)
        return EXIT_FAILED


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


def _start_logging(config: RunConfig, log_dir: Path) -> None:
    """Log to the terminal and, unless nothing is to be written, into a file of this run."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if not (config.dry_run or config.check_annotations):
        log_dir.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_dir / 'tmsprep.log', encoding='utf-8'))
    for handler in handlers:
        handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    logger.handlers[:] = handlers
    logger.setLevel(logging.DEBUG if config.verbose > 1 else logging.INFO)
    logger.propagate = False
    logger.info('tmsprep %s, run %s', __version__, config.run_id)
