"""What is to be measured, in pieces that are done once, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

import tmsprep
from tmsprep.atomic import atomic_path
from tmsprep.files import file_sha256, text_sha256
from tmsprep.imaging.conform import resample_mask
from tmsprep.imaging.read import read_image
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

import reference_parts
from accuracy_parts.cortex import grey_matter, nearest_mm
from accuracy_parts.judged import judge_points, overlap
from accuracy_parts.measure import (
    PROTOCOL,
    as_points,
    as_rows,
    as_table,
    asked_of,
    locate,
    request,
    with_gyri,
    with_promise,
)
from accuracy_parts.pictures import cut_slices
from accuracy_parts.subjects import Subject
from corruptions.catalogue import CORRUPTIONS
from corruptions.position import swap_sides
from corruptions.scan import Corrupted, Scan
from reference import reference
from reference_parts.regions import Parcellation

DATA = Path(tmsprep.__file__).parent / 'data'
PARTNERS = {target.label: target.mirror for target in PROTOCOL.targets if target.mirror}


@dataclass(frozen=True)
class Weights:
    """The networks that are measured.

    Parameters
    ----------
    localizer : Path
        Finds the points.
    gyri : Path, optional
        Finds the gyri, by which points are judged.
    offsets : Path, optional
        Offsets of the atlas, as ``train --localizers syn`` makes them of training participants.
    """

    localizer: Path
    gyri: Path | None = None
    offsets: Path | None = None

    @cached_property
    def located(self) -> str:
        """Name of the folder of points that were not judged."""
        return f'points-{file_sha256(self.localizer)[:12]}'

    @cached_property
    def judged(self) -> str:
        """Name of the folder of what depends on the judge: weights, and code of its package."""
        files = sorted((Path(tmsprep.__file__).parent / 'gyri').glob('*.py'))
        given = [path for path in (self.gyri, self.offsets) if path is not None]
        judge = text_sha256(' '.join(file_sha256(path) for path in [*given, *files]))
        return f'judged-{file_sha256(self.localizer)[:12]}-{judge[:12]}'

    @property
    def protocol(self) -> Protocol:
        """The targets, and the network that judges their points."""
        return with_gyri(PROTOCOL, self.gyri)


def reference_rule() -> str:
    """Name of the folder of the reference points; another one for other code or numbers."""
    benchmarks = Path(reference_parts.__file__).parents[1]
    files = [benchmarks / 'reference.py', *sorted((benchmarks / 'reference_parts').glob('*.*'))]
    files.append(Path(tmsprep.__file__).parent / 'gyri' / 'crown.py')
    return f'reference-{text_sha256(" ".join(file_sha256(path) for path in files))[:12]}'


@dataclass(frozen=True)
class Job:
    """One image, in one state, by one method.

    Parameters
    ----------
    part : str
        'reference', 'located', 'gyri', 'overlap', 'corruptions' or 'scanners'.
    subject : Subject
        Whose image.
    method : str
        'cnn' or 'syn', or both as 'cnn+syn'; '' where there is no choice.
    corruption, strength : str
        Of `CORRUPTIONS`; empty for the image as it is.
    folder : str
        Named after all that the result depends on.
    """

    part: str
    subject: Subject
    method: str
    corruption: str = ''
    strength: str = ''
    folder: str = ''

    def path(self, out: Path) -> Path:
        """Where the result is kept."""
        subject = self.subject
        words = (subject.dataset, subject.name, self.corruption, self.strength)
        name = '_'.join(word.replace(' ', '-') for word in words if word)
        suffix = '.json' if self.part == 'located' else '.tsv'
        return out / self.folder / self.part / self.method / f'{name}{suffix}'


def with_reference(people: Sequence[Subject], out: Path, processes: int) -> list[Subject]:
    """Give people the reference points that the rule makes of their labels."""
    jobs = [Job('reference', person, '', folder=reference_rule()) for person in people]
    run_jobs(jobs, Weights(DATA), out, processes)
    return [
        replace(job.subject, points=as_points(collect([job], out)).reindex(PROTOCOL.labels))
        for job in jobs
    ]


def run_jobs(jobs: Iterable[Job], weights: Weights, out: Path, processes: int) -> None:
    """Do what has not been done yet; each result is one file, whole or not there.

    Parameters
    ----------
    jobs : iterable of Job
        What to do.
    weights : Weights
        What is measured.
    out : Path
        Folder of all results.
    processes : int
        In each the network computes on one thread, SyN on two.
    """
    todo = [job for job in jobs if not job.path(out).is_file()]
    if not todo:
        return
    # Read by torch and ITK when a worker starts.
    os.environ['OMP_NUM_THREADS'] = '1'
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, context) as pool:
        futures = [pool.submit(_run, job, weights, out) for job in todo]
        for future in tqdm(as_completed(futures), total=len(todo), unit='image'):
            future.result()


def collect(jobs: Iterable[Job], out: Path) -> pd.DataFrame:
    """Join the results of some jobs into one table, those that are there."""
    tables = [
        pd.read_csv(job.path(out), sep='\t', na_values='n/a', keep_default_na=False)
        for job in jobs
        if job.path(out).is_file()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _run(job: Job, weights: Weights, out: Path) -> None:
    torch.set_num_threads(1)
    try:
        if job.part == 'located':
            _locate(job, weights, out)
            return
        rows = _MEASURES[job.part](job, weights, out)
    except (RuntimeError, ValueError) as error:
        raise RuntimeError(f'{job.subject.image} ({job}): {error}') from error
    identity = {
        'dataset': job.subject.dataset,
        'participant_id': job.subject.name,
        'corruption': job.corruption,
        'strength': job.strength,
    }
    for column, value in reversed(identity.items()):
        rows.insert(0, column, value)
    with atomic_path(job.path(out)) as partial:
        rows.to_csv(partial, sep='\t', index=False, float_format='%.3f', na_rep='n/a')


def _locate(job: Job, weights: Weights, out: Path) -> None:
    """Keep what a method says of an image as it is, without its files."""
    earlier = {}
    if job.method != 'cnn':
        earlier = {'cnn': Outcome.read(replace(job, method='cnn').path(out))}
    with request(job.subject.image, PROTOCOL, weights.localizer) as asked:
        outcome = locate(job.method, asked_of(job.method, asked, earlier))
    replace(outcome, files={}).write(job.path(out))


def _found(asked: Request, methods: Sequence[str]) -> dict[str, Outcome]:
    """Localise by methods, one after the other, and judge."""
    outcomes: dict[str, Outcome] = {}
    for method in methods:
        own = asked_of(method, asked, outcomes)
        outcomes[method] = get_method(method).check(locate(method, own), own)
    return outcomes


def _spoilt(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Error against the reference, and against the points of the unspoilt image, moved along."""
    judged = Job('gyri', job.subject, 'cnn+syn', folder=weights.judged)
    before = collect([judged], out)
    before = as_points(before[before['method'] == job.method])
    spoilt = corrupted(job, read_image(job.subject.image))
    methods = ('cnn',) if job.method == 'cnn' else ('cnn', job.method)
    with request(spoilt.image, weights.protocol, weights.localizer) as asked:
        outcome = _found(asked, methods)[job.method]
        status = get_method(job.method).status(outcome, [], weights.protocol, asked.properties)
    rows = with_promise(as_table(outcome, PROTOCOL), outcome, status)
    truth = _renamed(spoilt.points, spoilt)
    points = as_points(rows)
    untouched = _renamed(before.transformed(spoilt.motion), spoilt)
    return rows.drop(columns='gyrus', errors='ignore').assign(
        method=job.method,
        error_mm=points.distance(truth),
        has_reference=truth.found.astype(int),
        inconsistency_mm=points.distance(untouched),
    )


def _reference(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Make the reference points from the labels of the gyri."""
    assert job.subject.mask is not None
    return as_rows(reference(Parcellation.read(job.subject.mask)))


def _judged(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Points of all methods that were located, judged, against the labels of the gyri."""
    methods = job.method.split('+')
    jobs = {m: Job('located', job.subject, m, folder=weights.located) for m in methods}
    outcomes = {method: Outcome.read(located.path(out)) for method, located in jobs.items()}
    return judge_points(
        job.subject, outcomes, weights.protocol, weights.localizer, offsets_of(weights.offsets)
    )


def offsets_of(path: Path | None) -> dict[str, Any] | None:
    """Read a table of offsets of the default atlas; None without one."""
    if path is None:
        return None
    found: dict[str, Any] = get_method('syn').resources(PROTOCOL, {'atlas_offsets': path})
    return found['offsets']


def _overlap(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Dice of the parcellation with the labels."""
    located = Outcome.read(Job('located', job.subject, 'cnn', folder=weights.located).path(out))
    assert located.points is not None
    return overlap(job.subject, located.points, weights.protocol, weights.localizer)


def corrupted(job: Job, image: nib.Nifti1Image) -> Corrupted:
    """Spoil the image of a job; the person's place in the data set is the seed."""
    subject, corruption = job.subject, CORRUPTIONS[job.corruption]
    brain = np.asarray(resample_mask(nib.load(subject.mask), image).dataobj) > 0
    scan = Scan(image, subject.points, brain)
    return corruption.apply(scan, corruption.value(job.strength), subject.number)


def _renamed(points: PointSet, spoilt: Corrupted) -> PointSet:
    mirrored = np.linalg.det(spoilt.motion[:3, :3]) < 0
    return swap_sides(points, PARTNERS) if mirrored else points


def _scanners(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Both methods' points and how far they are from grey matter; keeps slices for a picture."""
    with request(job.subject.image, weights.protocol, weights.localizer) as asked:
        outcomes = _found(asked, job.method.split('+'))
        conformed = nib.Nifti1Image.from_filename(asked.conformed)
        mask = nib.Nifti1Image.from_filename(outcomes['syn'].files['mask'])
        grey = grey_matter(conformed, mask)
        tables = []
        for method, outcome in outcomes.items():
            rows = as_table(outcome, PROTOCOL).drop(columns='gyrus', errors='ignore')
            distance, anywhere = nearest_mm(as_points(rows), grey, mask)
            tables.append(rows.assign(method=method, grey_mm=distance, chance=anywhere))
        slices = cut_slices(conformed, *(as_points(rows) for rows in tables))
    with atomic_path(job.path(out).with_suffix('.npz')) as partial:
        np.savez_compressed(partial, **slices)
    return pd.concat(tables, ignore_index=True)


_MEASURES = {
    'reference': _reference,
    'gyri': _judged,
    'overlap': _overlap,
    'corruptions': _spoilt,
    'scanners': _scanners,
}
