"""Points of all methods in one image against the labels of its gyri."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.evaluation.recommendation import recommend
from tmsprep.evaluation.shape import read_places
from tmsprep.gyri.frame import SIDES, onto
from tmsprep.gyri.labels import NAMES, class_lookup
from tmsprep.gyri.parcellation import MIN_POINTS, at_2mm, load_parcellator, parcellate
from tmsprep.imaging.conform import conform, voxels_in_grid
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import read_image
from tmsprep.imaging.volume import percentile_window
from tmsprep.methods import get_method
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

from accuracy_parts.gyri import MEASURED, Labels, against_labels, box_of, gyrus_of, voxel_centres
from accuracy_parts.located import as_table, request
from accuracy_parts.measure import as_points, as_rows
from accuracy_parts.subjects import Subject


def judge_people(
    subject: Subject,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    localizer: Path,
    gyri: Path | None,
) -> pd.DataFrame:
    """Judge the points of all methods, recommend one, and compare them with the labels.

    Parameters
    ----------
    subject : Subject
        With labels.
    outcomes : mapping
        Method to its points, not yet judged.
    protocol : Protocol
        The targets.
    localizer, gyri : Path
        Weights.

    Returns
    -------
    pandas.DataFrame
        One row per method and target, also for the methods 'recommended' (if there are several)
        and 'pose' (see `by_pose`, never judged): group, error_mm, `COLUMNS` and the columns of
        `against_labels`.
    """
    assert subject.mask is not None
    labels = Labels.read(subject.mask)
    tables = judged_tables(subject, outcomes, protocol, localizer, gyri)
    if len(tables) > 1:
        tables['recommended'] = _recommended(tables, protocol)
    located = as_points(next(iter(tables.values())))
    pose = by_pose(located, protocol)
    tables['pose'] = as_rows(pose).assign(status='n/a')
    up = upwards(located, protocol)
    parts = []
    for method, rows in tables.items():
        points = as_points(rows)
        compared = against_labels(points, labels, protocol, up).drop(columns='label')
        error = points.distance(subject.points)
        known = rows[[c for c in COLUMNS if c in rows]]
        parts.append(pd.concat([known, compared], axis=1).assign(method=method, error_mm=error))
    return pd.concat(parts, ignore_index=True).assign(group=subject.group)


#: Columns of the methods' tables that are kept.
COLUMNS = ('label', 'x', 'y', 'z', 'status', 'gyrus', 'gyrus_probability', 'crown_depth_mm')


def judged_tables(
    subject: Subject,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    localizer: Path,
    gyri: Path | None,
) -> dict[str, pd.DataFrame]:
    """Tables of all methods as ``participant`` would write them, with their statuses."""
    if gyri is not None:
        targets = tuple(replace(t, gyrus=gyrus_of(t)) for t in protocol.targets)
        protocol = replace(protocol, gyri=str(gyri.resolve()), targets=targets)
    judged = {}
    for name, outcome in outcomes.items():
        with request(subject.image, protocol, name, localizer, outcomes) as asked:
            judged[name] = get_method(name).check(outcome, asked)
            properties = asked.properties
    tables = {}
    for name, outcome in judged.items():
        others = [other for key, other in judged.items() if key != name]
        status = get_method(name).status(outcome, others, protocol, properties)
        tables[name] = as_table(outcome, protocol).assign(status=status)
    return tables


def _recommended(tables: Mapping[str, pd.DataFrame], protocol: Protocol) -> pd.DataFrame:
    rows = {method: table.to_dict('records') for method, table in tables.items()}
    found = recommend(rows, protocol)
    # The table of the method, so that its further columns follow the point.
    chosen = [dict(one.row) | {'label': one.label} for one in found]
    table = pd.DataFrame(chosen, columns=list(next(iter(tables.values())).columns))
    table[['x', 'y', 'z']] = np.array([one.point for one in found])
    table['status'] = [one.status or 'none' for one in found]
    return table


def by_pose(points: PointSet, protocol: Protocol) -> PointSet:
    """Where the atlas puts each target, laid on the other points by a similarity transform.

    It knows how the head lies and how large it is, and nothing of its gyri.
    """
    atlas = read_places(protocol.file(protocol.atlas['points']), protocol).coordinates
    places = np.full((len(points), 3), np.nan)
    for i in range(len(points)):
        others = points.coordinates.copy()
        others[i] = np.nan
        if np.isfinite(others).all(axis=1).sum() >= MIN_POINTS:
            moved = onto(atlas, others)
            places[i] = moved[:3, :3] @ atlas[i] + moved[:3, 3]
    return PointSet(points.labels, places)


def upwards(points: PointSet, protocol: Protocol) -> np.ndarray:
    """Direction from the feet to the head by the points, shape (3,), RAS+; z without them."""
    atlas = read_places(protocol.file(protocol.atlas['points']), protocol).coordinates
    if points.found.sum() < MIN_POINTS:
        return np.array([0.0, 0.0, 1.0])
    return onto(atlas, points.coordinates)[:3, 2]


def overlap(subject: Subject, points: PointSet, gyri: Path) -> pd.DataFrame:
    """Dice of the parcellation with the labels, on the voxels of the labels.

    Probabilities are interpolated, and the largest counts. Voxels of a gyrus outside the grid of
    the network count as missed.

    Returns
    -------
    pandas.DataFrame
        One row per gyrus and side ('L', 'R', 'both'): group, gyrus, side, dice, volume_mm3 (of the
        labels), found_mm3.
    """
    assert subject.mask is not None
    labels = Labels.read(subject.mask)
    image = mend_image(read_image(subject.image), subject.image).image
    conformed = conform(image)
    volume = at_2mm(conformed, percentile_window(voxels_in_grid(image, conformed)))
    found = parcellate(volume, conformed.affine, points, load_parcellator(gyri))
    counts = {}
    for side in SIDES:
        known = class_lookup(side)[labels.codes]
        said = np.zeros(labels.codes.shape, np.uint8)
        if found is not None:
            box = box_of(found.affines[side], found.probabilities[side].shape[1:], labels)
            places = voxel_centres(box, labels.affine)
            shares = found.at(side, places.reshape(-1, 3))
            largest = np.nan_to_num(shares).argmax(axis=1).astype(np.uint8)
            said[box] = largest.reshape(places.shape[:-1])
        for gyrus in MEASURED:
            index = NAMES.index(gyrus)
            one, other = known == index, said == index
            counts[gyrus, side] = np.array([(one & other).sum(), one.sum(), other.sum()])
    voxel = abs(np.linalg.det(labels.affine[:3, :3]))
    rows = []
    for gyrus in MEASURED:
        both = counts[gyrus, 'L'] + counts[gyrus, 'R']
        for side, (common, one, other) in (
            ('both', both),
            *((side, counts[gyrus, side]) for side in SIDES),
        ):
            score = 2 * common / (one + other) if one + other else np.nan
            rows.append((gyrus, side, score, voxel * one, voxel * other))
    table = pd.DataFrame(rows, columns=['gyrus', 'side', 'dice', 'volume_mm3', 'found_mm3'])
    return table.assign(group=subject.group)
