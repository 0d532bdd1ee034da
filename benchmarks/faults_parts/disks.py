"""A disk that is full: a small tmpfs, which needs the rights to mount it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults_parts.runs import Ended, Seen, Site, differences, outputs, partials

SIZE_MB = 160
FAULT = 'Full disk'

#: Space left on the disk: none; enough for the log; enough for some of the outputs, or for the
#: conformed image and little more.
FREE_KB = {'output': (0, 64, 600), 'working': (0, 3000, 65560), 'temporary': (0,)}


def fill_disks(site: Site) -> Iterator[Seen]:
    """Let each of the folders of a run be full, then free space and start it again."""
    if os.getuid() != 0:
        yield Seen(FAULT, 'not done: only root may mount a small disk', '', True)
        return
    unbroken = site.folder / 'roomy'
    site.start(site.bids, unbroken, site.folder / 'roomy_work').end()
    whole = outputs(unbroken)
    for which, amounts in FREE_KB.items():
        for free_kb in amounts:
            yield _fill(site, which, free_kb, whole)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a tmpfs."""
    folder.mkdir(parents=True)
    size = f'size={SIZE_MB}m,mode=1777'
    subprocess.run(['mount', '-t', 'tmpfs', '-o', size, 'tmpfs', str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(disk: Path, free_kb: int) -> Path:
    """Write a file that leaves so much."""
    path = disk / 'filler'
    space = os.statvfs(disk)
    size = space.f_bavail * space.f_frsize - free_kb * 1024
    with path.open('wb') as file:
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
        file.write(bytes(size % 2**20))
    return path


def _fill(site: Site, which: str, free_kb: int, whole: dict[str, bytes]) -> Seen:
    name = f'full_{which}_{free_kb}'
    with small_disk(site.folder / name) as disk:
        folders = {kind: site.folder / f'{name}_{kind}' for kind in ('output', 'working')}
        folders[which] = disk / 'inside'
        if which == 'output':
            folders[which].mkdir()
        environment = {'TMPDIR': str(disk)} if which == 'temporary' else {}
        filler = fill(disk, free_kb)
        first = _run(site, folders, environment)
        hidden = partials(folders['output']) if folders['output'].is_dir() else []
        filler.unlink()
        second = _run(site, folders, environment)
        different = differences(folders['output'], whole)
        named = first.says(str(disk), 'the disk is full')
    right = first.code == (0 if which == 'temporary' else 1)
    told = (
        f'exit code {first.code} after {first.seconds:.0f} s, '
        f'{"the directory was named" if named else "not needed"}; '
        f'{len(hidden) or "no"} temporary files left; with space again: exit code {second.code}, '
        f'{len(different) or "no"} files differ'
    )
    good = right and (named or which == 'temporary') and not hidden and not different
    return Seen(FAULT, f'{which} directory, {free_kb} kB left', told, good and second.code == 0)


def _run(site: Site, folders: dict[str, Path], environment: dict[str, str]) -> Ended:
    running = site.start(site.bids, folders['output'], folders['working'], environment=environment)
    return running.end()
