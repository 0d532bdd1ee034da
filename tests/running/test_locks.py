from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tmsprep.running.locks import LOCK_NAME, lock_labels, short_lock

HOLD = """
import sys
from pathlib import Path
from tmsprep.running.locks import lock_labels
with lock_labels(Path(sys.argv[1]), sys.argv[2:]) as mine:
    print(*sorted(mine), flush=True)
    sys.stdin.readline()
"""


def hold(folder: Path, *labels: str) -> subprocess.Popen:
    """Let another process hold labels until it reads a line or is killed."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(folder), *labels],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline().split() == sorted(labels)
    return process


def test_nobody_gets_a_participant_whom_another_process_has(tmp_path: Path) -> None:
    other = hold(tmp_path, '01', '02')
    with lock_labels(tmp_path, ['01', '02', '03']) as mine:
        assert mine == {'03'}
    with lock_labels(tmp_path / 'another', ['01']) as mine:
        assert mine == {'01'}
    # The system takes the locks back, however a process ends.
    other.kill()
    other.wait()
    with lock_labels(tmp_path, ['01', '02', '03']) as mine:
        assert mine == {'01', '02', '03'}
    assert [path.name for path in tmp_path.glob('*.lock')] == [LOCK_NAME]
    assert (tmp_path / LOCK_NAME).stat().st_size == 0


def test_a_short_lock_does_not_give_up_the_participants(tmp_path: Path) -> None:
    with lock_labels(tmp_path, ['01']) as mine:
        with short_lock(tmp_path, 'descriptions'):
            assert mine == {'01'}
        other = subprocess.run(
            [sys.executable, '-c', HOLD, str(tmp_path), '01', '02'],
            input='\n',
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert other.stdout.split() == ['02']
