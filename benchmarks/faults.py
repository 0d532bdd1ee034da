"""Cause the faults of clusters in real runs, and write ``docs/faults.md``.

``python benchmarks/faults.py OUT`` makes phantoms in OUT, does everything, and writes what was
done and seen into the page, a table for each part as soon as it is done. All of it takes about an
hour on one core, less with fewer kills of each level (``--kills 5``). ``--only kills crowd`` does
those parts alone, and leaves the other tables as they are. What needs root (a small disk, another
user, control groups) is named as not done without.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.phantoms import write_dataset

from faults_parts.crowd import start_eight
from faults_parts.damage import damage_files
from faults_parts.disks import fill_disks
from faults_parts.kills import crossval, group, kill_often, participant, train
from faults_parts.memory import use_up_memory
from faults_parts.people import break_people
from faults_parts.places import look_at_temporary, take_away
from faults_parts.runs import CHECKOUT, Seen, Site
from faults_parts.signals import stop_runs

PAGE = CHECKOUT / 'docs' / 'faults.md'
KILLS, SEED = 20, 1

#: Analysis levels whose runs are killed, by part.
LEVELS = {
    'kills': participant,
    'kills_train': train,
    'kills_crossval': crossval,
    'kills_group': group,
}

PARTS: dict[str, Callable[..., Iterator[Seen]]] = {
    **{part: partial(kill_often, level=level, seed=SEED) for part, level in LEVELS.items()},
    'signals': stop_runs,
    'damage': damage_files,
    'memory': use_up_memory,
    'crowd': start_eight,
    'disks': fill_disks,
    'people': break_people,
    'places': take_away,
    'temporary': look_at_temporary,
}


def prepare(folder: Path, part: str) -> Site:
    """Make the phantoms, if they are not there, and an empty folder for a part."""
    one, eight = folder / 'one', folder / 'eight'
    if not one.exists():
        write_dataset(one, [3], ['01'], voxel_size=(3.0, 3.0, 3.0))
    if not eight.exists():
        labels = [f'{i:02d}' for i in range(1, 9)]
        write_dataset(eight, range(1, 9), labels, voxel_size=(4.0, 4.0, 4.0))
    place = folder / part
    if place.exists():
        shutil.rmtree(place)
    place.mkdir()
    return Site(place, one, eight, folder / 'tmp')


def do(folder: Path, part: str, kills: int) -> list[Seen]:
    """Do a part, print what is seen and return it."""
    rows = []
    further = {'times': kills} if part in LEVELS else {}
    for row in PARTS[part](prepare(folder, part), **further):
        print(f'{"ok" if row.good else "NO"} {row.fault}: {row.done}: {row.seen}', flush=True)
        rows.append(row._replace(seen=row.seen.replace(str(folder / part), 'OUT')))
    return rows


def table(rows: Sequence[Seen]) -> str:
    """Write what was seen as a table in Markdown."""
    lines = ['| action | observed | as required |', '|---|---|---|']
    for row in rows:
        verdict = 'yes' if row.good else '**no**'
        cells = (cell.replace('|', '\\|') for cell in (row.done, row.seen))
        lines.append(f'| {" | ".join(cells)} | {verdict if row.seen else "-"} |')
    return '\n'.join(lines)


def write_page(part: str, rows: Sequence[Seen]) -> None:
    """Replace the table of a part, and say when and with which version it was made."""
    begin, end = f'<!-- {part}: begin -->', f'<!-- {part}: end -->'
    head, rest = PAGE.read_text(encoding='utf-8').split(begin)
    tail = rest.split(end)[1]
    when = f'{date.today():%Y-%m-%d}, tmsprep {__version__}:'
    write_text(PAGE, f'{head}{begin}\n{when}\n\n{table(rows)}\n{end}{tail}')


def main() -> int:
    """Parse the command line and do it; 1 if something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path)
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--kills', type=int, default=KILLS, metavar='N', help='of each level')
    options = parser.parse_args()
    folder = options.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    good = True
    for part in options.only:
        rows = do(folder, part, options.kills)
        write_page(part, rows)
        good = good and all(row.good for row in rows)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
