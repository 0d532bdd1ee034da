"""Nipype's plugins: which one runs the steps, with which arguments, and what Slurm needs."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.running.machine import Execution
from tmsprep.running.system import user_name
from tmsprep.text import MOST_SETTINGS, parse_yaml, read_text

if TYPE_CHECKING:
    from nipype import Node, Workflow

LOCAL_PLUGINS = ('Linear', 'MultiProc', 'LegacyMultiProc')

#: Plugins that submit each step as a job, wait for it and return its results.
BATCH_PLUGINS = ('SLURM', 'SGE', 'PBS', 'LSF', 'OAR', 'Condor')

#: Nipype's own two seconds per wave of steps would be most of the run time.
LOCAL_POLL_SECONDS = 0.05

#: A batch plugin asks the queue for every job in every turn, which must not burden a cluster.
BATCH_POLL_SECONDS = 5.0

#: Memory that the smallest step asks Slurm for, MB: Python and Nipype alone take 300.
MIN_MB = 600

_CPUS, _MEMORY, _GPUS = ('--cpus', '-c'), ('--mem',), ('--gres', '--gpus', '-G')
_OUTPUT, _FOLDER = ('--output', '-o'), ('--chdir', '-D')


def read_plugin(path: Path) -> tuple[str, dict[str, Any]]:
    """Read and check the file of --use-plugin.

    Parameters
    ----------
    path : Path
        YAML with ``plugin`` and perhaps ``plugin_args``.

    Returns
    -------
    tuple
        Name and arguments of the plugin.

    Raises
    ------
    ValueError
        If the file cannot be used; the message names it and the cure.
    """
    try:
        settings = parse_yaml(read_text(path, MOST_SETTINGS))
    except (OSError, ValueError) as error:
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


def plugin_settings(execution: Execution) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the Nipype plugin: the user's file, or what the machine has.

    Raises
    ------
    ValueError
        If the user's file cannot be used, or its plugin not here; the message says why.
    """
    path = execution.use_plugin
    if path is not None:
        plugin, arguments = read_plugin(path)
        if plugin == 'SLURM':
            prepare_slurm(path, execution.work_dir)
            arguments = find_template(path, arguments)
        return plugin, arguments
    if execution.nprocs == 1:
        return 'Linear', {}
    return 'MultiProc', {
        'n_procs': execution.nprocs,
        'memory_gb': execution.mem_gb,
        'raise_insufficient': False,
        'n_gpu_procs': 1 if execution.device == 'cuda' else 0,
    }


def poll_seconds(use_plugin: Path | None) -> float:
    """Time for which the plugin sleeps between two looks at its steps, s."""
    if use_plugin is not None and read_plugin(use_plugin)[0] in BATCH_PLUGINS:
        return BATCH_POLL_SECONDS
    return LOCAL_POLL_SECONDS


def prepare_slurm(plugin_file: Path, work_dir: Path) -> None:
    """Check what Nipype's Slurm plugin needs, and set the user name where it looks for it.

    Parameters
    ----------
    plugin_file : Path
        The file of --use-plugin, for messages.
    work_dir : Path
        Directory from which jobs are submitted.

    Raises
    ------
    ValueError
        If jobs cannot be submitted from here; the message says why.
    """
    if shutil.which('sbatch') is None:
        raise ValueError(
            f'--use-plugin {plugin_file}: there is no sbatch here. Start the command where '
            'jobs may be submitted, not inside a container; or use the job files in hpc/'
        )
    if re.search(r'\s', str(work_dir)):
        raise ValueError(
            f'--work-dir {work_dir}: Nipype cannot submit jobs from a folder with spaces '
            'in its name; give another one with -w'
        )
    if not os.environ.get('LOGNAME'):
        # Nipype makes the jobs' names of it.
        os.environ['LOGNAME'] = user_name()


def find_template(path: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Find the first lines of each job beside the file that names them.

    The plugin looks for them in the current folder, which may be a data set from elsewhere.

    Parameters
    ----------
    path : Path
        The file of --use-plugin.
    arguments : dict
        Arguments of the plugin.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    template = arguments.get('template')
    if template is None or str(template).startswith('#!'):
        return arguments
    if (path.parent / template).is_file():
        return {**arguments, 'template': str(path.parent / template)}
    raise ValueError(
        f'--use-plugin {path}: no file {path.parent / template}, which template names. Write the '
        'first lines of each job into it, or into template itself, from "#!/bin/bash" on'
    )


def ask_slurm(workflow: Workflow, arguments: dict[str, Any]) -> None:
    """Turn the CPUs and the memory of each node into options of sbatch.

    The user's own ``sbatch_args`` for memory, CPUs, GPUs or the log take precedence.

    Parameters
    ----------
    workflow : Workflow
        Its nodes get ``plugin_args``.
    arguments : dict
        Arguments of the plugin.
    """
    own = arguments.get('sbatch_args', '')
    logs = Path(workflow.base_dir) / workflow.name / 'batch'
    for node in workflow._get_all_nodes():
        words = ' '.join([*_wanted(node, shlex.split(own), logs), own]).strip()
        node.plugin_args = {**node.plugin_args, 'sbatch_args': words, 'overwrite': True}


def _wanted(node: Node, own: list[str], logs: Path) -> list[str]:
    """List the options for a node that the user has not given."""
    wanted = [
        # The job would start where the command was started, and read settings that lie there.
        (_FOLDER, f'--chdir={logs}'),
        (_CPUS, f'--cpus-per-task={node.n_procs}'),
        (_MEMORY, f'--mem={max(MIN_MB, math.ceil(1000 * node.mem_gb))}M'),
        # Nipype names the log itself, unless it meets "-o" anywhere in the options.
        (_OUTPUT, f'--output={logs}/slurm-%j.out'),
    ]
    if node.inputs.get().get('use_gpu') is True:
        wanted.append((_GPUS, '--gpus=1'))
    return [option for names, option in wanted if not any(w.startswith(names) for w in own)]
