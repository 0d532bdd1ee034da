from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tmsprep.resources import _cgroup_limits, available_cpus, available_memory_gb

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
