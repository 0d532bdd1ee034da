"""Which of Nipype's plugins runs the nodes, with which arguments."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tmsprep.config import RunConfig
from tmsprep.running.slurm import find_template, prepare_slurm

LOCAL_PLUGINS = ('Linear', 'MultiProc', 'LegacyMultiProc')
BATCH_PLUGINS = ('SLURM', 'SGE', 'PBS', 'LSF', 'OAR', 'Condor')
"""Those of Nipype that send each node as a job, wait for it and hand on what it says."""

LOCAL_POLL_SECONDS = 0.05
"""Nipype's own two seconds per wave of nodes would be most of the run time."""

BATCH_POLL_SECONDS = 5.0
"""A batch plugin asks the queue for every job in every turn (our choice)."""


def read_plugin(path: Path) -> tuple[str, dict[str, Any]]:
    """Read and check the file of --use-plugin.

    Parameters
    ----------
    path : Path
        YAML with ``plugin`` and, if need be, ``plugin_args``.

    Returns
    -------
    tuple
        Name and arguments of the plugin.

    Raises
    ------
    ValueError
        If the file cannot be used; the message names it and the cure.
    """
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'--use-plugin {path}: cannot be read as YAML: {reason}') from error
    if not isinstance(settings, dict) or 'plugin' not in settings:
        raise ValueError(
            f'--use-plugin {path}: names no plugin; the file needs a line such as "plugin: SLURM"'
        )
    unknown = sorted(str(key) for key in settings.keys() - {'plugin', 'plugin_args'})
    if unknown:
        raise ValueError(
            f'--use-plugin {path}: unknown key {unknown[0]}; the file may hold plugin and '
            'plugin_args, and what the plugin takes belongs below plugin_args'
        )
    arguments = settings.get('plugin_args') or {}
    if not isinstance(arguments, dict):
        raise ValueError(
            f'--use-plugin {path}: plugin_args must be lines of "name: value", not {arguments!r}'
        )
    _check_plugin(path, settings['plugin'], arguments)
    return settings['plugin'], dict(arguments)


def _check_plugin(path: Path, plugin: object, arguments: dict[str, Any]) -> None:
    known = (*LOCAL_PLUGINS, *BATCH_PLUGINS)
    if plugin not in known:
        hint = ' (SLURMGraph hands back no results)' if plugin == 'SLURMGraph' else ''
        raise ValueError(
            f'--use-plugin {path}: plugin {plugin!r} cannot be used{hint}; choose from '
            + ', '.join(known)
        )
    if plugin != 'SLURM':
        return
    words = arguments.get('sbatch_args', '')
    try:
        shlex.split(words)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f'--use-plugin {path}: sbatch_args must be one line of options as sbatch takes them, '
            f'such as "--time=1:00:00 --partition=short", not {words!r}'
        ) from error


def plugin_settings(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the Nipype plugin: the user's file, or what the machine has.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.

    Raises
    ------
    ValueError
        If the user's file cannot be used, or its plugin not here; the message says why.
    """
    if config.use_plugin is not None:
        plugin, arguments = read_plugin(config.use_plugin)
        if plugin == 'SLURM':
            prepare_slurm(config)
            arguments = find_template(config.use_plugin, arguments)
        return plugin, arguments
    if config.nprocs == 1:
        return 'Linear', {}
    return 'MultiProc', {
        'n_procs': config.nprocs,
        'memory_gb': config.mem_gb,
        'raise_insufficient': False,
        'n_gpu_procs': 1 if config.device == 'cuda' else 0,
    }


def poll_seconds(config: RunConfig) -> float:
    """How long the plugin sleeps between two looks at its nodes.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    """
    if config.use_plugin is not None and read_plugin(config.use_plugin)[0] in BATCH_PLUGINS:
        return BATCH_POLL_SECONDS
    return LOCAL_POLL_SECONDS
