"""What Nipype's Slurm plugin needs and does not see to itself."""

from __future__ import annotations

import getpass
import math
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.config import RunConfig

if TYPE_CHECKING:
    from nipype import Node, Workflow

MIN_MB = 600
"""Asked for the smallest step, in MB: Python and Nipype alone take 0.3 GB (our choice)."""

_CPUS, _MEMORY, _GPUS = ('--cpus', '-c'), ('--mem',), ('--gres', '--gpus', '-G')
_OUTPUT = ('--output', '-o')


def prepare_slurm(config: RunConfig) -> None:
    """Check what the plugin needs, and name the user where it looks for the name.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.

    Raises
    ------
    ValueError
        If jobs cannot be submitted from here; the message says why.
    """
    if shutil.which('sbatch') is None:
        raise ValueError(
            f'--use-plugin {config.use_plugin}: there is no sbatch here. Start the command where '
            'jobs may be submitted, not inside a container; or use the job files in hpc/'
        )
    if re.search(r'\s', str(config.work_dir)):
        raise ValueError(
            f'--work-dir {config.work_dir}: Nipype cannot submit jobs from a folder with spaces '
            'in its name; give another one with -w'
        )
    if not os.environ.get('LOGNAME'):
        # Nipype takes the jobs' names from it and has no other way.
        os.environ['LOGNAME'] = _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # The user has no name on this machine.
        return str(os.getuid())


def find_template(path: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Find the first lines of each job, which the plugin looks for in the current folder alone.

    Parameters
    ----------
    path : Path
        The file of --use-plugin; a template is looked for beside it first.
    arguments : dict
        Of the plugin.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    template = arguments.get('template')
    if template is None or str(template).startswith('#!'):
        return arguments
    for folder in (path.parent, Path.cwd()):
        if (folder / template).is_file():
            return {**arguments, 'template': str(folder / template)}
    raise ValueError(
        f'--use-plugin {path}: no file {path.parent / template}, which template names. Write the '
        'first lines of each job into it, or into template itself, from "#!/bin/bash" on'
    )


def ask_slurm(workflow: Workflow, arguments: dict[str, Any]) -> None:
    """Turn each node's processors and memory into options of sbatch.

    What the user's own ``sbatch_args`` say of memory, processors, GPUs or the log wins.

    Parameters
    ----------
    workflow : Workflow
        Whose nodes get ``plugin_args``.
    arguments : dict
        Of the plugin.
    """
    own = arguments.get('sbatch_args', '')
    logs = Path(workflow.base_dir) / workflow.name / 'batch'
    for node in workflow._get_all_nodes():
        words = ' '.join([*_wanted(node, shlex.split(own), logs), own]).strip()
        node.plugin_args = {**node.plugin_args, 'sbatch_args': words, 'overwrite': True}


def _wanted(node: Node, own: list[str], logs: Path) -> list[str]:
    """List the options for a node that the user has not given."""
    inputs = node.inputs.get()
    threads = (inputs.get(name) for name in ('itk_threads', 'threads'))
    cpus = max(node.n_procs, *(n for n in threads if isinstance(n, int)), 1)
    wanted = [
        (_CPUS, f'--cpus-per-task={cpus}'),
        (_MEMORY, f'--mem={max(MIN_MB, math.ceil(1000 * node.mem_gb))}M'),
        # Nipype names the log itself, unless it meets "-o" anywhere in the options.
        (_OUTPUT, f'--output={logs}/slurm-%j.out'),
    ]
    if inputs.get('use_gpu') is True:
        wanted.append((_GPUS, '--gpus=1'))
    return [option for names, option in wanted if not any(w.startswith(names) for w in own)]
