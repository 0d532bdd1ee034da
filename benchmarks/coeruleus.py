"""Repeat Duennwald et al. 2021 on simulated images, and write ``docs/locus_coeruleus.md``.

``python benchmarks/coeruleus.py OUT [--participants 82 --held-out 23 --folds 5 --epochs N
--processes 2]`` makes the participants in ``OUT/bids``, cross-validates into ``OUT/out`` (working
directory ``OUT/work``), writes the tables of the group, measures speed and memory, and writes the
page. Steps whose results are in OUT are not repeated, and an interrupted cross-validation is
resumed; delete a folder to repeat its step.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from tmsprep.atomic import write_text

from coeruleus_parts.facts import collect_facts, read_table
from coeruleus_parts.page import SOURCE, write_page
from coeruleus_parts.steps import (
    Plan,
    crossvalidate,
    make_phantoms,
    measure_speed,
    summarise_group,
)

DOCS = Path(__file__).resolve().parents[1] / 'docs'
TABLES = (
    *('table1', 'augmentation', 'axes', 'constant', 'segmentation', 'icc', 'icc_mean', 'tests'),
)
"""Tables of the group level that the page rests on."""


def publish(plan: Plan, docs: Path) -> Path:
    """Write tables, figures and page; what an earlier run had and this one has not goes.

    Parameters
    ----------
    plan : Plan
        Whose outputs are published.
    docs : Path
        Folder of the page, with ``tables`` and ``figures``.

    Returns
    -------
    Path
        The page.
    """
    tables = {}
    pairs = [(plan.layout.level('group', t), f'tables/locus_coeruleus_{t}.tsv') for t in TABLES]
    for name, shown in (('errors', 'errors'), ('overlap', 'figure2')):
        drawn = plan.layout.level('group', f'{SOURCE}-{name}', '.svg').name
        pairs.append((plan.out / 'figures' / drawn, f'figures/locus_coeruleus_{shown}.svg'))
    for source, target in pairs:
        (docs / target).parent.mkdir(parents=True, exist_ok=True)
        (docs / target).unlink(missing_ok=True)
        if source.is_file():
            shutil.copyfile(source, docs / target)
    for name in TABLES:
        path = docs / 'tables' / f'locus_coeruleus_{name}.tsv'
        if path.is_file():
            tables[name] = read_table(path)
    facts = collect_facts(plan)
    write_text(docs / 'tables' / 'locus_coeruleus_facts.json', json.dumps(facts, indent=2) + '\n')
    return write_text(docs / 'locus_coeruleus.md', write_page(tables, facts))


def main() -> None:
    """Do what has not been done, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path)
    parser.add_argument('--participants', type=int, default=82)
    parser.add_argument('--held-out', type=int, default=23)
    parser.add_argument('--folds', type=int, default=5)
    parser.add_argument('--epochs', type=int, help="of every training; else the recipe's")
    parser.add_argument('--processes', type=int, default=2, help='trainings at a time')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--shape', type=int, nargs=3, default=(96, 104, 72), help='for the speed')
    parser.add_argument('--docs', type=Path, default=DOCS, help='where the page goes')
    options = parser.parse_args()
    plan = Plan(
        options.out.resolve(),
        options.participants,
        options.held_out,
        options.folds,
        options.epochs,
        options.processes,
        options.seed,
    )
    make_phantoms(plan)
    crossvalidate(plan)
    summarise_group(plan)
    measure_speed(plan, options.shape)
    print(publish(plan, options.docs))


if __name__ == '__main__':
    main()
