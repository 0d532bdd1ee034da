"""Measure how accurate the points are, and write ``docs/accuracy.md``.

``python benchmarks/accuracy.py DATA OUT`` with DATA the folder of ``ixi``, ``miccai2012``,
``ds000011``, ``ds002748``, ``studyforrest`` and ``templates``. OUT keeps one small file per image
and method, under the checksums of the weights: repeat the command to resume. Empty OUT after a
change of the code. A part of the page is there once all of it has been measured.
``OUT/.../pictures`` shows the points on the images of other scanners.

``--only gyri --people choose`` prints how the participants fare on whom choices may be made, and
writes no page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

import tmsprep
from tmsprep.atomic import atomic_path, write_text
from tmsprep.files import file_sha256
from tmsprep.methods.baxter2021.weights import load_localizer

from accuracy_parts.broken import broken_labels, without_broken
from accuracy_parts.cortex import NEAR_MM
from accuracy_parts.figures import draw_strengths
from accuracy_parts.gyri_summaries import by_gyrus, mean_dice, warnings
from accuracy_parts.jobs import DATA, Job, Weights, collect, run_jobs, with_reference
from accuracy_parts.measure import PROTOCOL
from accuracy_parts.page import write_page
from accuracy_parts.pictures import montage
from accuracy_parts.subjects import (
    Subject,
    people_of_other_scanners,
    people_with_labels,
)
from accuracy_parts.summaries import (
    ALL,
    MOTIONS,
    between_methods,
    by_corruption,
    by_motion,
    by_promise,
    by_target,
    near_cortex,
)
from accuracy_parts.worst import draw_worst, worst_points
from corruptions.catalogue import CORRUPTIONS

DOCS = Path(__file__).resolve().parents[1] / 'docs'
PARTS = ('gyri', 'corruptions', 'motion', 'scanners')

#: What must have been measured before a part, and what belongs to it.
NEEDS = {
    'gyri': ('located', 'overlap'),
    'corruptions': ('located', 'gyri'),
    'motion': ('located', 'gyri'),
}
WORST_FIGURE, WORST = 'figures/accuracy_worst.jpg', 10
FIGURE = 'figures/accuracy_corruptions.svg'


def corruption_jobs(
    people: Sequence[Subject], names: Sequence[str], syn_people: int, weights: Weights
) -> list[Job]:
    """All participants by the network at all strengths, the first few by SyN at the middle one."""
    folder = weights.judged
    jobs = []
    for name in names:
        for strength in CORRUPTIONS[name].strengths:
            jobs += [Job('corruptions', p, 'cnn', name, strength, folder) for p in people]
        jobs += [Job('corruptions', p, 'syn', name, 'middle', folder) for p in people[:syn_people]]
    return jobs


def plan(
    options: argparse.Namespace, labelled: Sequence[Subject], weights: Weights
) -> dict[str, list[Job]]:
    """List the jobs of all parts; those of 'located' must be done before the others."""
    people = [p for p in labelled if p.dataset == 'ixi'][:: options.every]
    others = people_of_other_scanners(options.data, PROTOCOL)
    others = [person for person in others if person.number < options.first]
    return {
        **gyri_jobs(labelled, ('cnn', 'syn'), weights),
        'corruptions': corruption_jobs(people, options.corruptions, options.syn_people, weights),
        'motion': corruption_jobs(people, MOTIONS, 0, weights),
        'scanners': [Job('scanners', p, 'cnn+syn', folder=weights.judged) for p in others],
    }


def gyri_jobs(
    people: Sequence[Subject], methods: Sequence[str], weights: Weights
) -> dict[str, list[Job]]:
    """List the jobs that compare points and parcellation with labels."""
    parts = {
        'located': [
            Job('located', p, method, folder=weights.located) for method in methods for p in people
        ],
        'gyri': [Job('gyri', p, '+'.join(methods), folder=weights.judged) for p in people],
    }
    if weights.gyri is not None:
        parts['overlap'] = [Job('overlap', p, '', folder=weights.judged) for p in people]
    return parts


def show_choice(options: argparse.Namespace, weights: Weights) -> None:
    """Measure on the participants on whom choices may be made, and print tables."""
    out = options.out
    people = people_with_labels(options.data, PROTOCOL)['choose']
    people = with_reference(people, out, options.processes)
    jobs = gyri_jobs(people, options.methods, weights)
    for part, some in jobs.items():
        run_jobs(some, weights, out, options.processes)
        if part == 'gyri':
            rows = collect(some, out)
            print(shares_per_target(rows), '\n')
            table = by_gyrus(rows).query(f'label == "{ALL}"').drop(columns='label')
            print(table.round(3).to_string(index=False), '\n')
            print(warnings(rows).round(3).to_string(index=False), '\n')
        if part == 'overlap':
            table = mean_dice(collect(some, out)).set_index(['gyrus', 'side', 'group'])
            print(table['mean'].unstack('group').round(3).to_string(), '\n')


def shares_per_target(rows: pd.DataFrame) -> str:
    """Format shares inside the gyrus and near it, in %, one row per target."""
    table = by_gyrus(rows).set_index(['label', 'method', 'group'])[['inside', 'near']]
    order = table.index.get_level_values('label').unique()
    wide = (100 * table).unstack(['method', 'group']).reorder_levels([1, 2, 0], axis=1)
    wide = wide.sort_index(axis=1, level=[0, 1], sort_remaining=False)
    return wide.loc[order].round(1).to_string()


def summarise(jobs: dict[str, list[Job]], out: Path) -> dict[str, pd.DataFrame]:
    """Make the tables of those parts that have been measured to the end."""
    done = {part for part, some in jobs.items() if all(job.path(out).is_file() for job in some)}
    rows = {part: collect(jobs[part], out) for part in done - {'located'}}
    tables = {}
    if 'gyri' in done:
        measured = rows['gyri'][rows['gyri']['method'].isin(('cnn', 'syn'))]
        tables['test'] = by_target(measured[measured['dataset'] == 'ixi'])
        automatic = [job.subject for job in jobs['gyri'] if job.subject.dataset == 'ixi']
        tables['broken'] = broken_labels(automatic)
        tables['points'] = without_broken(rows['gyri'], tables['broken'], gyri_of_targets())
        tables['gyri'] = by_gyrus(tables['points'])
        tables['warnings'] = warnings(tables['points'])
    if 'overlap' in done:
        tables['dice'] = mean_dice(rows['overlap'])
    if {'gyri', 'corruptions'} <= done:
        tables['corruptions'] = by_corruption(rows['corruptions'])
    if 'gyri' in done:
        tables['promise'] = by_promise(rows['gyri'], rows.get('corruptions', pd.DataFrame()))
    if 'motion' in done:
        tables['motion'] = by_motion(rows['motion'])
    if 'scanners' in done:
        tables['methods'] = between_methods(rows['scanners'])
        tables['cortex'] = near_cortex(rows['scanners'], NEAR_MM)
    return tables


def gyri_of_targets() -> pd.DataFrame:
    """Return label, gyrus and side of each target."""
    rows = [(target.label, target.gyrus, target.hemisphere) for target in PROTOCOL.targets]
    return pd.DataFrame(rows, columns=['label', 'gyrus', 'side'])


def facts(
    weights: Path, gyri: Path | None, jobs: dict[str, list[Job]], syn_people: int
) -> dict[str, object]:
    """Collect the facts about weights, participants and programs."""
    localizer = load_localizer(weights)
    names = ('torch', 'antspyx', 'numpy', 'scipy', 'nibabel')
    versions = [f'tmsprep {tmsprep.__version__}', *(f'{name} {version(name)}' for name in names)]
    count = len(localizer.members)
    people = len({job.subject.name for job in jobs['gyri'] if job.subject.dataset == 'ixi'})
    corrupted = len({job.subject.name for job in jobs['corruptions']})
    return {
        'weights': weights.name,
        'sha256': file_sha256(weights),
        'members': 'one network' if count == 1 else f'an ensemble of {count} networks',
        'card': '; '.join(f'{key}: {value}' for key, value in localizer.card.items()),
        'gyri_weights': 'none' if gyri is None else f'`{gyri.name}`, sha256 `{file_sha256(gyri)}`',
        'versions': f'Versions: {", ".join(versions)}',
        'people': people,
        'corrupted_people': corrupted,
        'syn_people': min(syn_people, corrupted),
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
    worst = ''
    if 'gyri' in tables:
        worst = f'![The points that are farthest from their gyrus]({WORST_FIGURE})'
    write_text(
        docs / 'accuracy.md', write_page(tables, {**about, 'figure': figure, 'worst': worst})
    )


def draw_pictures(jobs: Sequence[Job], out: Path) -> None:
    """Draw one picture per data set; they show participants and stay in OUT."""
    for dataset in dict.fromkeys(job.subject.dataset for job in jobs):
        chosen = [job for job in jobs if job.subject.dataset == dataset]
        files = [job.path(out).with_suffix('.npz') for job in chosen]
        names = [job.subject.name for job in chosen]
        montage(files, names, out / 'pictures' / f'{dataset}.jpg')


def gyri_weights() -> Path | None:
    """Weights of the parcellation that the protocol names, if it names some."""
    return PROTOCOL.file(PROTOCOL.gyri) if PROTOCOL.gyri else None


def main() -> None:
    """Parse the command line, measure what has not been measured, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--only', nargs='+', default=PARTS, choices=PARTS, metavar='PART')
    parser.add_argument('--people', choices=('report', 'choose'), default='report')
    parser.add_argument(
        '--methods', nargs='+', default=['cnn'], choices=('cnn', 'syn'), help='to choose by'
    )
    parser.add_argument('--weights', type=Path, default=DATA / 'localizer_tms.safetensors')
    parser.add_argument('--gyri', type=Path, default=gyri_weights(), help='of the parcellation')
    parser.add_argument(
        '--offsets', type=Path, help='of the atlas, by `train --localizers syn` (default: none)'
    )
    parser.add_argument('--first', type=int, default=30, help='participants of each data set')
    parser.add_argument('--every', type=int, default=3, help='nth test participant is corrupted')
    parser.add_argument('--syn-people', type=int, default=2, help='by SyN, corrupted images')
    parser.add_argument(
        '--corruptions', nargs='+', default=list(CORRUPTIONS), choices=list(CORRUPTIONS)
    )
    parser.add_argument('--processes', type=int, default=1)
    parser.add_argument('--docs', type=Path, default=DOCS, help='where the page goes')
    options = parser.parse_args()
    weights = Weights(options.weights, options.gyri, options.offsets)
    if options.people == 'choose':
        show_choice(options, weights)
        return
    labelled = people_with_labels(options.data, PROTOCOL)['report']
    labelled = [person for person in labelled if person.number < options.first]
    labelled = with_reference(labelled, options.out, options.processes)
    jobs = plan(options, labelled, weights)
    needed = {part for part in options.only for part in (*NEEDS.get(part, ()), part)}
    for part in (part for part in jobs if part in needed):
        run_jobs(jobs[part], weights, options.out, options.processes)
    if 'scanners' in needed:
        draw_pictures(jobs['scanners'], options.out)
    about = facts(options.weights, options.gyri, jobs, options.syn_people)
    tables = summarise(jobs, options.out)
    points = tables.pop('points', pd.DataFrame())
    if len(points):
        worst = worst_points(points, WORST)
        draw_worst(worst, points, labelled, PROTOCOL, options.docs / WORST_FIGURE)
    publish(tables, about, options.docs)


if __name__ == '__main__':
    main()
