"""Measure how well doubtful points are flagged, and write ``docs/unfit_images.md``.

``python benchmarks/judge.py DATA OUT`` with DATA as for `default_data`: every test participant as
it is, with the faults of clinical images that a localizer should cope with (`CORRUPTIONS`), and
made unfit (`UNFIT`). The truth is the point in the image as it is, moved with the head. OUT keeps
one small table per image: repeat the command to resume. ``--split train`` shows what the limits
were chosen on, and writes no page.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

from tmsprep.atomic import atomic_path, write_text
from tmsprep.imaging.read import load_nifti, read_image
from tmsprep.interfaces.conform import Conform
from tmsprep.learning.examples import Example
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.tables import read_json

from corruptions.catalogue import CORRUPTIONS, UNFIT, Corruption
from corruptions.scan import Scan
from default_data import read_examples

PROTOCOL = load_protocol('tms')
METHOD = get_method('cnn')
PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'unfit_images.md'

#: A point further off than this is wrong, one nearer than `GOOD_MM` is right.
WRONG_MM, GOOD_MM = 12.0, 6.0

#: Nothing in a reflected image shows that it is one, so these faults have no right answer.
UNKNOWABLE = ('mirror',)

KINDS = {
    'as it is': {'': None},
    'clinical': {n: c for n, c in CORRUPTIONS.items() if n not in UNKNOWABLE},
    'unfit': UNFIT,
}


@dataclass(frozen=True)
class Job:
    """One image of one participant in one state."""

    example: Example
    number: int
    group: str
    kind: str
    strength: str

    @property
    def name(self) -> str:
        """Name of the table of its results."""
        words = (self.example.name, self.kind or 'clean', self.strength)
        return '_'.join(word.replace(' ', '-') for word in words if word) + '.tsv'


def jobs(examples: list[Example], every: int) -> Iterator[Job]:
    """List all images as they are, and those made of every nth participant's image."""
    for number, example in enumerate(examples):
        for group, kinds in list(KINDS.items())[: None if number % every == 0 else 1]:
            for kind, corruption in kinds.items():
                for strength in ('',) if corruption is None else corruption.strengths:
                    yield Job(example, number, group, kind, strength)


def run(job: Job, out: Path) -> pd.DataFrame:
    """Localise in one image and judge; one row per target."""
    image = read_image(job.example.image)
    truth = PointSet.from_mapping({}, PROTOCOL.labels)
    if job.kind:
        clean = pd.read_csv(out / Job(job.example, job.number, '', '', '').name, sep='\t')
        points = PointSet(PROTOCOL.labels, clean[['x', 'y', 'z']].to_numpy())
        assert job.example.mask is not None
        brain = np.asanyarray(load_nifti(job.example.mask).dataobj) > 0
        corruption: Corruption = KINDS[job.group][job.kind]
        scan = Scan(image, points, brain)
        made = corruption.apply(scan, corruption.value(job.strength), job.number)
        image, truth = made.image, made.points
    rows = localise(image)
    error = np.linalg.norm(rows[['x', 'y', 'z']].to_numpy() - truth.coordinates, axis=1)
    rows['error_mm'] = error if job.kind else 0.0
    for column in ('strength', 'kind', 'group'):
        rows.insert(0, column, getattr(job, column))
    return rows


def localise(image: nib.Nifti1Image) -> pd.DataFrame:
    """Localise, check, and find the status, as ``participant`` does it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'sub-01_T1w.nii'
        nib.save(image, path)
        made = Conform(in_file=str(path)).run(cwd=folder).outputs
        properties = read_json(made.properties)
        resources = METHOD.resources(PROTOCOL, {})
        where = Path(folder)
        request = Request(Path(made.conformed), properties, PROTOCOL, resources, folder=where)
        outcome = METHOD.check(METHOD.locate(request), request)
    assert outcome.points is not None
    rows = pd.DataFrame(outcome.points.coordinates, columns=list('xyz'))
    rows.insert(0, 'label', PROTOCOL.labels)
    rows['status'] = METHOD.status(outcome, [], PROTOCOL, properties)
    return rows.assign(**outcome.columns)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Count points by kind and strength: wrong, doubtful and right ones, and those flagged."""
    far, right = rows['error_mm'] > WRONG_MM, rows['error_mm'] <= GOOD_MM
    flagged = rows['status'] != 'ok'
    counted = pd.DataFrame(
        {
            'points': True,
            'wrong': far,
            'wrong_not_flagged': far & ~flagged,
            'between': ~far & ~right,
            'between_not_flagged': ~far & ~right & ~flagged,
            'right': right,
            'right_flagged': right & flagged,
        }
    )
    by = [rows[column] for column in ('group', 'kind', 'strength')]
    return counted.groupby(by, sort=False).sum().reset_index()


def markdown(table: pd.DataFrame) -> str:
    """Format a table for the page."""
    head = ['' if name == 'group' else name.replace('_', ' ') for name in table.columns]
    lines = [' | '.join(head), ' | '.join('---' for _ in head)]
    lines += [' | '.join(map(str, row)) for row in table.itertuples(index=False)]
    return '\n'.join(f'| {line} |' for line in lines)


def page(summary: pd.DataFrame, people: int, made: int) -> str:
    """Write the page from the counts."""
    template = Path(__file__).with_name('judge_page.md').read_text(encoding='utf-8')
    sums = summary.groupby('group', sort=False)[list(summary.columns[3:])].sum()
    share = 100 * sums['right_flagged'] / sums['right'].clip(lower=1)
    return template.format(
        people=people,
        made=made,
        wrong_mm=f'{WRONG_MM:g}',
        good_mm=f'{GOOD_MM:g}',
        kinds=len(UNFIT),
        right=sums.loc['as it is', 'right'],
        clean_flagged=f'{share["as it is"]:.1f}',
        clinical_flagged=f'{share["clinical"]:.1f}',
        wrong=sums['wrong'].sum(),
        missed=sums['wrong_not_flagged'].sum(),
        between=sums['between'].sum(),
        between_missed=sums['between_not_flagged'].sum(),
        table=markdown(summary.drop(columns='group').replace({'kind': {'': 'as it is'}})),
    )


def main() -> None:
    """Measure what has not been measured, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--split', choices=('train', 'test'), default='test')
    parser.add_argument(
        '--every', type=int, default=1, help='make images of every nth participant'
    )
    options = parser.parse_args()
    examples = read_examples(options.data, PROTOCOL, options.split)
    options.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for job in tqdm(list(jobs(examples, options.every)), unit='image'):
        path = options.out / job.name
        if not path.is_file():
            with atomic_path(path) as partial:
                run(job, options.out).to_csv(partial, sep='\t', index=False)
        tables.append(pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['']))
    summary = summarise(pd.concat(tables).fillna({'kind': '', 'strength': ''}))
    print(markdown(summary))
    if options.split == 'test':
        write_text(PAGE, page(summary, len(examples), len(examples[:: options.every])))


if __name__ == '__main__':
    main()
