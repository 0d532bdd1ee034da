"""Measure how accurate the points are, and write ``docs/accuracy.md``.

``python benchmarks/accuracy.py DATA OUT`` with DATA the folder of ``ixi``, ``ds000011``,
``ds002748``, ``studyforrest`` and ``templates``. OUT keeps one small table per image and method,
under the checksum of the weights: repeat the command to resume. Empty OUT after a change of the
code. A part of the page is there once all of it has been measured.
``OUT/.../pictures`` shows the points on the images of other scanners.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from tmsprep.atomic import atomic_path, write_text
from tmsprep.files import file_sha256
from tmsprep.methods.baxter2021.weights import load_localizer

from accuracy_parts.cortex import NEAR_MM
from accuracy_parts.figures import draw_strengths
from accuracy_parts.jobs import DATA, Job, collect, run_jobs
from accuracy_parts.measure import PROTOCOL
from accuracy_parts.page import write_page
from accuracy_parts.pictures import montage
from accuracy_parts.subjects import Subject, people_of_other_scanners, test_people
from accuracy_parts.summaries import (
    ALL,
    MOTIONS,
    between_methods,
    by_corruption,
    by_motion,
    by_target,
    near_cortex,
)
from corruptions.catalogue import CORRUPTIONS

DOCS = Path(__file__).resolve().parents[1] / 'docs'
PARTS = ('test', 'corruptions', 'motion', 'scanners')
FIGURE = 'figures/accuracy_corruptions.svg'


def corruption_jobs(people: Sequence[Subject], names: Sequence[str], syn_people: int) -> list[Job]:
    """All participants by the network at all strengths, the first few by SyN at the middle one."""
    jobs = []
    for name in names:
        for strength in CORRUPTIONS[name].strengths:
            jobs += [Job('corruptions', p, 'cnn', name, strength) for p in people]
        jobs += [Job('corruptions', p, 'syn', name, 'middle') for p in people[:syn_people]]
    return jobs


def plan(options: argparse.Namespace) -> dict[str, list[Job]]:
    """List the jobs of all parts; those of 'test' must be done before the spoilt images."""
    people = test_people(options.data, PROTOCOL)[: options.people]
    others = people_of_other_scanners(options.data, PROTOCOL)
    return {
        'test': [Job('test', p, method) for method in ('cnn', 'syn') for p in people],
        'corruptions': corruption_jobs(people, options.corruptions, options.syn_people),
        'motion': corruption_jobs(people, MOTIONS, 0),
        'scanners': [Job('scanners', p, 'both') for p in others if p.number < options.people],
    }


def summarise(jobs: dict[str, list[Job]], out: Path) -> dict[str, pd.DataFrame]:
    """Make the tables of those parts that have been measured to the end."""
    done = {part for part, some in jobs.items() if all(job.path(out).is_file() for job in some)}
    rows = {part: collect(jobs[part], out) for part in done}
    tables = {}
    if 'test' in done:
        tables['test'] = by_target(rows['test'])
    if {'test', 'corruptions'} <= done:
        tables['corruptions'] = by_corruption(rows['corruptions'])
    if 'motion' in done:
        tables['motion'] = by_motion(rows['motion'])
    if 'scanners' in done:
        tables['methods'] = between_methods(rows['scanners'])
        tables['cortex'] = near_cortex(rows['scanners'], NEAR_MM)
    return tables


def facts(weights: Path, jobs: dict[str, list[Job]], syn_people: int) -> dict[str, object]:
    """Collect the facts about weights, participants and programs."""
    localizer = load_localizer(weights)
    names = ('tmsprep', 'torch', 'antspyx', 'numpy', 'scipy', 'nibabel')
    count = len(localizer.members)
    people = len({job.subject.name for job in jobs['test']})
    return {
        'weights': weights.name,
        'sha256': file_sha256(weights),
        'members': 'one network' if count == 1 else f'an ensemble of {count} networks',
        'card': '; '.join(f'{key}: {value}' for key, value in localizer.card.items()),
        'versions': 'Versions: ' + ', '.join(f'{name} {version(name)}' for name in names),
        'people': people,
        'syn_people': min(syn_people, people),
        'other_people': len(jobs['scanners']),
    }


def publish(tables: dict[str, pd.DataFrame], about: dict[str, object], docs: Path) -> None:
    """Write tables, figure and page."""
    for name, table in tables.items():
        with atomic_path(docs / 'tables' / f'accuracy_{name}.tsv') as partial:
            table.to_csv(partial, sep='\t', index=False, float_format='%.3f', na_rep='n/a')
    write_text(docs / 'tables' / 'accuracy_facts.json', json.dumps(about, indent=2) + '\n')
    figure = ''
    if 'corruptions' in tables:
        test = tables['test'].set_index(['method', 'label'])
        draw_strengths(tables['corruptions'], test.loc[('cnn', ALL), 'mean'], docs / FIGURE)
        figure = f'![Error against the strength of each corruption]({FIGURE})'
    write_text(docs / 'accuracy.md', write_page(tables, {**about, 'figure': figure}))


def draw_pictures(jobs: Sequence[Job], out: Path) -> None:
    """Draw one picture per data set; they show participants and stay in OUT."""
    for dataset in dict.fromkeys(job.subject.dataset for job in jobs):
        chosen = [job for job in jobs if job.subject.dataset == dataset]
        files = [job.path(out).with_suffix('.npz') for job in chosen]
        names = [job.subject.name for job in chosen]
        montage(files, names, out / 'pictures' / f'{dataset}.jpg')


def main() -> None:
    """Parse the command line, measure what has not been measured, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--parts', nargs='+', default=PARTS, choices=PARTS)
    parser.add_argument('--weights', type=Path, default=DATA / 'localizer_tms.safetensors')
    parser.add_argument('--people', type=int, default=30, help='of each data set')
    parser.add_argument('--syn-people', type=int, default=5, help='by SyN, spoilt images')
    parser.add_argument(
        '--corruptions', nargs='+', default=list(CORRUPTIONS), choices=list(CORRUPTIONS)
    )
    parser.add_argument('--processes', type=int, default=1)
    parser.add_argument('--docs', type=Path, default=DOCS, help='where the page goes')
    options = parser.parse_args()
    checksum = file_sha256(options.weights)
    out = options.out / checksum[:12]
    jobs = plan(options)
    if set(options.parts) & {'corruptions', 'motion'}:
        options.parts = {*options.parts, 'test'}
    for part in (part for part in PARTS if part in options.parts):
        run_jobs(jobs[part], options.weights, out, options.processes)
    if 'scanners' in options.parts:
        draw_pictures(jobs['scanners'], out)
    about = facts(options.weights, jobs, options.syn_people)
    publish(summarise(jobs, out), about, options.docs)


if __name__ == '__main__':
    main()
