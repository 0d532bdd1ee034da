"""The levels of protocol locus-coeruleus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmsprep.config import RunConfig


def run_coeruleus(config: RunConfig, log_dir: Path) -> int:
    """Do what the settings say for the locus coeruleus.

    Parameters
    ----------
    config : RunConfig
        Settings of the run; its protocol is one of network 'coreunet'.
    log_dir : Path
        Of this run.

    Returns
    -------
    int
        As `tmsprep.cli.run.main`.
    """
    if config.analysis_level == 'group':
        from tmsprep.cli.coeruleus_group import run_coeruleus_group

        return run_coeruleus_group(config, log_dir)
    from tmsprep.bids import survey

    found = survey(config)
    if not config.dry_run and not config.reports_only:
        config.to_toml(log_dir / 'config.toml')
    if config.analysis_level == 'train':
        from tmsprep.cli.coeruleus_train import run_coeruleus_train

        return run_coeruleus_train(config, found, log_dir)
    if config.analysis_level == 'crossval':
        from tmsprep.cli.coeruleus_crossval import run_coeruleus_crossval

        return run_coeruleus_crossval(config, found, log_dir)
    from tmsprep.cli.coeruleus_participant import run_coeruleus_participant

    return run_coeruleus_participant(config, found, log_dir)
