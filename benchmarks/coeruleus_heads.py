"""Measure the shipped localiser of the locus coeruleus, and write a page on it.

``python benchmarks/coeruleus_heads.py DATA OUT [--docs DOCS]`` simulates images in heads that no
network was trained on (label maps, by a simulator that shares nothing with training; real heads;
stem phantoms), localises in each, and writes ``locus_coeruleus_heads.md`` and its tables to
DOCS. DATA is laid out as for `coeruleus_weights`, with ``label_maps`` and ``templates``. What is
in OUT is not measured again, as long as the weights are the same.
"""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path

import pandas as pd
import torch
from coeruleus_weights import WEIGHTS

from tmsprep.atomic import write_text
from tmsprep.methods.duennwald2021.two_stages import load_stages

from coeruleus_testing.cases import KINDS, measure_all, reported
from coeruleus_testing.page import write_page
from coeruleus_testing.results import summarise

DOCS = Path(__file__).resolve().parents[1] / 'docs'


def summarise_all(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise each kind of image and each coverage; one row per pair of the two."""
    found = []
    for kind in KINDS:
        for coverage in ('whole', 'slab', 'stem'):
            part = rows[(rows['kind'] == kind) & (rows['coverage'] == coverage)]
            if len(part):
                found.append({'kind': kind, 'coverage': coverage} | summarise(part))
    return pd.DataFrame(found)


def publish(rows: pd.DataFrame, docs: Path, card: dict[str, str]) -> Path:
    """Write the tables and the page."""
    summary = summarise_all(rows)
    (docs / 'tables').mkdir(parents=True, exist_ok=True)
    for name, table in (('summary', summary), ('sides', rows)):
        text = table.to_csv(sep='\t', index=False, na_rep='n/a', float_format='%.3f')
        write_text(docs / 'tables' / f'locus_coeruleus_heads_{name}.tsv', text)
    return write_text(docs / 'locus_coeruleus_heads.md', write_page(summary, rows, card))


def main() -> None:
    """Measure what has not been measured, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--cache', type=Path, help='registered heads; OUT/heads if not given')
    parser.add_argument('--weights', type=Path, default=WEIGHTS)
    parser.add_argument('--docs', type=Path, default=DOCS, help='where the page goes')
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    checksum = sha256(options.weights.read_bytes()).hexdigest()[:12]
    rows = measure_all(
        reported(),
        load_stages(options.weights),
        options.data,
        options.cache or options.out / 'heads',
        options.out / f'rows_{checksum}.tsv',
    )
    print(publish(rows, options.docs, dict(load_stages(options.weights).card)))


if __name__ == '__main__':
    main()
