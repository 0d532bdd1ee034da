"""Files of the working directory that a power failure, a bad disk or a clean-up job damages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from faults_parts.kills import Level, crossval, train
from faults_parts.runs import Running, Seen, Site, differences, outputs

FAULT = 'Damaged files'


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _flip(path: Path) -> None:
    """Turn one bit in the middle over."""
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


#: What happens to every file, in words.
KINDS: dict[str, Callable[[Path], object]] = {
    'cut to half': _cut,
    'filled with zeros': _zero,
    'deleted': Path.unlink,
    'with one bit turned over': _flip,
}


def participant(site: Site) -> Level:
    """Localise in one phantom, by the network alone."""

    def start(out: Path, work: Path, nprocs: str) -> Running:
        return site.start(site.bids, out, work)

    return Level('`participant`, CNN', start)


def damage_files(site: Site) -> Iterator[Seen]:
    """Damage all files of a finished working directory, and start the same command again."""
    for make in (participant, train, crossval):
        level = make(site)
        out, work = site.folder / f'{make.__name__}_out', site.folder / f'{make.__name__}_work'
        level.before(out)
        level.start(out, work, '1').end()
        whole = outputs(out)
        for kind, how in KINDS.items():
            yield _damage(level, out, work, whole, kind, how)


def _damage(
    level: Level,
    out: Path,
    work: Path,
    whole: dict[str, bytes],
    kind: str,
    how: Callable[[Path], object],
) -> Seen:
    files = [path for path in sorted(work.rglob('*')) if path.is_file() and not path.is_symlink()]
    for path in files:
        times = path.stat()
        how(path)
        if path.exists():
            # As a bad disk does it: nothing shows.
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.rmtree(out)
    level.before(out)
    ended = level.start(out, work, '1').end()
    different = differences(out, whole)
    return Seen(
        FAULT,
        f'{level.name}: all {len(files)} files of the working directory {kind}',
        f'exit code {ended.code}, {len(different) or "no"} files differ from those before',
        ended.code == level.code and not different,
    )
