"""``kill -9`` at random moments."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

from faults_parts.runs import Running, Seen, Site, differences, left_over, outputs, partials
from faults_parts.watch import Watcher

BOTH = ('--sloppy', '--omp-nthreads', '1')
FAULT = '`kill -9`'


def kill_often(site: Site, times: int, seed: int) -> Iterator[Seen]:
    """Kill runs at moments spread over the whole of a run, and start them again.

    A killed run is started again in the same folders and killed again, until one gets through;
    then the next begins from nothing. Once the first process is killed, once the one that works;
    once with one process for the steps, once with two.

    Parameters
    ----------
    site : Site
        Where.
    times : int
        Runs to kill.
    seed : int
        Of the moments.
    """
    out, work = site.folder / 'unbroken', site.folder / 'unbroken_work'
    unbroken = site.start(site.bids, out, work, [*BOTH, '--nprocs', '1']).end()
    whole = outputs(out)
    yield Seen(
        FAULT,
        'a run without any fault, CNN and SyN',
        f'{len(whole)} files, {unbroken.seconds:.0f} s',
        unbroken.code == 0,
    )
    chain = _Chain(site, whole, unbroken.seconds, Random(seed))
    while chain.killed < times:
        chain.run()
    chain.finish()
    watch = chain.watch
    yield Seen(
        FAULT,
        f'{times} runs killed, at {chain.moments}',
        f'{chain.finished} runs finished in the end: '
        f'{chain.different or "none"} of their files differ from those of the uninterrupted run; '
        f'{chain.alive or "no"} processes were left; '
        f'{len(chain.hidden) or "no"} temporary files were left after the last run',
        not (chain.different or chain.alive or chain.hidden or chain.failed),
    )
    yield Seen(
        FAULT,
        f'{watch[0]} checks of the output directory meanwhile, {watch[1]} versions of files read',
        f'{len(chain.partial) or "no"} partial files under a final name',
        not chain.partial,
    )


class _Chain:
    """Runs that are killed until one gets through, again and again."""

    def __init__(self, site: Site, whole: dict[str, bytes], seconds: float, random: Random):
        self._site, self._whole, self._seconds, self._random = site, whole, seconds, random
        self._out = self._work = Path()
        self.killed = self.finished = self.failed = self.different = self.alive = 0
        self._moments: list[float] = []
        self.hidden: list[str] = []
        self.partial: list[str] = []
        self.watch = [0, 0]
        self._begin()

    def _begin(self) -> None:
        for folder in (self._out, self._work):
            if folder != Path():
                shutil.rmtree(folder)
        self._out = self._site.folder / f'killed_{self.finished}'
        self._work = self._site.folder / f'killed_{self.finished}_work'

    @property
    def moments(self) -> str:
        """When the kills came, in words."""
        return ', '.join(f'{moment:.1f}' for moment in sorted(self._moments)) + ' s'

    def run(self) -> None:
        """Start a run and kill it, unless it ends first."""
        moment = self._random.uniform(0, self._seconds)
        with Watcher(self._out, self._whole) as watcher:
            running = self._start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(moment)
            if running.process.poll() is None:
                self._kill(running, moment)
            else:
                self._got_through(running)
        self._take(watcher)

    def _start(self) -> Running:
        nprocs = '2' if self.killed % 2 else '1'
        options = [*BOTH, '--nprocs', nprocs]
        return self._site.start(self._site.bids, self._out, self._work, options)

    def _kill(self, running: Running, moment: float) -> None:
        family = running.family()
        victim = family[min(len(family) - 1, self.killed // 2 % 2)]
        victim.kill()
        running.end(30)
        self.alive += left_over(family)
        self.killed += 1
        self._moments.append(moment)

    def finish(self) -> None:
        """Let the last chain get through."""
        with Watcher(self._out, self._whole) as watcher:
            running = self._start()
            self._got_through(running)
        self._take(watcher)

    def _got_through(self, running: Running) -> None:
        self.failed += running.end().code != 0
        self.different += len(differences(self._out, self._whole))
        self.hidden += partials(self._out)
        self.finished += 1
        self._begin()

    def _take(self, watcher: Watcher) -> None:
        self.partial += watcher.partial
        self.watch[0] += watcher.looks
        self.watch[1] += watcher.versions
