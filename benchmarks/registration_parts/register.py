"""Registrations of one participant, beside the default one of the program."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import ants
import nibabel as nib
import pandas as pd
import torch

from tmsprep.config import DEFAULT_THREADS
from tmsprep.imaging.conform import conform
from tmsprep.imaging.read import read_image
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.registration.atlas import Atlas, default_atlas, user_atlas
from tmsprep.registration.brain import cut_brain
from tmsprep.registration.frames import to_ants
from tmsprep.registration.plausibility import ImplausibleRegistration
from tmsprep.registration.syn import register
from tmsprep.registration.transforms import move_points

from accuracy_parts.jobs import Job, Weights
from accuracy_parts.measure import PROTOCOL, as_rows
from accuracy_parts.subjects import Subject
from registration_parts.brains import exact_brain, own_brain

#: ANTs' full registration as others run it, and the program's with the exact brain.
ANTS, EXACT = 'antsRegistrationSyN', 'syn-exact'


def register_as(
    method: str, subject: Subject, heads: Sequence[Subject], weights: Weights, out: Path
) -> pd.DataFrame:
    """Carry the points of an atlas into a participant.

    Parameters
    ----------
    method : str
        `ANTS`, `EXACT`, or 'head-n' for the program's default registration of the nth head with
        the program's own brain masks.
    subject : Subject
        The participant.
    heads : sequence of Subject
        With all points.
    weights : Weights
        The network, whose points in OUT are the start of all registrations but `ANTS`.
    out : Path
        Folder of all results.

    Returns
    -------
    pandas.DataFrame
        One row per target: label, x, y, z (mm, RAS+; missing if the registration failed), and of
        the registration elapsed_s and cpu_s (seconds; of all threads together).
    """
    torch.set_num_threads(1)
    # Read by ITK when it makes its first thread pool.
    os.environ['ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'] = str(DEFAULT_THREADS)
    conformed = conform(read_image(subject.image))
    number = method.removeprefix('head-')
    atlas = _head(heads[int(number) - 1]) if number != method else default_atlas(PROTOCOL)
    make = own_brain if number != method else lambda image: exact_brain(subject, image)
    brain = make(conformed)
    elapsed, cpu = time.perf_counter(), time.process_time()
    with TemporaryDirectory() as folder:
        if method == ANTS:
            points = _by_ants(conformed, brain, atlas, Path(folder))
        else:
            located = Job('located', subject, 'cnn', folder=weights.located).path(out)
            start = Outcome.read(located).points
            points = _by_program(conformed, brain, atlas, start, Path(folder))
    return as_rows(points).assign(
        elapsed_s=time.perf_counter() - elapsed, cpu_s=time.process_time() - cpu
    )


def _by_ants(
    conformed: nib.Nifti1Image, brain: nib.Nifti1Image, atlas: Atlas, folder: Path
) -> PointSet:
    """Register as ``antsRegistrationSyN.sh -t s``, from the centres of mass.

    The brightest 0.5 % of voxels are clipped, as that script does and ANTsPy does not.
    """
    ants.registration(
        to_ants(atlas.brain(1).image),
        to_ants(cut_brain(conformed, brain, 1).image),
        f'{ANTS}[s]',
        outprefix=f'{folder}/',
        write_composite_transform=True,
    )
    return move_points(atlas.points, folder / 'Composite.h5')


def _by_program(
    conformed: nib.Nifti1Image,
    brain: nib.Nifti1Image,
    atlas: Atlas,
    start: PointSet | None,
    folder: Path,
) -> PointSet:
    """Register as the program does by default; no points if it gives up."""
    try:
        result = register(
            conformed,
            atlas,
            work_dir=folder,
            mask=brain,
            initial_points=start,
            n_threads=DEFAULT_THREADS,
        )
    except ImplausibleRegistration:
        return PointSet.from_mapping({}, PROTOCOL.labels)
    return result.points


def _head(person: Subject) -> Atlas:
    """Make an atlas of a participant as the program does of a user's own."""
    with TemporaryDirectory() as folder:
        mask = Path(folder) / 'mask.nii.gz'
        nib.save(_brain_of(person.image), mask)
        return user_atlas(person.image, person.points, mask)


@cache
def _brain_of(image: Path) -> nib.Nifti1Image:
    return own_brain(conform(read_image(image)))
