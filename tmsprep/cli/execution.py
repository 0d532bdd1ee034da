"""Run a Nipype workflow as the settings say."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.atomic import write_text
from tmsprep.config import RunConfig

if TYPE_CHECKING:
    from nipype import Node, Workflow

StatusCallback = Callable[['Node', str], None]

POLL_SECONDS = 0.05
"""Nipype's own two seconds per wave of nodes would be most of the run time."""


def prepare_nipype(config: RunConfig, crash_dir: Path) -> None:
    """Set Nipype up; must come before the first import of its interfaces.

    It writes nowhere but into the working and output folders (the home folder of a container is
    often read-only) and does not ask the network for newer versions.
    """
    os.environ['NIPYPE_NO_ET'] = '1'
    folder = config.work_dir / '.nipype'
    os.environ['NIPYPE_CONFIG_DIR'] = str(folder)
    # In a file, because worker processes and batch jobs start from it as well.
    write_text(folder / 'nipype.cfg', _as_ini(_nipype_settings(config, crash_dir)))
    from nipype import logging as nipype_logging

    # Nipype reports each crash with its traceback; ours are in the records and the report.
    if config.verbose == 0:
        nipype_logging.getLogger('nipype.workflow').setLevel(logging.CRITICAL)


def _nipype_settings(config: RunConfig, crash_dir: Path) -> dict[str, dict[str, str]]:
    level = ('ERROR', 'WARNING', 'INFO')[min(config.verbose, 2)]
    return {
        'execution': {
            'check_version': 'false',
            'crashdump_dir': str(crash_dir),
            'crashfile_format': 'txt',
            'hash_method': 'timestamp',
            'poll_sleep_duration': str(POLL_SECONDS),
            'remove_unnecessary_outputs': 'false',
            'stop_on_first_crash': str(config.stop_on_first_crash).lower(),
        },
        'logging': {
            'workflow_level': level,
            'interface_level': level,
            'utils_level': level,
        },
    }


def _as_ini(settings: dict[str, dict[str, str]]) -> str:
    lines = []
    for section, values in settings.items():
        # A percent sign would start an interpolation.
        rows = (f'{key} = {value.replace("%", "%%")}' for key, value in values.items())
        lines += [f'[{section}]', *rows, '']
    return '\n'.join(lines)


def plugin_settings(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the Nipype plugin: the user's file, or what the machine has."""
    if config.use_plugin is not None:
        import yaml

        settings = yaml.safe_load(config.use_plugin.read_text(encoding='utf-8')) or {}
        # Nipype's Slurm plugin looks its user up by this name alone.
        os.environ.setdefault('LOGNAME', str(os.getuid()))
        return settings['plugin'], dict(settings.get('plugin_args', {}))
    if config.nprocs == 1:
        return 'Linear', {}
    return 'MultiProc', {
        'n_procs': config.nprocs,
        'memory_gb': config.mem_gb,
        'raise_insufficient': False,
        'mp_context': 'forkserver',
        'n_gpu_procs': 1 if config.device == 'cuda' else 0,
    }


def run_workflow(workflow: Workflow, config: RunConfig, on_status: StatusCallback) -> str:
    """Run everything that can be run.

    Parameters
    ----------
    workflow : Workflow
        Of all images.
    config : RunConfig
        Settings of the run.
    on_status : callable
        Called with a node and 'start', 'end' or 'exception'.

    Returns
    -------
    str
        Why Nipype stopped or which nodes crashed; empty if all ran.
    """
    plugin, arguments = plugin_settings(config)
    # Nipype collects garbage in each turn of its loop; what is loaded by now never becomes any.
    gc.collect()
    gc.freeze()
    try:
        workflow.run(plugin=plugin, plugin_args={**arguments, 'status_callback': on_status})
    except RuntimeError as error:
        return str(error) or repr(error)
    return ''
