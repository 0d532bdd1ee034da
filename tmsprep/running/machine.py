"""CPUs, memory, disk space and GPU: what a run may use, and messages for when it runs out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tmsprep.running.system import granted_cpus

#: Share of the memory limit that the workflow may use, as Nipype takes of a whole machine; the
#: rest is for the parent process and the system.
MEMORY_SHARE = 0.9

#: Smallest amount of memory, GB. Less cannot hold the volumes of one participant, so that a '8'
#: without a unit is meant as GB.
MIN_GB = 0.5

#: A disk with fewer free bytes is full.
LITTLE_SPACE = 2**20

_AMOUNT = re.compile(r'(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?)?', re.IGNORECASE)
_EXPONENTS = {'k': 1, 'm': 2, 'g': 3, 't': 4}

# Asked in another process: one that uses CUDA holds memory of the GPU until its end.
_CUDA_CODE = 'import torch; torch.zeros(1, device="cuda").add_(1).item()'
_CUDA_TIMEOUT_S = 300

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


@dataclass(frozen=True)
class Execution:
    """How workflows are run.

    Parameters
    ----------
    work_dir : Path
        Directory of intermediate results.
    log_dir : Path
        Directory for crash files and the log of this run.
    nprocs : int
        CPUs in all.
    mem_gb : float
        Memory in all, GB of 10^9 bytes.
    device : str
        'cpu' or 'cuda'.
    use_plugin : Path, optional
        File that names a Nipype plugin and its arguments.
    verbose : int
        How much Nipype logs, from 0 to 2.
    write_graph : bool
        Write a picture of each workflow.
    stop_on_first_crash : bool
        Skip all remaining steps after a failure.
    """

    work_dir: Path
    log_dir: Path
    nprocs: int = 1
    mem_gb: float = 1.0
    device: str = 'cpu'
    use_plugin: Path | None = None
    verbose: int = 0
    write_graph: bool = False
    stop_on_first_crash: bool = False


def available_cpus() -> int:
    """Count the CPUs that the scheduler grants this process.

    Returns
    -------
    int
        The size of the CPU affinity mask, or SLURM_CPUS_PER_TASK if that is smaller.
    """
    granted = granted_cpus()
    slurm = os.environ.get('SLURM_CPUS_PER_TASK', '')
    return min(granted, int(slurm)) if slurm.isdigit() and int(slurm) > 0 else granted


def available_memory_gb(
    cgroups: Path = Path('/sys/fs/cgroup'), membership: Path = Path('/proc/self/cgroup')
) -> float:
    """Tell how much memory the workflow may plan with.

    Parameters
    ----------
    cgroups : Path
        Mount point of the control groups.
    membership : Path
        File that names the control groups of this process.

    Returns
    -------
    float
        `MEMORY_SHARE` of the smallest of machine, control group and Slurm limit, GB of 10^9 bytes,
        rounded to 0.01.
    """
    import psutil

    machine = psutil.virtual_memory().total
    limits = [*_cgroup_limits(cgroups, membership), *_slurm_limits(), machine]
    return round(MEMORY_SHARE * min(limits) / 1e9, 2)


def _slurm_limits() -> Iterator[int]:
    """Yield Slurm's limits in bytes; it counts in units of 2^20 and writes 0 for 'all of it'."""
    node = os.environ.get('SLURM_MEM_PER_NODE', '')
    per_cpu = os.environ.get('SLURM_MEM_PER_CPU', '')
    if node.isdigit() and int(node) > 0:
        yield int(node) * 2**20
    elif per_cpu.isdigit() and int(per_cpu) > 0:
        yield int(per_cpu) * available_cpus() * 2**20


def _cgroup_limits(root: Path, membership: Path) -> Iterator[int]:
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


def parse_memory(text: str) -> float:
    """Read an amount of memory.

    Parameters
    ----------
    text : str
        A number and K, M, G or T, each with or without 'B' ('GiB' is 2^30 bytes). Without a unit
        it is MB, as in fMRIPrep.

    Returns
    -------
    float
        GB of 10^9 bytes.

    Raises
    ------
    ValueError
        If it is not an amount, or below `MIN_GB`.

    Examples
    --------
    >>> parse_memory('8GB'), parse_memory('8000'), parse_memory('1.5T')
    (8.0, 8.0, 1500.0)
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is not an amount of memory; write 8GB or 8000MB')
    number, unit, binary = match.groups()
    base = 1024 if binary else 1000
    gigabytes = float(number) * base ** _EXPONENTS[(unit or 'm').lower()] / 1e9
    if gigabytes < MIN_GB:
        hint = f'; without a unit it is MB: did you mean {number}GB?' if unit is None else ''
        raise ValueError(f'{text!r} is {gigabytes:g} GB, less than the {MIN_GB} GB needed{hint}')
    return gigabytes


def resolve_device(wanted: str, devices: Path = Path('/dev')) -> str:
    """Choose the CPU or the GPU before anything is built.

    Parameters
    ----------
    wanted : str
        'auto', 'cpu' or 'cuda'.
    devices : Path
        Directory of the driver's device files.

    Returns
    -------
    str
        'cpu' or 'cuda'; for 'auto' the GPU if one answers.

    Raises
    ------
    ValueError
        If 'cuda' is wanted and no GPU answers (the message says why), or another word is given.
    """
    if wanted not in ('auto', 'cpu', 'cuda'):
        raise ValueError(f'--device {wanted!r} is not known; choose from auto, cpu, cuda')
    if wanted == 'cpu':
        return 'cpu'
    if not [*devices.glob('nvidia[0-9]*'), *devices.glob('dxg')]:
        problem = 'this machine shows no NVIDIA GPU (in a container, give --nv or --gpus)'
    else:
        problem = _try_cuda()
    if wanted == 'cuda' and problem:
        raise ValueError(f'--device cuda: {problem}; use --device cpu')
    return 'cpu' if problem else 'cuda'


def _try_cuda() -> str:
    """Compute on the GPU in another process; return '' or the last line of its error."""
    command = [sys.executable, '-c', _CUDA_CODE]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_CUDA_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f'the GPU did not answer within {_CUDA_TIMEOUT_S} s'
    lines = run.stderr.strip().splitlines() or [f'exit code {run.returncode}']
    return lines[-1] if run.returncode else ''


def explain_shortage(message: str, folders: Iterable[Path]) -> str:
    """Explain an error if memory or disk space ran out.

    Parameters
    ----------
    message : str
        Message of the error.
    folders : iterable of Path
        Directories that were written to, which need not exist.

    Returns
    -------
    str
        The message preceded by cause and cure; unchanged if there is enough of both.
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
