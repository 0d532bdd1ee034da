"""Run a Nipype workflow as the settings say."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.atomic import remove_partials, write_text
from tmsprep.config import RunConfig
from tmsprep.running.plugins import plugin_settings, poll_seconds
from tmsprep.running.slurm import ask_slurm

if TYPE_CHECKING:
    from nipype import Node, Workflow

    from tmsprep.bids import ImageRef
    from tmsprep.running.progress import Progress

logger = logging.getLogger('tmsprep')

StatusCallback = Callable[['Node', str], None]


def prepare_nipype(config: RunConfig, crash_dir: Path) -> None:
    """Set Nipype up; must come before the first import of its interfaces.

    It writes nowhere but into the working and output folders (the home folder of a container is
    often read-only) and does not ask the network for newer versions.
    """
    os.environ['NIPYPE_NO_ET'] = '1'
    folder = config.work_dir / '.nipype'
    os.environ['NIPYPE_CONFIG_DIR'] = str(folder)
    # The cache of fonts; without a home Matplotlib would make it anew in each process.
    os.environ.setdefault('MPLCONFIGDIR', str(config.work_dir / '.matplotlib'))
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
            # A page that nobody reads, in files that runs with one working folder would share.
            'create_report': 'false',
            'hash_method': 'timestamp',
            # How late a file may show on a shared disk after its job has ended (our choice).
            'job_finished_timeout': '60',
            'poll_sleep_duration': str(poll_seconds(config)),
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
    if plugin == 'SLURM':
        ask_slurm(workflow, arguments)
    arguments = {**arguments, 'status_callback': on_status}
    pool = None
    if plugin == 'MultiProc':
        from tmsprep.running.pool import PoolPlugin

        pool = PoolPlugin(arguments)
    # Nipype collects garbage in each turn of its loop; what is loaded by now never becomes any.
    gc.collect()
    gc.freeze()
    try:
        workflow.run(plugin=pool or plugin, plugin_args=arguments)
    except Exception as error:
        # A node's own error, of any kind, or Nipype's sum of several.
        return str(error) or repr(error)
    finally:
        if pool is not None:
            pool.close()
    return ''


def prepare_run(config: RunConfig, log_dir: Path, images: Sequence[ImageRef]) -> None:
    """Describe the outputs, set Nipype up, and forget what failed earlier.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    log_dir : Path
        Of this run; crash files go there.
    images : sequence of ImageRef
        Whose failed nodes are to be tried again.
    """
    from tmsprep.bids import write_dataset_description
    from tmsprep.bids.names import Layout
    from tmsprep.failures import forget_failed_nodes
    from tmsprep.protocols import load_protocol
    from tmsprep.running.locks import short_lock

    protocol = load_protocol(config.protocol)

    with short_lock(config.out_dir / 'logs', 'descriptions'):
        for name in ('dataset_description.json', '.bidsignore'):
            remove_partials(config.out_dir, name)
        write_dataset_description(config.out_dir, config.bids_dir, protocol)
    prepare_nipype(config, log_dir)
    for image in images:
        forget_failed_nodes(Layout(config.out_dir, protocol.name), config.work_dir, image)


def execute(
    workflow: Workflow,
    config: RunConfig,
    log_dir: Path,
    progress: Progress,
    images: Mapping[str, ImageRef],
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
    from tmsprep.bids.names import Layout
    from tmsprep.failures import record_crashes
    from tmsprep.protocols import load_protocol

    layout = Layout(config.out_dir, load_protocol(config.protocol).name)
    if config.write_graph:
        _write_graph(workflow, log_dir / 'graph.dot')
    # Not from the file, which another run with the same working folder may have replaced.
    workflow.config['execution']['crashdump_dir'] = str(log_dir)
    stopped = ''
    try:
        stopped = run_workflow(workflow, config, progress)
    finally:
        progress.close()
        crashes = record_crashes(log_dir, layout, images)
    if stopped and not crashes:
        # No image can be blamed, and outputs of an earlier run must not pass for this one's.
        raise RuntimeError(stopped)


def _write_graph(workflow: Workflow, path: Path) -> None:
    try:
        workflow.write_graph(str(path), graph2use='colored', simple_form=True)
    except OSError:
        # Nipype has written the description by then; only the drawing needs Graphviz.
        logger.warning('%s: install Graphviz (dot) to have it drawn as well', path)
