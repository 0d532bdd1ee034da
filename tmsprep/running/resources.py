"""What this process may use of the machine, and what it says when that is used up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

# The share of the memory limit that is given to the workflow's nodes. It is Nipype's own share of
# a whole machine; the rest is for the parent process and the system.
MEMORY_SHARE = 0.9


def available_cpus() -> int:
    """Count the CPUs that the scheduler grants this process.

    Returns
    -------
    int
        The size of the CPU affinity mask, or SLURM_CPUS_PER_TASK if that is smaller.
    """
    granted = len(os.sched_getaffinity(0))
    slurm = os.environ.get('SLURM_CPUS_PER_TASK', '')
    return min(granted, int(slurm)) if slurm.isdigit() and int(slurm) > 0 else granted


def available_memory_gb() -> float:
    """Tell how much memory the workflow may plan with.

    Returns
    -------
    float
        `MEMORY_SHARE` of the smallest of machine, control group and Slurm limit, GB of 10^9 bytes,
        rounded to 0.01.
    """
    limits = [*_cgroup_limits(), *_slurm_limits(), _machine_memory()]
    return round(MEMORY_SHARE * min(limits) / 1e9, 2)


def _machine_memory() -> int:
    import psutil

    return psutil.virtual_memory().total


def _slurm_limits() -> Iterator[int]:
    """Yield Slurm's limits in bytes; it counts in units of 2^20 and writes 0 for 'all of it'."""
    node = os.environ.get('SLURM_MEM_PER_NODE', '')
    per_cpu = os.environ.get('SLURM_MEM_PER_CPU', '')
    if node.isdigit() and int(node) > 0:
        yield int(node) * 2**20
    elif per_cpu.isdigit() and int(per_cpu) > 0:
        yield int(per_cpu) * available_cpus() * 2**20


def _cgroup_limits(
    root: Path = Path('/sys/fs/cgroup'), membership: Path = Path('/proc/self/cgroup')
) -> Iterator[int]:
    """Yield the limits in bytes of this process's control group and of all groups above it.

    Version 2 lists ``0::/path``, version 1 ``5:memory:/path``. Inside a container that path often
    belongs to the host and does not exist, but the mount's own root then holds the limit.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers not in ('', 'memory'):
            continue
        mount = root / controllers
        name = 'memory.limit_in_bytes' if controllers else 'memory.max'
        group = mount / path.lstrip('/')
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                yield from _limit(folder / name)


def _limit(path: Path) -> Iterator[int]:
    """Yield the number in a limit file; 'max', or no file, means no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return
    if text.isdigit() and int(text) > 0:
        yield int(text)


LITTLE_SPACE = 2**20
"""A disk with less than this many bytes left is full (our choice)."""

_NO_SPACE = ('no space left on device', 'disk quota exceeded', 'the disk is full')
_NO_MEMORY = (
    *('unable to allocate', "can't allocate memory", 'cannot allocate memory'),
    *('failed to allocate', 'bad_alloc', 'out of memory', 'failed to map segment'),
)

START_AGAIN = 'then start the same command again'

MORE_MEMORY = (
    'give the job more memory (under Slurm: --mem of sbatch) or run fewer steps at once '
    f'(--nprocs 1), {START_AGAIN}'
)


def explain_shortage(message: str, folders: Iterable[Path]) -> str:
    """Tell what is behind an error, if memory or disk space ran out.

    Parameters
    ----------
    message : str
        Of the error.
    folders : iterable of Path
        Those that were written to, which need not be there.

    Returns
    -------
    str
        The message with cause and cure before it; as it was if there is enough of both.
    """
    known = message.lower()
    if START_AGAIN in message:
        return message
    if 'cuda' in known and 'out of memory' in known:
        return f"the GPU's memory ran out: give --device cpu, {START_AGAIN} ({message})"
    if message == 'MemoryError()' or any(sign in known for sign in _NO_MEMORY):
        return f'the memory ran out: {MORE_MEMORY} ({message})'
    space = {folder: _free_bytes(folder) for folder in folders}
    if space and (any(sign in known for sign in _NO_SPACE) or min(space.values()) < LITTLE_SPACE):
        folder = min(space, key=space.__getitem__)
        return (
            f'{folder}: the disk is full ({space[folder] / 1e6:.0f} MB are left); free space '
            f'there, {START_AGAIN} ({message})'
        )
    return message


def _free_bytes(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
