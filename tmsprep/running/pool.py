"""Nipype's MultiProc plugin with workers that are watched.

Nipype's own (1.11) waits for ever if a worker is killed, as happens when memory runs out.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nipype import Node

from tmsprep.running.supervise import describe_end
from tmsprep.running.system import KILLED, die_with, stand_in

# For the scheduler SGE, whose plugin is imported with all others.
with stand_in('pwd'):
    from nipype.pipeline.plugins.multiproc import MultiProcPlugin, run_node


class PoolPlugin(MultiProcPlugin):
    """Run nodes in processes whose death is noticed.

    Parameters
    ----------
    plugin_args : dict
        Those of MultiProc; ``mp_context`` is not used.
    """

    def __init__(self, plugin_args: dict[str, Any]) -> None:
        super().__init__(plugin_args=plugin_args)
        # Nipype's own pool has started nothing yet.
        self.pool.shutdown()
        self._workers: list[Worker] = []

    def _submit_job(self, node: Node, updatehash: bool = False) -> int:
        self._taskid += 1
        while True:
            worker = next((w for w in self._workers if w.task is None), None)
            if worker is None:
                worker = Worker()
                self._workers.append(worker)
            if worker.start(self._taskid, node, updatehash):
                return self._taskid
            # It was killed while idle.
            self._workers.remove(worker)

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        for worker in list(self._workers):
            result = worker.result()
            if result is not None:
                self._taskresult[result['taskid']] = result
            if worker.lost:
                self._workers.remove(worker)
        return self._taskresult.get(taskid)

    def _clear_task(self, taskid: int) -> None:
        del self._taskresult[taskid]

    def _postrun_check(self) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, busy ones as well."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()


class Worker:
    """A process that runs nodes one by one."""

    def __init__(self) -> None:
        # A fresh process: one forked from a process that has used Torch could hang, and one from
        # a fork server would not be this one's child.
        context = multiprocessing.get_context('spawn')
        # Where the worker starts and reads settings: not where this process was started.
        multiprocessing.process.ORIGINAL_DIR = str(Path.cwd())  # type: ignore[attr-defined]
        self._connection, child_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(child_end, os.getpid(), str(Path.cwd())), daemon=True
        )
        self._process.start()
        # Now only the worker holds this end, so that its death closes the connection.
        child_end.close()
        self.task: int | None = None
        self.lost = False

    def start(self, task: int, node: Node, updatehash: bool) -> bool:
        """Give the worker a node; False if it is dead."""
        try:
            self._connection.send((node, updatehash, task))
        except BrokenPipeError:
            self.lost = True
            return False
        self.task = task
        return True

    def result(self) -> dict[str, Any] | None:
        """Return the result of `run_node`, or an error if the worker died; None while busy."""
        if self.task is None or not self._connection.poll():
            return None
        try:
            result = self._connection.recv()
        except (EOFError, OSError):
            self.lost = True
            self._process.join()
            result = {'result': None, 'traceback': [self._describe_death()], 'taskid': self.task}
        self.task = None
        return result

    def _describe_death(self) -> str:
        code = self._process.exitcode
        kind = 'MemoryError' if code == KILLED else 'RuntimeError'
        return f'{kind}: the process of this step {describe_end(code)}\n'

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, parent: int, folder: str) -> None:
    """Run the nodes that come, until the connection is closed."""
    die_with(parent)
    os.chdir(folder)
    os.environ['NIPYPE_NO_ET'] = '1'
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(run_node(*task))
