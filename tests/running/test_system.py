from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tmsprep.cli.run import main
from tmsprep.formats import read_points
from tmsprep.phantoms import write_dataset
from tmsprep.registration.guarded import MissingAnts, TransformReader
from tmsprep.running import supervise
from tmsprep.running.system import stand_in

CHECKOUT = Path(__file__).parents[2]

# psutil takes what it needs of POSIX from other modules on Windows, but is loaded here first.
HIDE = """
import os, sys
import psutil
for name in ('fcntl', 'grp', 'pwd', 'resource', 'ants'):
    sys.modules[name] = None
for name in ('fork', 'forkpty', 'getuid', 'geteuid', 'sched_getaffinity'):
    delattr(os, name)
"""

LOCK = """
import sys
from pathlib import Path
from tmsprep.running.locks import lock_labels, short_lock
with short_lock(Path(sys.argv[1]), 'descriptions'):
    pass
with lock_labels(Path(sys.argv[1]), sys.argv[2:]) as held:
    print(*sorted(held), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def foreign(tmp_path: Path) -> dict[str, str]:
    """Environment of a system without what only POSIX has, and without ANTs."""
    (tmp_path / 'hide').mkdir()
    (tmp_path / 'hide' / 'sitecustomize.py').write_text(HIDE)
    path = os.pathsep.join([str(tmp_path / 'hide'), str(CHECKOUT)])
    return {**os.environ, 'PYTHONPATH': path, 'PYTHONWARNINGS': 'ignore'}


def test_locks_without_fcntl(tmp_path: Path, foreign: dict[str, str]) -> None:
    command = [sys.executable, '-c', LOCK, str(tmp_path)]
    first = subprocess.Popen(
        [*command, '01', '02'],
        env=foreign,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout.readline().split() == ['01', '02']
    others = subprocess.run(
        [*command, '02', '03'], env=foreign, input='\n', capture_output=True, text=True, check=True
    )
    assert others.stdout.split() == ['03']
    # A killed run leaves its files, which do not stand in the way.
    first.kill()
    first.wait()
    again = subprocess.run(
        [*command, '01', '02'], env=foreign, input='\n', capture_output=True, text=True, check=True
    )
    assert again.stdout.split() == ['01', '02']


IMPORT = """
import pkgutil, sys, tmsprep
from importlib import import_module
for found in pkgutil.walk_packages(tmsprep.__path__, 'tmsprep.'):
    if not found.name.endswith('__main__'):
        try:
            import_module(found.name)
        except ImportError as error:
            print(found.name, error.name)
"""


def test_import_without_posix_and_ants(foreign: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, '-c', IMPORT], env=foreign, capture_output=True, text=True, check=True
    )
    failed = dict(line.split() for line in run.stdout.splitlines())
    assert set(failed.values()) == {'ants'}
    needing = ('tmsprep.registration.', 'tmsprep.methods.syn.')
    assert [name for name in failed if not name.startswith(needing)] == []


@pytest.mark.slow
def test_run_without_posix_and_ants(tmp_path: Path, foreign: dict[str, str]) -> None:
    """The network localises as everywhere: the demo's figure is 1.8 mm."""
    bids = write_dataset(tmp_path / 'bids', [3], ['1'], voxel_size=(2.0, 2.0, 2.0))
    command = [sys.executable, '-m', 'tmsprep', str(bids), str(tmp_path / 'out'), 'participant']
    command += ['-w', str(tmp_path / 'work'), '--nprocs', '2', '--localizers', 'cnn']
    run = subprocess.run(command, env=foreign, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (found,) = (tmp_path / 'out').rglob('*_desc-cnn_targets.tsv')
    (truth,) = (bids / 'derivatives').rglob('*_targets.tsv')
    assert np.mean(read_points(truth).distance(read_points(found))) < 3
    assert list((tmp_path / 'out').rglob('*.lock')) == []


def test_registration_needs_ants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the methods in silence would be no answer to a command that asks for both."""
    monkeypatch.setitem(sys.modules, 'ants', None)
    image = tmp_path / 'bids' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    image.parent.mkdir(parents=True)
    image.touch()
    command = [str(tmp_path / 'bids'), str(tmp_path / 'out'), 'participant', '--dry-run']
    command += ['--skip-bids-validation', '-w', str(tmp_path / 'work')]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert 'registration needs ANTs (package antspyx' in said
    assert '--localizers cnn' in said
    assert main([*command, '--localizers', 'cnn']) == 0


def test_reader_needs_ants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'ants', None)
    transform = tmp_path / 'xfm.h5'
    transform.touch()
    with TransformReader() as reader, pytest.raises(MissingAnts, match='antspyx'):
        reader.move(np.zeros((1, 3)), transform)


def test_interrupt_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, 'HAS_FORK', False)
    lines: list[str] = []

    def work() -> int:
        raise KeyboardInterrupt

    assert supervise.supervise(work, lines.append) == 128 + signal.SIGINT
    assert lines[0].startswith('tmsprep was stopped by SIGINT')
    assert supervise.supervise(lambda: 1, lines.append) == 1


def test_stand_in() -> None:
    with stand_in('no_such_module'):
        import no_such_module
    assert 'no_such_module' not in sys.modules
    with stand_in('json'):
        import json
    assert json.loads('1') == 1
    assert no_such_module.__name__ == 'no_such_module'
