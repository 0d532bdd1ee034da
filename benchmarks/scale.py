"""Costs of large data sets: start of a task, and the group level.

``python benchmarks/scale.py OUT [--people 10 100 1000 10000]`` makes data sets, outputs and
raters' files in OUT (deleted at the end), measures the command on them, and writes
``OUT/scale.tsv`` and ``OUT/scale.svg``. With ``--page docs/scale.md`` the table of that page and
its figure are replaced. Measurements that OUT has are not made again.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tmsprep.formats.targets_tsv import write_table

from scale_parts.made import label, make_dataset, make_outputs, make_raters
from scale_parts.measure import Cost, until_first_node, whole_run
from scale_parts.page import draw, put_into, section

#: Largest numbers of participants that are measured with raters and in one process: larger studies
#: have neither.
MOST_RATED, MOST_AT_ONCE = 1000, 1000


def main() -> None:
    """Measure what is missing, and write table, graph and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path)
    parser.add_argument('--people', type=int, nargs='+', default=[10, 100, 1000, 10_000])
    parser.add_argument('--page', type=Path, help='page to put the table into')
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    path = out / 'scale.tsv'
    rows = pd.read_csv(path, sep='\t').to_dict('records') if path.is_file() else []
    for people in options.people:
        if people in {row['people'] for row in rows}:
            continue
        for what, cost in measure(out / str(people), people):
            print(f'{people} participants, {what}: {cost.seconds:.1f} s, {cost.megabytes:.0f} MB')
            rows.append({'what': what, 'people': people, **cost._asdict()})
        shutil.rmtree(out / str(people))
        write_table(path, pd.DataFrame(rows))
    table = pd.DataFrame(rows)
    draw(table, out / 'scale.svg')
    print(section(table))
    if options.page is not None:
        put_into(options.page, section(table))
        shutil.copyfile(out / 'scale.svg', options.page.parent / 'figures' / 'scale.svg')


def measure(home: Path, people: int) -> Iterator[tuple[str, Cost]]:
    """Make data of so many participants in a folder, and yield each kind of run with its cost."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    bids, out, database = make_dataset(home / 'bids', people), home / 'out', home / 'database'
    few = ['--participant-label', *(label(n) for n in (1, people // 2, people))]
    yield 'start', until_first_node(home / 'work-1', bids, home / 'new', 'participant', *few)
    made = ['--bids-database-dir', database, '--dry-run', '-w', home / 'work-2']
    yield 'database', whole_run(bids, home / 'new', 'participant', *made)
    use = [*few, '--bids-database-dir', database]
    yield (
        'start, database',
        until_first_node(home / 'work-3', bids, home / 'new', 'participant', *use),
    )
    if people <= MOST_AT_ONCE:
        yield 'everybody', until_first_node(home / 'work-4', bids, home / 'new', 'participant')
    make_outputs(out, bids, people)
    yield 'group', whole_run(bids, out, 'group')
    raters = make_raters(home / 'points', min(people, MOST_RATED))
    yield 'group, raters', whole_run(bids, out, 'group', '--annotations', raters)


if __name__ == '__main__':
    main()
