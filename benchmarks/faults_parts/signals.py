"""Signals that ask a run to stop, as Ctrl-C and Slurm's time limit send them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from faults_parts.kills import BOTH
from faults_parts.runs import Seen, Site, left_over, outputs, partials

FAULT = 'Signals'


def stop_runs(site: Site) -> Iterator[Seen]:
    """Send SIGTERM and SIGINT while ANTs computes, which handles no signal itself."""
    for number, nprocs in ((signal.SIGTERM, '1'), (signal.SIGTERM, '2'), (signal.SIGINT, '2')):
        name = f'stopped_{number.name}_{nprocs}'
        out, work = site.folder / name, site.folder / f'{name}_work'
        options = [*BOTH, '--nprocs', nprocs]
        running = site.start(site.bids, out, work, options)
        running.wait_for(work, 'linear_0GenericAffine.mat')
        time.sleep(1.0)
        family = running.family()
        sent = time.monotonic()
        running.process.send_signal(number)
        ended = running.end(60)
        took = time.monotonic() - sent
        alive, hidden = left_over(family), partials(out)
        again = site.start(site.bids, out, work, options).end()
        right = 128 + number
        yield Seen(
            FAULT,
            f'{number.name} during the SyN, `--nprocs {nprocs}`',
            f'ended after {took:.1f} s with exit code {ended.code} and "{ended.last}"; '
            f'{alive or "no"} processes left; started again: exit code {again.code}, '
            f'{len(outputs(out))} files',
            ended.code == right and not alive and not hidden and again.code == 0,
        )
