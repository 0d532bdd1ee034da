from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from nipype import Function, Node, Workflow

from tmsprep.running.pool import PoolPlugin


def _double(number: int) -> int:
    return 2 * number


def _die(number: int) -> int:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return number


def _fail(number: int) -> int:
    raise ValueError(f'{number} is too small')


def node(name: str, function: object, number: int | None = None) -> Node:
    made = Node(Function(['number'], ['number'], function), name=name)
    if number is not None:
        made.inputs.number = number
    return made


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    made = Workflow('wf', base_dir=str(tmp_path))
    made.config['execution'] = {
        **made.config['execution'],
        'crashdump_dir': str(tmp_path),
        'crashfile_format': 'txt',
        'poll_sleep_duration': '0.02',
        'create_report': 'false',
    }
    return made


def run(workflow: Workflow) -> tuple[str, dict[str, list[str]]]:
    """Run on two processes; return the error and, by node, what its status was."""
    seen: dict[str, list[str]] = {}

    def note(one: Node, status: str) -> None:
        seen.setdefault(one.name, []).append(status)

    arguments = {'n_procs': 2, 'memory_gb': 1, 'n_gpu_procs': 0, 'raise_insufficient': False}
    pool = PoolPlugin({**arguments, 'status_callback': note})
    error = ''
    try:
        workflow.run(plugin=pool)
    except RuntimeError as raised:
        error = str(raised)
    finally:
        pool.close()
    return error, seen


@pytest.mark.timeout(60)
def test_killed_worker(workflow: Workflow, tmp_path: Path) -> None:
    before = _children()
    first, second = node('first', _double, 3), node('second', _double)
    killed, after, failed = (
        node('killed', _die, 1),
        node('after', _double),
        node('failed', _fail, 1),
    )
    workflow.connect([(first, second, [('number', 'number')])])
    workflow.connect([(killed, after, [('number', 'number')])])
    workflow.add_nodes([failed])
    error, seen = run(workflow)
    assert seen == {
        'first': ['start', 'end'],
        'second': ['start', 'end'],
        'killed': ['start', 'exception'],
        'failed': ['start', 'exception'],
    }
    assert '2 raised' in error
    crashes = {path.name.split('-')[4]: path.read_text() for path in tmp_path.glob('crash-*')}
    assert set(crashes) == {'killed', 'failed'}
    assert 'MemoryError: the process of this step was killed by the system' in crashes['killed']
    assert '--nprocs 1' in crashes['killed']
    assert '1 is too small' in crashes['failed']
    assert _children() == before


def _children() -> set[psutil.Process]:
    """Processes below this one, but for what multiprocessing itself leaves until Python ends."""
    running = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if 'resource_tracker' not in ' '.join(child.cmdline()):
                running.add(child)
    return running


def run_alone(pool: PoolPlugin, one: Node, folder: Path) -> dict:
    one.base_dir = str(folder)
    task = pool._submit_job(one)
    while (result := pool._get_result(task)) is None:
        time.sleep(0.01)
    return result


@pytest.mark.timeout(60)
def test_killed_idle_worker(tmp_path: Path) -> None:
    before = _children()
    pool = PoolPlugin({'n_procs': 1, 'memory_gb': 1, 'n_gpu_procs': 0})
    run_alone(pool, node('first', _double, 4), tmp_path)
    (worker,) = _children() - before
    worker.kill()
    worker.wait()
    result = run_alone(pool, node('other', _double, 5), tmp_path)
    pool.close()
    assert result['traceback'] is None
    assert result['result'].outputs.number == 10
