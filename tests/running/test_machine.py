from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tmsprep.running.machine import (
    available_cpus,
    available_memory_gb,
    explain_shortage,
    parse_memory,
    resolve_device,
)

GIB = 2**30


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith('SLURM_')]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_slurm_cpus(no_slurm: pytest.MonkeyPatch) -> None:
    granted = len(os.sched_getaffinity(0))
    assert available_cpus() == granted
    no_slurm.setenv('SLURM_CPUS_PER_TASK', '1')
    assert available_cpus() == 1
    no_slurm.setenv('SLURM_CPUS_PER_TASK', str(granted + 7))
    assert available_cpus() == granted


def test_slurm_memory(no_slurm: pytest.MonkeyPatch) -> None:
    assert available_memory_gb() <= 0.9 * psutil.virtual_memory().total / 1e9 + 0.01
    no_slurm.setenv('SLURM_MEM_PER_NODE', '600')
    assert available_memory_gb() == 0.57  # 0.9 * 600 * 2**20 / 1e9
    no_slurm.setenv('SLURM_MEM_PER_NODE', '0')
    no_slurm.setenv('SLURM_MEM_PER_CPU', '500')
    no_slurm.setenv('SLURM_CPUS_PER_TASK', '1')
    assert available_memory_gb() == 0.47


def test_cgroup_v2(no_slurm: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limits of all groups above count."""
    group = tmp_path / 'job' / 'step'
    group.mkdir(parents=True)
    (group / 'memory.max').write_text('max\n')
    (group.parent / 'memory.max').write_text(f'{GIB}\n')
    (tmp_path / 'membership').write_text('0::/job/step\n')
    assert available_memory_gb(tmp_path, tmp_path / 'membership') == 0.97  # 0.9 * 2**30 / 1e9


def test_cgroup_v1(no_slurm: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container the limit is that of the mount point."""
    (tmp_path / 'memory').mkdir()
    (tmp_path / 'memory' / 'memory.limit_in_bytes').write_text(f'{GIB}\n')
    (tmp_path / 'membership').write_text('3:cpu:/\n2:memory:/docker/0af\n')
    assert available_memory_gb(tmp_path, tmp_path / 'membership') == 0.97
    machine = psutil.virtual_memory().total
    assert available_memory_gb(tmp_path, tmp_path / 'absent') == round(0.9 * machine / 1e9, 2)


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
def test_no_memory(message: str, tmp_path: Path) -> None:
    explained = explain_shortage(message, [tmp_path])
    assert explained.startswith('the memory ran out: give the job more memory')
    assert explained.endswith(f'({message})')
    assert explain_shortage(explained, [tmp_path]) == explained


def test_no_gpu_memory(tmp_path: Path) -> None:
    explained = explain_shortage('CUDA out of memory. Tried to allocate 2 GiB', [tmp_path])
    assert explained.startswith("the GPU's memory ran out: give --device cpu")


def test_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / 'not' / 'there'
    explained = explain_shortage('[Errno 28] No space left on device', [folder])
    assert explained.startswith(f'{folder}: the disk is full (')
    assert 'free space there' in explained


def test_other_error(tmp_path: Path) -> None:
    assert explain_shortage('no brain', [tmp_path]) == 'no brain'


@pytest.mark.parametrize(
    ('text', 'gigabytes'),
    [
        ('8GB', 8),
        ('8G', 8),
        ('8 gb', 8),
        ('8000MB', 8),
        ('8000', 8),
        ('1.5T', 1500),
        ('8000000K', 8),
        ('8GiB', 8.589934592),
        ('500', 0.5),
    ],
)
def test_memory_amounts(text: str, gigabytes: float) -> None:
    assert parse_memory(text) == pytest.approx(gigabytes)


@pytest.mark.parametrize('text', ['', 'GB', '8X', '8000B', '-8GB', '8,5GB', 'nan', '8GBB', '8iB'])
def test_memory_nonsense(text: str) -> None:
    with pytest.raises(ValueError, match='write 8GB or 8000MB'):
        parse_memory(text)


def test_memory_without_unit() -> None:
    with pytest.raises(ValueError, match=r"'16' is 0.016 GB.*did you mean 16GB\?"):
        parse_memory('16')
    with pytest.raises(ValueError, match=r'less than the 0.5 GB needed$'):
        parse_memory('16MB')


def test_device_without_gpu(tmp_path: Path) -> None:
    (tmp_path / 'nvidiactl').touch()
    assert resolve_device('auto', tmp_path) == 'cpu'
    assert resolve_device('cpu', tmp_path) == 'cpu'
    with pytest.raises(ValueError, match='--device cuda: this machine shows no NVIDIA GPU'):
        resolve_device('cuda', tmp_path)


def test_device_silent_gpu(tmp_path: Path) -> None:
    (tmp_path / 'nvidia0').touch()
    code = (
        'import os, sys; from pathlib import Path\n'
        'from tmsprep.running.machine import resolve_device\n'
        'os.environ["CUDA_VISIBLE_DEVICES"] = ""\n'
        'try: resolve_device("cuda", Path(sys.argv[1]))\n'
        'finally: assert "torch" not in sys.modules\n'
    )
    checkout = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=checkout,
        check=False,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith('ValueError: --device cuda: ')
    assert last.endswith('; use --device cpu')
