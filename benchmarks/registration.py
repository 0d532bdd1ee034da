"""Measure how good the registration can be, and write ``docs/registration.md``.

``python benchmarks/registration.py DATA OUT`` with DATA the folder of ``ixi`` and ``miccai2012``:
the default registration, the same with the exact brain, ANTs' own full registration, and several
annotated heads as atlas, by the labels of gyri. OUT keeps one small table per image and method:
repeat the command to resume. ``--only`` narrows what is measured; the page has what is there. OUT
may be that of ``accuracy.py``, whose points of the program are then taken. Empty it after a change
of the code.

``--deepbet PROGRAM`` compares brain masks with those of ``deepbet-cli`` (MIT licence), which is
installed in an environment of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from tmsprep.atomic import atomic_path
from tmsprep.files import file_sha256

from accuracy_parts.broken import broken_labels
from accuracy_parts.jobs import DATA, Job, Weights, run_jobs, with_reference
from accuracy_parts.measure import PROTOCOL
from accuracy_parts.subjects import Subject, people_to_train_on, people_with_labels
from registration_parts.brains import compare_masks
from registration_parts.page import publish
from registration_parts.register import ANTS, EXACT, register_as
from registration_parts.summaries import summarise

DOCS = Path(__file__).resolve().parents[1] / 'docs'
GROUPS = ('MICCAI 2012, others', 'IXI, test')
PARTS = ('exact', 'heads', 'masks', 'ants')

#: Annotated heads, an odd number, so that the median is a point of one of them along each axis.
HEADS = 5


def find_heads(data: Path, out: Path) -> list[Subject]:
    """Find the first training participants with all points and without a broken label.

    None of them is a validation participant, on whom recipes were chosen.
    """
    people = people_to_train_on(data, PROTOCOL)
    broken = set(broken_labels(people)['participant_id'])
    people = [person for person in people if person.name not in broken]
    heads: list[Subject] = []
    for start in range(0, len(people), HEADS):
        some = with_reference(people[start : start + HEADS], out, 1)
        heads += [person for person in some if person.points.found.all()]
        if len(heads) >= HEADS:
            break
    return heads[:HEADS]


def plan(
    people: Sequence[Subject], everybody: Sequence[Subject], weights: Weights, masks: str
) -> dict[str, list[Job]]:
    """List the jobs of all parts; points of `people`, and masks of everybody.

    `masks` names the program that the own masks are compared with; '' for none.
    """
    atlas = file_sha256(PROTOCOL.file(PROTOCOL.atlas['points']))[:12]
    own = f'{weights.located}-{atlas}'
    # The program takes a stripped image's own outline: the exact brain changes nothing.
    whole = [person for person in people if person.dataset == 'ixi']
    heads = [f'head-{number + 1}' for number in range(HEADS)]
    return {
        'cnn': [Job('located', p, 'cnn', folder=weights.located) for p in people],
        'syn': [Job('located', p, 'syn', folder=weights.located) for p in people],
        'ants': [Job('registered', p, ANTS, folder=f'ants-{atlas}') for p in people],
        'exact': [Job('registered', p, EXACT, folder=own) for p in whole],
        'heads': [Job('registered', p, head, folder=own) for p in people for head in heads],
        'masks': [Job('masks', p, masks, folder='brains') for p in everybody],
    }


def measure(
    jobs: Iterable[Job],
    heads: Sequence[Subject],
    weights: Weights,
    out: Path,
    deepbet: Path | None,
) -> None:
    """Measure what has not been measured yet; each table is kept whole or not at all."""
    for job in jobs:
        if job.path(out).is_file():
            continue
        print(job.subject.name, job.part, job.method, flush=True)
        if job.part == 'masks':
            rows = compare_masks(job.subject, deepbet)
        else:
            rows = register_as(job.method, job.subject, heads, weights, out)
        with atomic_path(job.path(out)) as partial:
            rows.to_csv(partial, sep='\t', index=False, float_format='%.4f', na_rep='n/a')


def main() -> None:
    """Parse the command line, measure what has not been measured, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--only', nargs='*', default=PARTS, choices=PARTS, metavar='PART')
    parser.add_argument('--first', type=int, default=5, help='participants of each group')
    parser.add_argument('--deepbet', type=Path, metavar='PROGRAM')
    parser.add_argument('--docs', type=Path, default=DOCS, help='where the page goes')
    options = parser.parse_args()
    out = options.out
    weights = Weights(DATA / 'localizer_tms.safetensors')
    labelled = people_with_labels(options.data, PROTOCOL)['report']
    everybody = [person for person in labelled if person.group in GROUPS]
    first = [[p for p in everybody if p.group == name][: options.first] for name in GROUPS]
    people = with_reference([person for group in first for person in group], out, 1)
    heads = find_heads(options.data, out)
    jobs = plan(people, everybody, weights, 'deepbet' if options.deepbet else '')
    # One after the other: each needs what the one before it has found.
    for part in ('cnn', 'syn'):
        run_jobs(jobs[part], weights, out, 1)
    for part in options.only:
        measure(jobs[part], heads, weights, out, options.deepbet)
    publish(summarise(jobs, out), heads, weights.localizer, options.docs)


if __name__ == '__main__':
    main()
