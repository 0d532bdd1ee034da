from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hpc.slurm_local import skip_or_fail

from tmsprep.running.plugins import read_plugin

CHECKOUT = Path(__file__).parents[2]
HPC = CHECKOUT / 'hpc'
SCRIPTS = sorted([*HPC.glob('*.sh'), *HPC.glob('*.sbatch'), CHECKOUT / '.ci' / 'run'])

# What comes after the image is run by the Python of the tests, as a container would run its own.
STAND_IN = """#!/bin/bash
printf '%s\\n' "$@" >"{record}"
env | grep ^APPTAINERENV_ | sort >>"{record}"
while [[ $1 != *.sif ]]; do shift; done
PATH="{python}:$PATH" exec "${{@:2}}"
"""


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script: Path) -> None:
    if shutil.which('shellcheck') is None:
        skip_or_fail('not installed: shellcheck')
    run = subprocess.run(
        ['shellcheck', '-x', script], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert run.stdout == ''
    subprocess.run(['bash', '-n', script], check=True)


def test_plugin_example() -> None:
    name, arguments = read_plugin(HPC / 'slurm.yml')
    assert name == 'SLURM'
    assert arguments['template'].startswith('#!/bin/bash\n')


class Study:
    """Data set of three participants without images, and a stand-in for a container."""

    def __init__(self, root: Path, weights: Path):
        self.root, self.bids, self.out = root, root / 'bids', root / 'out'
        for label in ('01', '02', '03'):
            path = self.bids / f'sub-{label}' / 'anat' / f'sub-{label}_T1w.nii.gz'
            path.parent.mkdir(parents=True)
            path.touch()
        description = {'Name': 'n', 'BIDSVersion': '1.9.0'}
        (self.bids / 'dataset_description.json').write_text(json.dumps(description))
        shutil.copy(weights, root / 'my weights.safetensors')
        (root / 'tmsprep.sif').touch()
        (root / 'scratch').mkdir()
        program = root / 'bin' / 'apptainer'
        program.parent.mkdir()
        python = Path(sys.executable).parent
        program.write_text(STAND_IN.format(record=root / 'record.txt', python=python))
        program.chmod(0o755)
        self.settings = root / 'settings.sh'
        self.write_settings()

    def write_settings(self, **changes: object) -> None:
        settings = {
            'BIDS': self.bids,
            'OUT': self.out,
            'SIF': self.root / 'tmsprep.sif',
            'SCRATCH': self.root / 'scratch',
            'PARTICIPANTS_PER_TASK': 2,
            'OPTIONS': '(--protocol tms --mem 4GB)',
            'PARTICIPANT_OPTIONS': f"(--dry-run --weights '{self.root}/my weights.safetensors')",
            'BINDS': f"('{self.root}/my weights.safetensors')",
            **changes,
        }
        self.settings.write_text('\n'.join(f'{name}={v}' for name, v in settings.items()))

    def run(
        self, *command: object, folder: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess:
        path = f'{self.root / "bin"}{os.pathsep}{os.environ["PATH"]}'
        variables = {**os.environ, 'PATH': path, 'PYTHONPATH': str(CHECKOUT), **environment}
        for name in ('SLURM_ARRAY_TASK_ID', 'SLURM_JOB_GPUS'):
            if name not in environment:
                variables.pop(name, None)
        return subprocess.run(
            list(map(str, command)),
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def prepare(self) -> Path:
        run = self.run(HPC / 'submit.sh', '--prepare', self.settings)
        assert run.returncode == 0, run.stderr
        return Path(run.stdout.splitlines()[-1])

    def recorded(self) -> list[str]:
        return (self.root / 'record.txt').read_text().splitlines()


@pytest.fixture
def study(tmp_path: Path, shipped_weights: Path) -> Study:
    return Study(tmp_path, shipped_weights)


def test_other_schedulers(study: Study) -> None:
    folder = study.prepare()
    assert (folder / 'tasks.txt').read_text() == 'sub-01 sub-02\nsub-03\n'
    for name in ('SLURM_ARRAY_TASK_ID', 'PBS_ARRAY_INDEX', 'SGE_TASK_ID'):
        run = study.run('bash', HPC / 'tmsprep_array.sbatch', folder, 0, **{name: '2'})
        assert run.returncode == 0, run.stderr
        assert 'sub-03: would run on' in run.stderr
        assert 'sub-01' not in run.stderr
    beyond = study.run('bash', HPC / 'tmsprep_array.sbatch', folder, 1, SGE_TASK_ID='2')
    assert beyond.returncode == 2
    assert 'tasks.txt has no line 3' in beyond.stderr
    assert list((study.root / 'scratch').iterdir()) == []


ODD = ("it's", 'a b', '02\n--sloppy', '$(touch ran)', '*', '02 03', '-x', os.fsdecode(b'\xff'))


def test_odd_labels(study: Study) -> None:
    for label in ODD:
        (study.bids / f'sub-{label}' / 'anat').mkdir(parents=True)
    run = study.run(HPC / 'submit.sh', '--prepare', study.settings)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count('not a BIDS label of a participant') == len(ODD)
    assert run.stderr.count('\n') == len(ODD)
    folder = Path(run.stdout.splitlines()[-1])
    assert (folder / 'tasks.txt').read_text() == 'sub-01 sub-02\nsub-03\n'
    task = study.run('bash', HPC / 'tmsprep_array.sbatch', folder, 0, SGE_TASK_ID='1')
    words = study.recorded()
    place = words.index('--participant-label')
    assert words[place + 1 : place + 4] == ['sub-01', 'sub-02', '-w']
    assert task.returncode == 0, task.stderr


def test_changed_list(study: Study) -> None:
    folder = study.prepare()
    (study.root / 'record.txt').unlink()
    for line in ('sub-01 --sloppy', 'sub-01 "sub-02"', '--sloppy', 'sub-é', 'sub-*'):
        (folder / 'tasks.txt').write_text(f'{line}\n')
        run = study.run('bash', HPC / 'tmsprep_array.sbatch', folder, 0, SGE_TASK_ID='1')
        assert run.returncode == 2
        assert 'is no participant' in run.stderr
    assert not (study.root / 'record.txt').exists()


@pytest.mark.skipif(os.getuid() != 0, reason='only root can give a file away')
def test_list_of_another_user(study: Study) -> None:
    folder = study.prepare()
    for name in ('.', 'common.sh', 'settings.sh'):
        for job in ('tmsprep_array.sbatch', 'tmsprep_group.sbatch'):
            os.chown(folder / name, 65534, 65534)
            run = study.run('bash', HPC / job, folder, 0, SGE_TASK_ID='1')
            os.chown(folder / name, 0, 0)
            assert run.returncode == 2
            assert 'not yours; submit again' in run.stderr


def test_modules_in_the_current_folder(study: Study) -> None:
    study.write_settings(SIF='', VENV=sys.prefix)
    shutil.copy(study.settings, study.bids / 'my settings.sh')
    for name in ('csv', 'json', 'numpy', 'contextlib', 'tmsprep'):
        (study.bids / f'{name}.py').write_text('import sys; sys.exit("it was run")')
    run = study.run(HPC / 'submit.sh', '--dry-run', 'my settings.sh', folder=study.bids)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1] == 'sub-01\tnot run'


def test_container_arguments(study: Study) -> None:
    folder = study.prepare()
    allocation = {'SLURM_ARRAY_TASK_ID': '1', 'SLURM_CPUS_PER_TASK': '3'}
    study.run('bash', HPC / 'tmsprep_array.sbatch', folder, 0, **allocation)
    words = study.recorded()
    assert words[:3] == ['exec', '--cleanenv', '--containall']
    binds = [words[i + 1] for i, word in enumerate(words) if word == '-B']
    weights = f'{study.root}/my weights.safetensors'
    assert binds[:3] == [
        f'{study.bids}:{study.bids}:ro',
        f'{weights}:{weights}:ro',
        str(study.out),
    ]
    assert binds[3].startswith(f'{study.root}/scratch/tmsprep.')
    # Its quotes have survived.
    assert words[words.index('--weights') + 1] == weights
    assert words[words.index('--nprocs') + 1] == '3'
    assert words[words.index('--device') + 1] == 'cpu'
    assert '--nv' not in words
    passed = {w.split('=')[0] for w in words if w.startswith('APPTAINERENV_')}
    assert {'APPTAINERENV_TMPDIR', 'APPTAINERENV_SLURM_CPUS_PER_TASK'} <= passed
    assert 'APPTAINERENV_PYTHONSAFEPATH' in passed
    assert words[words.index('-m') - 1] == '-P'
    study.run('bash', HPC / 'tmsprep_array.sbatch', folder, 0, **allocation, SLURM_JOB_GPUS='0')
    assert '--nv' in study.recorded()
    assert study.recorded()[study.recorded().index('--device') + 1] == 'auto'


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'BIDS': '/absent'}, "BIDS: no folder '/absent'"),
        ({'OUT': 'out'}, "OUT: 'out' is not a whole path"),
        ({'SIF': '/absent.sif'}, "SIF: no file '/absent.sif'"),
        ({'VENV': '/absent'}, 'VENV: no program /absent/bin/python'),
        ({'SCRATCH': '/absent'}, "SCRATCH: no folder '/absent'"),
        ({'PARTICIPANTS_PER_TASK': '0'}, 'PARTICIPANTS_PER_TASK: not a number from 1 on'),
        ({'OUT': '/tmp/a:b'}, "a container cannot bind a path with ':'"),
        (
            {'PARTICIPANT_OPTIONS': '(--localizer cnn)'},
            'unknown option --localizer; did you mean --localizers?',
        ),
    ],
)
def test_wrong_settings(study: Study, changes: dict[str, str], complaint: str) -> None:
    study.write_settings(**changes)
    run = study.run(HPC / 'submit.sh', '--dry-run', study.settings)
    assert run.returncode == 2
    assert complaint in run.stderr


def test_group_options(study: Study) -> None:
    """Options for both levels reach the group level, which ignores those of resources."""
    folder = study.prepare()
    run = study.run('bash', HPC / 'tmsprep_group.sbatch', folder)
    assert 'participants that are not done: 3' in run.stdout
    words = study.recorded()
    assert words[words.index('group') + 1] == '-w'
    assert words[words.index('--protocol') + 1] == 'tms'
    assert '--mem' in words
    assert '--weights' not in words
    assert 'tmsprep: error' not in run.stderr
