"""What is to be measured, in pieces that are done once, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

import tmsprep
from tmsprep.atomic import atomic_path
from tmsprep.files import file_sha256, text_sha256
from tmsprep.imaging.conform import resample_mask
from tmsprep.imaging.read import read_image
from tmsprep.methods.baxter2021.weights import load_localizer
from tmsprep.networks.brain_extraction import load_brain_unet
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet

import reference_parts
from accuracy_parts.cortex import grey_matter, nearest_mm
from accuracy_parts.judged import judge_people, overlap
from accuracy_parts.located import as_table, locate, request
from accuracy_parts.measure import PROTOCOL, Measurement, as_points, as_rows
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
        Finds the gyri.
    """

    localizer: Path
    gyri: Path | None = None

    @property
    def judge(self) -> str:
        """Name of the way in which points are judged; another one for other weights or code."""
        files = sorted((Path(tmsprep.__file__).parent / 'gyri').glob('*.py'))
        given = [] if self.gyri is None else [self.gyri]
        return text_sha256(' '.join(file_sha256(path) for path in [*given, *files]))[:12]


@dataclass(frozen=True)
class Job:
    """One image, in one state, by one method.

    Parameters
    ----------
    part : str
        'reference', 'located', 'test', 'gyri', 'overlap', 'corruptions' or 'scanners'.
    subject : Subject
        Whose image.
    method : str
        'cnn' or 'syn'; 'both' in the part 'scanners'; in the parts 'gyri' and 'overlap' the way in
        which points are judged, see `Weights.judge`, after the methods judged, as 'cnn+syn-'; in
        the part 'reference' the rule, see `reference_rule`.
    corruption, strength : str
        Of `CORRUPTIONS`; empty for the image as it is.
    """

    part: str
    subject: Subject
    method: str
    corruption: str = ''
    strength: str = ''

    def path(self, out: Path) -> Path:
        """Where the result is kept."""
        subject = self.subject
        words = (subject.dataset, subject.name, self.corruption, self.strength)
        name = '_'.join(word.replace(' ', '-') for word in words if word)
        suffix = '.json' if self.part == 'located' else '.tsv'
        # The reference is the same whatever is measured.
        root = out.parent if self.part == 'reference' else out
        return root / self.part / self.method / f'{name}{suffix}'


def reference_rule() -> str:
    """Name of the rule of the reference points; another one for other code or numbers."""
    benchmarks = Path(reference_parts.__file__).parents[1]
    files = [benchmarks / 'reference.py', *sorted((benchmarks / 'reference_parts').glob('*.*'))]
    files.append(Path(tmsprep.__file__).parent / 'gyri' / 'crown.py')
    return text_sha256(' '.join(file_sha256(path) for path in files))[:12]


def with_reference(people: Sequence[Subject], out: Path, processes: int) -> list[Subject]:
    """Give people the reference points that the rule makes of their labels."""
    jobs = [Job('reference', person, reference_rule()) for person in people]
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
        Folder of the results for this localizer.
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


@lru_cache(maxsize=1)
def _models(weights: Path) -> tuple:
    import torch

    torch.set_num_threads(1)
    return load_localizer(weights), load_brain_unet(DATA / 'brain_extraction.safetensors')


def _run(job: Job, weights: Weights, out: Path) -> None:
    try:
        if job.part == 'located':
            _locate(job, weights, out)
            return
        rows = _MEASURES.get(job.part, _against)(job, weights, out)
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
    """Keep what a method says of an image as it is."""
    earlier = {}
    if job.method != 'cnn':
        earlier = {'cnn': Outcome.read(replace(job, method='cnn').path(out))}
    with request(job.subject.image, PROTOCOL, job.method, weights.localizer, earlier) as asked:
        locate(asked, job.method).write(job.path(out))


def _against(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Error against the reference, and against the points of the unspoilt image, moved along."""
    subject = job.subject
    located = Outcome.read(Job('located', subject, job.method).path(out))
    rows, truth = as_table(located, PROTOCOL), subject.points
    untouched = None
    if job.corruption:
        spoilt = corrupted(job, read_image(subject.image))
        truth = _renamed(spoilt.points, spoilt)
        untouched = _renamed(as_points(rows).transformed(spoilt.motion), spoilt)
        measurement = Measurement(spoilt.image, *_models(weights.localizer))
        rows = measurement.cnn() if job.method == 'cnn' else measurement.syn()
    points = as_points(rows)
    rows['method'] = job.method
    rows['error_mm'] = points.distance(truth)
    rows['has_reference'] = truth.found.astype(int)
    rows['inconsistency_mm'] = np.nan if untouched is None else points.distance(untouched)
    return rows


def _reference(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Make the reference points from the labels of the gyri."""
    assert job.subject.mask is not None
    return as_rows(reference(Parcellation.read(job.subject.mask)))


def _judged(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Points of all methods that were located, against the labels of the gyri."""
    methods = job.method.partition('-')[0].split('+')
    outcomes = {m: Outcome.read(Job('located', job.subject, m).path(out)) for m in methods}
    return judge_people(job.subject, outcomes, PROTOCOL, weights.localizer, weights.gyri)


def _overlap(job: Job, weights: Weights, out: Path) -> pd.DataFrame:
    """Dice of the parcellation with the labels."""
    assert weights.gyri is not None
    located = Outcome.read(Job('located', job.subject, 'cnn').path(out))
    assert located.points is not None
    return overlap(job.subject, located.points, weights.gyri)


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
    measurement = Measurement(read_image(job.subject.image), *_models(weights.localizer))
    grey = grey_matter(measurement.conformed, measurement.mask)
    tables = []
    for method, rows in (('cnn', measurement.cnn()), ('syn', measurement.syn())):
        points = as_points(rows)
        distance, anywhere = nearest_mm(points, grey, measurement.mask)
        tables.append(rows.assign(method=method, grey_mm=distance, chance=anywhere))
    slices = cut_slices(measurement.conformed, as_points(tables[0]), as_points(tables[1]))
    with atomic_path(job.path(out).with_suffix('.npz')) as partial:
        np.savez_compressed(partial, **slices)
    return pd.concat(tables, ignore_index=True)


_MEASURES = {'reference': _reference, 'scanners': _scanners, 'gyri': _judged, 'overlap': _overlap}
