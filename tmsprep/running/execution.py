"""Run Nipype workflows."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.atomic import remove_partials, write_text
from tmsprep.bids import write_dataset_description
from tmsprep.bids.description import NO_LINKS
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.failures import record_crashes
from tmsprep.protocols import Protocol
from tmsprep.running.locks import short_lock
from tmsprep.running.machine import Execution
from tmsprep.running.plugins import ask_slurm, plugin_settings, poll_seconds
from tmsprep.running.progress import Progress

if TYPE_CHECKING:
    from nipype import Node, Workflow

logger = logging.getLogger('tmsprep')

StatusCallback = Callable[['Node', str], None]


def prepare_nipype(execution: Execution) -> None:
    """Set Nipype up; must come before the first import of its interfaces.

    It writes only to the working and output directories (the home directory of a container is
    often read-only) and does not ask the network for newer versions.
    """
    os.environ['NIPYPE_NO_ET'] = '1'
    folder = execution.work_dir / '.nipype'
    os.environ['NIPYPE_CONFIG_DIR'] = str(folder)
    # The cache of fonts; without a home directory Matplotlib would make it in each process.
    os.environ.setdefault('MPLCONFIGDIR', str(execution.work_dir / '.matplotlib'))
    # In a file, because worker processes and batch jobs start from it as well.
    write_text(folder / 'nipype.cfg', _as_ini(_nipype_settings(execution)))
    from nipype import config
    from nipype import logging as nipype_logging

    # A nipype.cfg in the current folder overrides the file.
    config.update_config(
        {
            section: {key: value.replace('%', '%%') for key, value in values.items()}
            for section, values in _nipype_settings(execution).items()
        }
    )
    # Nipype reports each crash with its traceback, which the error records hold as well.
    if execution.verbose == 0:
        nipype_logging.getLogger('nipype.workflow').setLevel(logging.CRITICAL)


def _nipype_settings(execution: Execution) -> dict[str, dict[str, str]]:
    level = ('ERROR', 'WARNING', 'INFO')[min(execution.verbose, 2)]
    return {
        'execution': {
            'check_version': 'false',
            'crashdump_dir': str(execution.log_dir),
            'crashfile_format': 'txt',
            # Its files would be shared by runs with one working directory.
            'create_report': 'false',
            'hash_method': 'content',
            # Shared disks may show a file long after its job has ended.
            'job_finished_timeout': '60',
            'poll_sleep_duration': str(poll_seconds(execution.use_plugin)),
            'remove_unnecessary_outputs': 'false',
            'stop_on_first_crash': str(execution.stop_on_first_crash).lower(),
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


def run_workflow(workflow: Workflow, execution: Execution, on_status: StatusCallback) -> str:
    """Run all nodes that can be run.

    Parameters
    ----------
    workflow : Workflow
        Workflow of all images.
    execution : Execution
        How to run it.
    on_status : callable
        Called with a node and 'start', 'end' or 'exception'.

    Returns
    -------
    str
        Why Nipype stopped or which nodes crashed; empty if all ran.
    """
    plugin, arguments = plugin_settings(execution)
    if plugin == 'SLURM':
        ask_slurm(workflow, arguments)
    arguments = {**arguments, 'status_callback': on_status}
    # Imported for any plugin: it loads those of Nipype.
    from tmsprep.running.pool import PoolPlugin

    pool = PoolPlugin(arguments) if plugin == 'MultiProc' else None
    # Nipype collects garbage in each turn of its loop; exempt what is loaded by now.
    gc.collect()
    gc.freeze()
    try:
        workflow.run(plugin=pool or plugin, plugin_args=arguments)
    except Exception as error:
        # An error of a node, of any kind, or Nipype's summary of several.
        return str(error) or repr(error)
    finally:
        if pool is not None:
            pool.close()
    return ''


def prepare_run(
    execution: Execution,
    layout: Layout,
    protocol: Protocol,
    bids_dir: Path,
    links: Mapping[str, Path] = NO_LINKS,
) -> None:
    """Describe the outputs and set Nipype up.

    Parameters
    ----------
    execution : Execution
        How workflows are run.
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    bids_dir : Path
        The data set.
    links : mapping
        Label to each further data set that the outputs are made of.
    """
    with short_lock(layout.out_dir / 'logs', 'descriptions'):
        for name in ('dataset_description.json', '.bidsignore'):
            remove_partials(layout.out_dir, name)
        write_dataset_description(layout.out_dir, bids_dir, protocol, links)
    prepare_nipype(execution)


def execute(
    workflow: Workflow,
    execution: Execution,
    layout: Layout,
    progress: Progress,
    images: Mapping[str, ImageRef],
) -> None:
    """Run a workflow and record what crashed.

    Parameters
    ----------
    workflow : Workflow
        Workflow to run.
    execution : Execution
        How to run it.
    layout : Layout
        Names of the outputs.
    progress : Progress
        Told of each node, and closed in the end.
    images : mapping
        Name of an image's workflow to the image, so that a crash is recorded with its image.

    Raises
    ------
    RuntimeError
        If Nipype stopped for a reason that concerns no single image.
    """
    log_dir = execution.log_dir
    if execution.write_graph:
        _write_graph(workflow, log_dir / 'graph.dot')
    # Not from the file, which another run with the same working directory may have replaced.
    workflow.config['execution']['crashdump_dir'] = str(log_dir)
    stopped = ''
    try:
        stopped = run_workflow(workflow, execution, progress)
    finally:
        progress.close()
        crashes = record_crashes(log_dir, layout, images)
    if stopped and not crashes:
        # Outputs of an earlier run must not pass for those of this one.
        raise RuntimeError(stopped)


def _write_graph(workflow: Workflow, path: Path) -> None:
    try:
        workflow.write_graph(str(path), graph2use='colored', simple_form=True)
    except OSError:
        # Nipype has written the description by then; only the drawing needs Graphviz.
        logger.warning('%s: install Graphviz (dot) to have it drawn as well', path)
