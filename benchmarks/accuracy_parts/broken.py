"""Automatic labels that are themselves wrong, by a rule stated before anything was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from tmsprep.gyri.frame import SIDES, onto

from accuracy_parts.gyri import MEASURED, Labels
from accuracy_parts.subjects import Subject

#: A gyrus whose label is smaller than this share of the cohort's median is broken.
SMALL = 0.25

#: So is one whose centroid is farther than this from where the others' centroids put it, mm.
FAR_MM = 20.0

_KEYS = [(gyrus, side) for gyrus in MEASURED for side in SIDES]


def broken_labels(people: Sequence[Subject]) -> pd.DataFrame:
    """Find the labels of gyri that cannot be right, by their size and place alone.

    The expected place of a gyrus is its median place in the cohort, laid on the person's other
    gyri by a similarity transform.

    Parameters
    ----------
    people : sequence of Subject
        A cohort whose labels were made by one program.

    Returns
    -------
    pandas.DataFrame
        participant_id, gyrus, side, share (of the median volume) and away_mm, one row per broken
        label.
    """
    measured = [_measure(Labels.read(_mask(person))) for person in people]
    volumes = np.array([volume for volume, _ in measured])
    places = np.array([place for _, place in measured])
    shares = volumes / np.median(volumes, axis=0)
    away = _away(places)
    rows = []
    for i, person in enumerate(people):
        for k, (gyrus, side) in enumerate(_KEYS):
            if not (shares[i, k] >= SMALL and away[i, k] <= FAR_MM):
                rows.append((person.name, gyrus, side, shares[i, k], away[i, k]))
    return pd.DataFrame(rows, columns=['participant_id', 'gyrus', 'side', 'share', 'away_mm'])


def _mask(person: Subject) -> Path:
    assert person.mask is not None
    return person.mask


def _measure(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Volumes, mm^3, and centroids, mm, of all gyri; NaN without a voxel."""
    voxel = abs(np.linalg.det(labels.affine[:3, :3]))
    volumes, places = [], []
    for gyrus, side in _KEYS:
        voxels = np.argwhere(labels.mask(gyrus, side))
        volumes.append(voxel * len(voxels))
        middle = voxels.mean(axis=0) if len(voxels) else np.full(3, np.nan)
        places.append(apply_affine(labels.affine, middle))
    return np.array(volumes), np.array(places)


def _away(places: np.ndarray) -> np.ndarray:
    """Distance of each centroid from where the person's other gyri put it.

    Parameters
    ----------
    places : numpy.ndarray
        Shape (people, gyri, 3), mm.

    Returns
    -------
    numpy.ndarray
        Shape (people, gyri), mm.
    """
    whole = next(one for one in places if np.isfinite(one).all())
    aligned = [apply_affine(np.linalg.inv(onto(whole, one)), one) for one in places]
    median = np.nanmedian(aligned, axis=0)
    away = np.full(places.shape[:2], np.nan)
    for i, one in enumerate(places):
        for k in range(len(one)):
            others = one.copy()
            others[k] = np.nan
            away[i, k] = np.linalg.norm(apply_affine(onto(median, others), median[k]) - one[k])
    return away


def without_broken(rows: pd.DataFrame, broken: pd.DataFrame, gyri: pd.DataFrame) -> pd.DataFrame:
    """Leave out the points of targets whose label is broken.

    Parameters
    ----------
    rows : pandas.DataFrame
        participant_id and label.
    broken : pandas.DataFrame
        Result of `broken_labels`.
    gyri : pandas.DataFrame
        label, gyrus and side of each target.
    """
    left_out = broken.merge(gyri, on=['gyrus', 'side'])[['participant_id', 'label']]
    marked = rows.merge(left_out, on=['participant_id', 'label'], how='left', indicator=True)
    return marked[marked['_merge'] == 'left_only'].drop(columns='_merge').reset_index(drop=True)
