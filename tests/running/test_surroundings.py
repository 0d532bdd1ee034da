from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
NAMES = ('csv', 'json', 'numpy', 'pandas', 'nibabel', 'socket', 'secrets', 'yaml', 'queue')


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Data set with modules and settings that are read in the current folder."""
    root = tmp_path / 'bids'
    anat = root / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    (anat / 'sub-01_T1w.nii.gz').touch()
    (root / 'dataset_description.json').write_text(
        json.dumps({'Name': 'n', 'BIDSVersion': '1.9.0'})
    )
    for name in NAMES:
        (root / f'{name}.py').write_text(f'open({str(tmp_path / "RAN")!r}, "a").write({name!r})')
    (root / 'nipype.cfg').write_text(
        '[execution]\nstop_on_first_crash = true\ncrashfile_format = pklz'
    )
    (root / 'matplotlibrc').write_text('backend: nonsense')
    (root / 'bids_config.json').write_text('[')
    return root


def run_inside(
    folder: Path, *words: object, closed: str = '', **environment: str
) -> subprocess.CompletedProcess:
    command = ['bash', '-c', f'exec "$@" {closed}', 'bash', sys.executable, *map(str, words)]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(CHECKOUT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize('module', ['tmsprep', 'tmsprep.cli.pending'])
def test_modules_in_the_data_set(hostile: Path, random_weights: Path, module: str) -> None:
    chosen = ('--localizers', 'cnn', '--weights', random_weights, '--dry-run', '-w', '../work')
    run = run_inside(hostile, '-m', module, '.', '../out', 'participant', *chosen)
    assert run.returncode == 0, run.stderr
    assert 'sub-01' in run.stdout + run.stderr
    assert not (hostile.parent / 'RAN').exists()


@pytest.mark.parametrize('processes', [1, 2])
def test_settings_in_the_data_set(hostile: Path, random_weights: Path, processes: int) -> None:
    chosen = ('--localizers', 'cnn', '--weights', random_weights, '--nprocs', processes)
    run = run_inside(hostile, '-m', 'tmsprep', '.', '../out', 'participant', *chosen, '-w', '../w')
    # The image is empty.
    assert run.returncode == 1
    assert 'sub-01 failed: conform' in run.stderr
    assert not (hostile.parent / 'RAN').exists()
    assert not list((hostile.parent / 'out').rglob('*.pklz'))
    assert sorted(path.name for path in hostile.iterdir() if 'crash' in path.name) == []


def test_program_in_the_folder_of_settings(tmp_path: Path) -> None:
    (tmp_path / 'nipype.cfg').write_text(
        '[execution]\nstop_on_first_crash = true\njob_finished_timeout = 1'
    )
    code = (
        'from pathlib import Path\n'
        'from tmsprep.running.execution import prepare_nipype\n'
        'from tmsprep.running.machine import Execution\n'
        'prepare_nipype(Execution(Path("work").absolute(), Path("100% log").absolute()))\n'
        'from nipype import config\n'
        'names = "stop_on_first_crash", "job_finished_timeout", "crashdump_dir"\n'
        'print(*(config.get("execution", name) for name in names), sep="\\n")'
    )
    run = run_inside(tmp_path, '-c', code)
    assert run.stdout.splitlines() == ['false', '60', str(tmp_path / '100% log')], run.stderr


STREAMS = """
import os, sys
from pathlib import Path
from tmsprep.running.surroundings import open_streams
open_streams()
for stream in (sys.stdin, sys.stdout, sys.stderr):
    assert stream is not None
file = open(sys.argv[1], 'w')
assert file.fileno() > 2
for number in (1, 2):
    os.write(number, b'from a library')
print('from Python')
print('from Python', file=sys.stderr)
file.write('own')
"""


@pytest.mark.parametrize('closed', ['>&-', '2>&-', '<&-', '>&- 2>&-', '<&- >&- 2>&-'])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    run = run_inside(tmp_path, '-c', STREAMS, tmp_path / 'a.txt', closed=closed)
    assert run.returncode == 0
    assert (tmp_path / 'a.txt').read_text() == 'own'


def test_run_with_closed_streams(hostile: Path, random_weights: Path) -> None:
    chosen = ('--localizers', 'cnn', '--weights', random_weights, '--nprocs', '1', '-w', '../w')
    words = ('-m', 'tmsprep', '.', '../out', 'participant', *chosen)
    run = run_inside(hostile, *words, closed='<&- >&- 2>&-')
    assert run.returncode == 1
    (log,) = (hostile.parent / 'out').glob('logs/*/tmsprep.log')
    assert 'tmsprep finished with errors: 1 of 1 participants failed' in log.read_text()
    check_shared(hostile.parent / 'out')


def check_shared(out: Path) -> None:
    """Outputs name no folder of this computer, but for the logs."""
    shared = [path for path in out.rglob('*') if path.is_file() and 'logs' not in path.parts]
    assert len(shared) > 2
    for path in shared:
        content = path.read_bytes()
        for folder in (out.parent, CHECKOUT, Path(sys.prefix)):
            assert os.fsencode(folder) not in content, path
