"""Run a Nipype workflow as the settings say."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.atomic import write_text
from tmsprep.config import RunConfig

if TYPE_CHECKING:
    from nipype import Node, Workflow

    from tmsprep.bids import T1wImage
    from tmsprep.cli.progress import Progress

logger = logging.getLogger('tmsprep')

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


def prepare_run(config: RunConfig, log_dir: Path, images: Sequence[T1wImage]) -> None:
    """Describe the outputs, set Nipype up, and forget what failed earlier.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    log_dir : Path
        Of this run; crash files go there.
    images : sequence of T1wImage
        Whose failed nodes are to be tried again.
    """
    from tmsprep.bids import write_dataset_description
    from tmsprep.failures import forget_failed_nodes

    write_dataset_description(config.out_dir, config.bids_dir)
    prepare_nipype(config, log_dir)
    for image in images:
        forget_failed_nodes(config.out_dir, config.work_dir, image)


def execute(
    workflow: Workflow,
    config: RunConfig,
    log_dir: Path,
    progress: Progress,
    images: Mapping[str, T1wImage],
) -> None:
    """Run a workflow and record what crashed.

    Parameters
    ----------
    workflow : Workflow
        What to run.
    config : RunConfig
        Settings of the run.
    log_dir : Path
        As in `prepare_run`.
    progress : Progress
        Is closed in the end.
    images : mapping
        Name of an image's workflow to the image, so that a crash is recorded with its image.

    Raises
    ------
    RuntimeError
        If something stopped that no image can be blamed for.
    """
    from tmsprep.failures import record_crashes

    if config.write_graph:
        _write_graph(workflow, log_dir / 'graph.dot')
    stopped = ''
    try:
        stopped = run_workflow(workflow, config, progress)
    finally:
        progress.close()
        crashes = record_crashes(log_dir, config.out_dir, dict(images))
    if stopped and not crashes:
        # No image can be blamed, and outputs of an earlier run must not pass for this one's.
        raise RuntimeError(stopped)


def _write_graph(workflow: Workflow, path: Path) -> None:
    try:
        workflow.write_graph(str(path), graph2use='colored', simple_form=True)
    except OSError:
        # Nipype has written the description by then; only the drawing needs Graphviz.
        logger.warning('%s: install Graphviz (dot) to have it drawn as well', path)
