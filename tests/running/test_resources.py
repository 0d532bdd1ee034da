from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tmsprep.running.resources import (
    _cgroup_limits,
    available_cpus,
    available_memory_gb,
    explain_shortage,
)

GIB = 2**30


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith('SLURM_')]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_slurm_takes_away_cpus_but_adds_none(no_slurm: pytest.MonkeyPatch) -> None:
    granted = len(os.sched_getaffinity(0))
    assert available_cpus() == granted
    no_slurm.setenv('SLURM_CPUS_PER_TASK', '1')
    assert available_cpus() == 1
    no_slurm.setenv('SLURM_CPUS_PER_TASK', str(granted + 7))
    assert available_cpus() == granted


def test_slurm_limits_memory(no_slurm: pytest.MonkeyPatch) -> None:
    assert available_memory_gb() <= 0.9 * psutil.virtual_memory().total / 1e9 + 0.01
    no_slurm.setenv('SLURM_MEM_PER_NODE', '600')
    assert available_memory_gb() == 0.57  # 0.9 * 600 * 2**20 / 1e9
    no_slurm.setenv('SLURM_MEM_PER_NODE', '0')
    no_slurm.setenv('SLURM_MEM_PER_CPU', '500')
    no_slurm.setenv('SLURM_CPUS_PER_TASK', '1')
    assert available_memory_gb() == 0.47


def test_control_group_version_2_counts_all_levels(tmp_path: Path) -> None:
    group = tmp_path / 'job' / 'step'
    group.mkdir(parents=True)
    (group / 'memory.max').write_text('max\n')
    (group.parent / 'memory.max').write_text(f'{3 * GIB}\n')
    (tmp_path / 'membership').write_text('0::/job/step\n')
    assert list(_cgroup_limits(tmp_path, tmp_path / 'membership')) == [3 * GIB]


def test_control_group_version_1_of_a_container_is_at_the_mount(tmp_path: Path) -> None:
    (tmp_path / 'memory').mkdir()
    (tmp_path / 'memory' / 'memory.limit_in_bytes').write_text(f'{2 * GIB}\n')
    (tmp_path / 'membership').write_text('3:cpu:/\n2:memory:/docker/0af\n')
    assert list(_cgroup_limits(tmp_path, tmp_path / 'membership')) == [2 * GIB]
    assert list(_cgroup_limits(tmp_path, tmp_path / 'absent')) == []


@pytest.mark.parametrize(
    'message',
    [
        'MemoryError()',
        'Unable to allocate 64.0 MiB for an array with shape (256, 256, 256)',
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried",
        'Failed to allocate memory for image.',
        'std::bad_alloc',
        '[Errno 12] Cannot allocate memory',
        'libtorch_cpu.so: failed to map segment from shared object',
    ],
)
def test_a_shortage_of_memory_is_explained(message: str, tmp_path: Path) -> None:
    explained = explain_shortage(message, [tmp_path])
    assert explained.startswith('the memory ran out: give the job more memory')
    assert explained.endswith(f'({message})')
    assert explain_shortage(explained, [tmp_path]) == explained


def test_a_shortage_of_gpu_memory_has_another_cure(tmp_path: Path) -> None:
    explained = explain_shortage('CUDA out of memory. Tried to allocate 2 GiB', [tmp_path])
    assert explained.startswith("the GPU's memory ran out: give --device cpu")


def test_a_full_disk_is_named_even_if_the_folder_is_not_there_yet(tmp_path: Path) -> None:
    folder = tmp_path / 'not' / 'there'
    explained = explain_shortage('[Errno 28] No space left on device', [folder])
    assert explained.startswith(f'{folder}: the disk is full (')
    assert 'free space there' in explained


def test_another_error_stays_as_it_is(tmp_path: Path) -> None:
    assert explain_shortage('no brain', [tmp_path]) == 'no brain'
