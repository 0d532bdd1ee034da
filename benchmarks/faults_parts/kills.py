"""``kill -9`` at random moments, at each analysis level that computes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from faults_parts.runs import CNN, Running, Seen, Site, differences, left_over, outputs, partials
from faults_parts.watch import Watcher

BOTH = ('--sloppy', '--omp-nthreads', '1')
FAULT = '`kill -9`'

#: So short a training of so few means nothing, but it writes all that a long one does.
LEARN = (
    *('--participant-label', '01', '02', '03', '04'),
    *('--recipe', 'quick', '--steps', '4', '--device', 'cpu'),
)


@dataclass(frozen=True)
class Level:
    """One analysis level, as its runs are killed.

    Parameters
    ----------
    name : str
        In words.
    start : callable
        Starts a run, given its output and working folders and the number of processes.
    before : callable
        Puts into an empty output folder what the level reads there.
    code : int
        Exit code of a run without any fault.
    """

    name: str
    start: Callable[[Path, Path, str], Running]
    before: Callable[[Path], object] = Path.mkdir
    code: int = 0


def participant(site: Site) -> Level:
    """Localise in one phantom, by the network and by SyN."""

    def start(out: Path, work: Path, nprocs: str) -> Running:
        return site.start(site.bids, out, work, [*BOTH, '--nprocs', nprocs])

    return Level('`participant`, CNN and SyN', start)


def train(site: Site) -> Level:
    """Train two networks on four phantoms."""

    def start(out: Path, work: Path, nprocs: str) -> Running:
        # One thread always: sums in another order differ in the last digits.
        options = [*_annotated(site), *LEARN, '--members', '2', '--nprocs', '1']
        return site.start(site.people, out, work, options, level='train')

    # So short a training gives networks of no use, and says so.
    return Level('`train`, two networks', start, code=3)


def crossval(site: Site) -> Level:
    """Cross-validate with two folds on four phantoms."""

    def start(out: Path, work: Path, nprocs: str) -> Running:
        options = [*_annotated(site), *LEARN, '--folds', '2', '--repetitions', '1']
        options += ['--nprocs', nprocs]
        return site.start(site.people, out, work, options, level='crossval')

    return Level('`crossval`, two trainings', start)


def group(site: Site) -> Level:
    """Compare the network with the truth in eight phantoms."""
    finished = site.folder / 'participants'

    def before(out: Path) -> None:
        if not finished.exists():
            site.start(site.people, finished, site.folder / 'participants_work', CNN).end()
        shutil.copytree(finished, out)

    def start(out: Path, work: Path, nprocs: str) -> Running:
        return site.start(site.people, out, None, _annotated(site)[:2], level='group')

    return Level('`group` of eight participants', start, before)


def _annotated(site: Site) -> list[str]:
    truth = str(site.people / 'derivatives' / 'truth')
    return ['--annotations', truth, '--derivatives', truth]


def kill_often(
    site: Site, level: Callable[[Site], Level], times: int, seed: int
) -> Iterator[Seen]:
    """Kill runs at moments spread over the whole of a run, and start them again.

    A killed run is started again in the same folders and killed again, until one gets through;
    then the next begins from nothing. Once the first process is killed, once the one that works;
    once with one process for the steps, once with two.

    Parameters
    ----------
    site : Site
        Where.
    level : callable
        Makes the level whose runs are killed.
    times : int
        Runs to kill.
    seed : int
        Of the moments.
    """
    killed = level(site)
    out, work = site.folder / 'unbroken', site.folder / 'unbroken_work'
    killed.before(out)
    unbroken = killed.start(out, work, '1').end()
    whole = outputs(out)
    yield Seen(
        FAULT,
        f'{killed.name}: a run without any fault',
        f'{len(whole)} files, {unbroken.seconds:.0f} s',
        unbroken.code == killed.code,
    )
    chain = _Chain(site, killed, whole, unbroken.seconds, Random(seed))
    while chain.killed < times:
        chain.run()
    chain.finish()
    watch = chain.watch
    yield Seen(
        FAULT,
        f'{killed.name}: {times} runs killed, at {chain.moments}',
        f'{chain.finished} runs finished in the end: '
        f'{chain.different or "none"} of their files differ from those of the uninterrupted run; '
        f'{chain.alive or "no"} processes were left; '
        f'{len(chain.hidden) or "no"} temporary files were left after the last run',
        not (chain.different or chain.alive or chain.hidden or chain.failed),
    )
    yield Seen(
        FAULT,
        f'{killed.name}: {watch[0]} checks of the output directory meanwhile, {watch[1]} versions '
        'of files read',
        f'{len(chain.partial) or "no"} partial files under a final name',
        not chain.partial,
    )


class _Chain:
    """Runs that are killed until one gets through, again and again."""

    def __init__(
        self, site: Site, level: Level, whole: dict[str, bytes], seconds: float, random: Random
    ):
        self._site, self._level, self._whole = site, level, whole
        self._seconds, self._random = seconds, random
        self._out = self._work = Path()
        self.killed = self.finished = self.failed = self.different = self.alive = 0
        self._moments: list[float] = []
        self.hidden: list[str] = []
        self.partial: list[str] = []
        self.watch = [0, 0]
        self._begin()

    def _begin(self) -> None:
        for folder in (self._out, self._work):
            if folder != Path() and folder.exists():
                shutil.rmtree(folder)
        self._out = self._site.folder / f'killed_{self.finished}'
        self._work = self._site.folder / f'killed_{self.finished}_work'
        self._level.before(self._out)

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
        return self._level.start(self._out, self._work, '2' if self.killed % 2 else '1')

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
        self.failed += running.end().code != self._level.code
        self.different += len(differences(self._out, self._whole))
        self.hidden += partials(self._out)
        self.finished += 1
        self._begin()

    def _take(self, watcher: Watcher) -> None:
        self.partial += watcher.partial
        self.watch[0] += watcher.looks
        self.watch[1] += watcher.versions
