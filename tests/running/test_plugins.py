from __future__ import annotations

import os
from pathlib import Path

import pytest
from nipype import Node, Workflow
from nipype.interfaces.utility import IdentityInterface

from tmsprep.running.machine import Execution
from tmsprep.running.plugins import (
    BATCH_POLL_SECONDS,
    LOCAL_POLL_SECONDS,
    ask_slurm,
    find_template,
    plugin_settings,
    poll_seconds,
    prepare_slurm,
    read_plugin,
)


def written(folder: Path, text: str) -> Path:
    path = folder / 'plugin.yml'
    path.write_text(text)
    return path


def test_local_plugin(tmp_path: Path) -> None:
    assert plugin_settings(Execution(tmp_path, tmp_path)) == ('Linear', {})
    execution = Execution(tmp_path, tmp_path, nprocs=3, mem_gb=7.0, device='cuda')
    assert plugin_settings(execution) == (
        'MultiProc',
        {'n_procs': 3, 'memory_gb': 7.0, 'raise_insufficient': False, 'n_gpu_procs': 1},
    )
    assert poll_seconds(None) == LOCAL_POLL_SECONDS


def test_plugin_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'plugin: SLURM\nplugin_args:\n  sbatch_args: --time=5\n')
    assert read_plugin(path) == ('SLURM', {'sbatch_args': '--time=5'})
    assert poll_seconds(path) == BATCH_POLL_SECONDS
    assert read_plugin(written(tmp_path, 'plugin: Linear\nplugin_args:\n')) == ('Linear', {})


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('', 'names no plugin'),
        ('- SLURM\n', 'names no plugin'),
        ('plugin_args: {}\n', 'names no plugin'),
        ('plugin: [SLURM\n', 'cannot be read as YAML'),
        ('plugin: SLURMGraph\n', 'hands back no results'),
        ('plugin: slurm\n', "'slurm' cannot be used; choose from Linear, MultiProc"),
        ('plugin: SLURM\nsbatch_args: --time=5\n', 'unknown key sbatch_args'),
        ('plugin: SLURM\nplugin_args: --time=5\n', 'plugin_args must be lines'),
        ('plugin: SLURM\nplugin_args: {sbatch_args: [--time=5]}\n', 'one line of options'),
        ('plugin: SLURM\nplugin_args: {sbatch_args: "--comment=it\'s"}\n', 'one line of options'),
    ],
)
def test_wrong_plugin_file(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match='--use-plugin') as error:
        read_plugin(path)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)
    assert '\n' not in str(error.value)


def test_template(tmp_path: Path) -> None:
    path = written(tmp_path, '')
    (tmp_path / 'node.sh').write_text('#!/bin/bash\n')
    found = find_template(path, {'template': 'node.sh'})
    assert found == {'template': str(tmp_path / 'node.sh')}
    for arguments in ({}, {'template': '#!/bin/bash\nmodule load python'}):
        assert find_template(path, arguments) == arguments
    with pytest.raises(ValueError, match=r'no file .*absent\.sh'):
        find_template(path, {'template': 'absent.sh'})


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name, that is never called."""
    program = tmp_path / 'bin' / 'sbatch'
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv('PATH', str(program.parent))


@pytest.mark.usefixtures('sbatch')
def test_user_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('LOGNAME', 'LNAME', 'USERNAME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('USER', 'anna')
    prepare_slurm(tmp_path / 'plugin.yml', tmp_path)
    assert os.environ['LOGNAME'] == 'anna'
    monkeypatch.setenv('LOGNAME', 'berta')
    prepare_slurm(tmp_path / 'plugin.yml', tmp_path)
    assert os.environ['LOGNAME'] == 'berta'


@pytest.mark.usefixtures('sbatch')
def test_space_in_work_dir(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='spaces'):
        prepare_slurm(tmp_path / 'plugin.yml', tmp_path / 'my folder')


def test_without_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    path = written(tmp_path, 'plugin: SLURM\n')
    with pytest.raises(ValueError, match='no sbatch here'):
        plugin_settings(Execution(tmp_path, tmp_path, use_plugin=path))


def options(sbatch_args: str, **inputs: object) -> list[str]:
    """What a node of two CPUs and 1.5 GB asks for."""
    workflow = Workflow(name='wf', base_dir='/w')
    node = Node(IdentityInterface(fields=['a', *inputs]), name='n', n_procs=2, mem_gb=1.5)
    node.inputs.trait_set(**inputs)
    workflow.add_nodes([node])
    ask_slurm(workflow, {'sbatch_args': sbatch_args})
    assert node.plugin_args['overwrite']
    return node.plugin_args['sbatch_args'].split()


def test_slurm_requests() -> None:
    folder, log = '--chdir=/w/wf/batch', '--output=/w/wf/batch/slurm-%j.out'
    assert options('') == [folder, '--cpus-per-task=2', '--mem=1500M', log]
    assert options('--time=5')[-1] == '--time=5'
    assert '--gpus=1' in options('', use_gpu=True)
    assert '--gpus=1' not in options('', use_gpu=False)


def test_own_slurm_requests() -> None:
    for own in ('--mem=4G', '--mem-per-cpu=2G'):
        assert [o for o in options(own) if o.startswith('--mem')] == [own]
    for own in ('-c8', '--cpus-per-task=8', '--cpus-per-gpu=8'):
        assert [o for o in options(own) if o.startswith(('-c', '--cpus'))] == [own]
    for own in ('-D/x', '--chdir=/x'):
        assert [o for o in options(own) if o.startswith(('-D', '--chdir'))] == [own]
    for own in ('-ox.out', '--output=x.out'):
        assert [o for o in options(own) if o.startswith(('-o', '--output'))] == [own]
    assert '--gpus=1' not in options('--gres=gpu:a100:1', use_gpu=True)
    # These hold "-o" and "-e", which is not the name of a log.
    for own in ('--exclusive=user', '--job-name=not-one'):
        assert any(o.startswith('--output=') for o in options(own))
