"""Memory that runs out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faults_parts.kills import BOTH
from faults_parts.runs import Ended, Seen, Site, left_over, partials

FAULT = 'Memory'
CONTROL_GROUPS = Path('/sys/fs/cgroup/memory')

#: By number of processes: enough to start, too little for the network.
LIMIT_MB = {'1': 300, '2': 400}

#: The same for ``ulimit -v``, which counts reserved memory as well.
ADDRESS_SPACE_MB = 1000


def use_up_memory(site: Site) -> Iterator[Seen]:
    """Kill what works, as the system does, and let it have too little memory."""
    for nprocs in ('1', '2'):
        yield _kill_worker(site, nprocs)
    for nprocs in ('1', '2'):
        yield _limit_group(site, nprocs)
    yield _limit_address_space(site)


def _kill_worker(site: Site, nprocs: str) -> Seen:
    """Kill the process of one step while it computes: SIGKILL is what the system sends."""
    name = f'worker_{nprocs}'
    out, work = site.folder / name, site.folder / f'{name}_work'
    options = [*BOTH, '--nprocs', nprocs]
    running = site.start(site.bids, out, work, options)
    running.wait_for(work, 'linear_0GenericAffine.mat')
    family = running.family()
    busiest = max(family[1:], key=lambda process: process.memory_info().rss)
    busiest.kill()
    ended = running.end()
    again = site.start(site.bids, out, work, options).end()
    done = f'the process of a step killed (SIGKILL) during the SyN, `--nprocs {nprocs}`'
    return _judge(done, ended, left_over(family), partials(out), again)


def _judge(
    done: str, ended: Ended, alive: int, hidden: Sequence[str], again: Ended | None = None
) -> Seen:
    told = next((line for line in ended.lines if 'memory ran out' in line), '')
    message = told.split(' ', 3)[-1].split(': give')[0] if told else 'NOTHING on memory'
    words = f'ended after {ended.seconds:.0f} s with exit code {ended.code}, "{message} ..."; '
    words += f'{alive or "no"} processes left'
    if again is not None:
        words += f'; started again: exit code {again.code}'
    good = ended.code == 1 and bool(told) and not alive and not hidden
    return Seen(FAULT, done, words, good and (again is None or again.code == 0))


@contextmanager
def _group(name: str, limit_mb: int) -> Iterator[list[str] | None]:
    """Command that puts what it starts into a control group; None if none can be made."""
    group = CONTROL_GROUPS / name
    try:
        group.mkdir()
        (group / 'memory.limit_in_bytes').write_text(str(limit_mb * 10**6))
    except OSError:
        yield None
        return
    try:
        yield ['sh', '-c', f'echo $$ > {group}/cgroup.procs && exec "$@"', 'sh']
    finally:
        group.rmdir()


def _limit_group(site: Site, nprocs: str) -> Seen:
    done = f'a control group of {LIMIT_MB[nprocs]} MB, `--nprocs {nprocs}`, CNN only'
    with _group(f'tmsprep_faults_{os.getpid()}_{nprocs}', LIMIT_MB[nprocs]) as before:
        if before is None:
            return Seen(FAULT, f'not done: no right to make {done}', '', True)
        name = f'group_{nprocs}'
        out, work = site.folder / name, site.folder / f'{name}_work'
        options = ['--localizers', 'cnn', '--nprocs', nprocs]
        running = site.start(site.bids, out, work, options, before=before)
        running.wait_for(work, 'conformed.nii')
        family = running.family()
        ended = running.end()
        alive = left_over(family)
    again = site.start(site.bids, out, work, options).end()
    return _judge(done, ended, alive, partials(out), again)


def _limit_address_space(site: Site) -> Seen:
    out, work = site.folder / 'ulimit', site.folder / 'ulimit_work'
    before = ['sh', '-c', f'ulimit -v {ADDRESS_SPACE_MB * 1000} && exec "$@"', 'sh']
    options = ['--localizers', 'cnn', '--nprocs', '1']
    ended = site.start(site.bids, out, work, options, before=before).end()
    again = site.start(site.bids, out, work, options).end()
    done = f'`ulimit -v` of {ADDRESS_SPACE_MB} MB, CNN only'
    return _judge(done, ended, 0, partials(out), again)
