from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

CODE = """
import os, signal, sys, time
from tmsprep.running.supervise import supervise

def work():
    print('child', os.getpid(), flush=True)
    {work}

sys.exit(supervise(work, lambda line: print('report:', line, flush=True)))
"""

# Python code that signals cannot interrupt would be C code; it is enough that they are ignored.
LONG = 'time.sleep(60)'


def start(work: str) -> tuple[subprocess.Popen, int]:
    """Start a run; returns it and the process ID of its child, which may have ended already."""
    process = subprocess.Popen(
        [sys.executable, '-c', CODE.format(work=work)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    return process, int(process.stdout.readline().split()[1])


@pytest.mark.parametrize('code', [0, 1, 2])
def test_exit_code(code: int) -> None:
    process, _ = start(f'return {code}')
    output, _ = process.communicate(timeout=10)
    assert process.returncode == code
    assert output == ''


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signal(number: signal.Signals) -> None:
    process, pid = start(LONG)
    child = psutil.Process(pid)
    # Ctrl-C and Slurm send it to all processes.
    child.send_signal(number)
    time.sleep(0.1)
    assert child.is_running()
    process.send_signal(number)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert output.startswith(f'report: tmsprep was stopped by {number.name}')
    assert 'start the same command again' in output
    assert not child.is_running()


def test_killed_child() -> None:
    process, pid = start(LONG)
    child = psutil.Process(pid)
    child.kill()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert output.startswith('report: tmsprep was killed by the system, most likely because the')
    assert 'memory ran out' in output


def test_crashed_child() -> None:
    process, _ = start('os.kill(os.getpid(), signal.SIGSEGV)')
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert 'SIGSEGV' in output


def test_killed_parent() -> None:
    process, pid = start(LONG)
    child = psutil.Process(pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    child.wait(5)
    assert not child.is_running()
