"""Points of all methods in one image against the labels of its gyri."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree

from tmsprep.evaluation.recommendation import recommend
from tmsprep.evaluation.shape import read_places
from tmsprep.gyri.frame import SIDES, onto
from tmsprep.gyri.judge import doubt, place_points
from tmsprep.gyri.labels import NAMES, class_lookup
from tmsprep.gyri.parcellation import MIN_POINTS, at_2mm, load_parcellator, parcellate
from tmsprep.gyri.probabilities import Parcellation
from tmsprep.gyri.settle import settle
from tmsprep.methods import get_method
from tmsprep.methods.base import points_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

from accuracy_parts.gyri import (
    FIRST_CORTEX,
    MEASURED,
    Labels,
    against_labels,
    box_of,
    voxel_centres,
)
from accuracy_parts.measure import (
    as_points,
    as_rows,
    as_table,
    asked_of,
    request,
    with_promise,
)
from accuracy_parts.subjects import Subject

#: Columns of the methods' tables that are kept.
COLUMNS = (
    *('label', 'x', 'y', 'z', 'status', 'gyrus', 'gyrus_probability', 'crown_depth_mm'),
    *('settled_mm', 'dispersion_mm', 'error90_mm', 'any_radius_mm', 'failure'),
)

#: How far from its gyrus a point is set astray, mm: more than methods are usually off.
ASTRAY_MM = 4.0

#: How far from a point other gyri are looked for, mm.
_SEARCH_MM = 30.0


def judge_points(
    subject: Subject,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    localizer: Path,
    offsets: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Judge the points of all methods, recommend one, and compare them with the labels.

    Parameters
    ----------
    subject : Subject
        With labels.
    outcomes : mapping
        Method to its points, not yet judged.
    protocol : Protocol
        The targets; it names the weights by which points are judged, if there are some.
    localizer : Path
        Weights.
    offsets : mapping, optional
        Of the atlas, see `tmsprep.methods.syn.offsets.find_offsets`.

    Returns
    -------
    pandas.DataFrame
        One row per method and target: method, group, error_mm, has_reference, `COLUMNS` and the
        columns of `against_labels`. Beside the methods there are 'recommended', if there are
        several; 'pose', see `by_pose`; with offsets 'syn_offset', see `with_offsets`; and, if
        points are judged, each method and 'pose' the other way, see `_other_way`, 'reference' and
        'astray', see `set_astray`.
    """
    assert subject.mask is not None
    labels = Labels.read(subject.mask)
    tables, parcellation = _judge(subject, outcomes, protocol, localizer)
    if len(tables) > 1:
        tables['recommended'] = _recommended(tables, protocol)
    located = as_points(next(iter(tables.values())))
    pose = by_pose(located, protocol)
    tables['pose'] = as_rows(pose).assign(status='n/a')
    made = {'pose': Outcome('pose', pose)}
    if offsets and 'syn' in outcomes:
        moved = with_offsets(points_of(outcomes['syn'], protocol), offsets, protocol)
        tables['syn_offset'] = as_rows(moved).assign(status='n/a')
        made['syn_offset'] = Outcome('syn_offset', moved)
    if parcellation is not None:
        tables |= _other_way({**outcomes, **made}, parcellation, protocol)
        astray = set_astray(subject.points, labels, protocol)
        for name, points in (('reference', subject.points), ('astray', astray)):
            tables[name] = _told(points, parcellation, protocol)
    up = upwards(located, protocol)
    parts = []
    for method, rows in tables.items():
        points = as_points(rows)
        compared = against_labels(points, labels, protocol, up).drop(columns='label')
        known = rows[[column for column in COLUMNS if column in rows]]
        error = points.distance(subject.points)
        part = pd.concat([known, compared], axis=1)
        parts.append(part.assign(method=method, error_mm=error))
    joined = pd.concat(parts, ignore_index=True)
    found = dict(zip(protocol.labels, subject.points.found.astype(int), strict=True))
    return joined.assign(group=subject.group, has_reference=joined['label'].map(found))


def _judge(
    subject: Subject, outcomes: Mapping[str, Outcome], protocol: Protocol, localizer: Path
) -> tuple[dict[str, pd.DataFrame], Parcellation | None]:
    """Tables of all methods as ``participant`` writes them, and the gyri seen from the first."""
    judged, parcellation = {}, None
    with request(subject.image, protocol, localizer) as asked:
        for name, outcome in outcomes.items():
            judged[name] = get_method(name).check(outcome, asked_of(name, asked, judged))
            if parcellation is None and 'gyri' in judged[name].files:
                parcellation = Parcellation.load(Path(judged[name].files['gyri']))
    tables = {}
    for name, outcome in judged.items():
        others = [other for key, other in judged.items() if key != name]
        status = get_method(name).status(outcome, others, protocol, asked.properties)
        tables[name] = with_promise(as_table(outcome, protocol), outcome, status)
    return tables, parcellation


def _other_way(
    outcomes: Mapping[str, Outcome], parcellation: Parcellation, protocol: Protocol
) -> dict[str, pd.DataFrame]:
    """Points that ``participant`` settles as they were located, and the others settled.

    So that each method is seen both ways: settling uses the parcellation, which any method could.
    """
    expected = [(target.hemisphere, target.gyrus) for target in protocol.targets]
    reach = max(outcome.settle_mm or 0 for outcome in outcomes.values())
    tables = {}
    for name, outcome in outcomes.items():
        points = points_of(outcome, protocol)
        if outcome.settle_mm:
            tables[f'{name}_located'] = as_rows(points).assign(status='n/a')
        elif reach:
            moved = settle(parcellation, points.coordinates, expected, reach)
            tables[f'{name}_settled'] = as_rows(PointSet(points.labels, moved)).assign(
                status='n/a'
            )
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


def _told(points: PointSet, parcellation: Parcellation, protocol: Protocol) -> pd.DataFrame:
    """Return what the parcellation alone says of points."""
    expected = [(target.hemisphere, target.gyrus) for target in protocol.targets]
    places = place_points(parcellation, points.coordinates, expected)
    status = [
        (doubt(place, wanted, parcellation.limits) or 'ok') if known else 'failed'
        for place, wanted, known in zip(places, expected, points.found, strict=True)
    ]
    return as_rows(points).assign(
        status=status,
        gyrus=[place.name for place in places],
        gyrus_probability=[place.expected_probability for place in places],
        crown_depth_mm=[place.depth_mm for place in places],
    )


def set_astray(points: PointSet, labels: Labels, protocol: Protocol) -> PointSet:
    """Move each point to the nearest place in the cortex of another gyrus.

    That place is the centre of a voxel of the cortex of either hemisphere, at least `ASTRAY_MM`
    from every voxel of the gyrus that the point should lie in, and at most `_SEARCH_MM` away.
    """
    cortex = apply_affine(labels.affine, np.argwhere(labels.codes >= FIRST_CORTEX))
    moved = np.full((len(points), 3), np.nan)
    for i, target in enumerate(protocol.targets):
        own = labels.centres(target.gyrus, target.hemisphere)
        if points.found[i] and len(own):
            distance = np.linalg.norm(cortex - points.coordinates[i], axis=1)
            near = distance < _SEARCH_MM
            away = cKDTree(own).query(cortex[near], distance_upper_bound=ASTRAY_MM)[0]
            elsewhere = np.isinf(away)
            if elsewhere.any():
                moved[i] = cortex[near][elsewhere][distance[near][elsewhere].argmin()]
    return PointSet(points.labels, moved)


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
            places[i] = apply_affine(onto(atlas, others), atlas[i])
    return PointSet(points.labels, places)


def with_offsets(points: PointSet, offsets: Mapping[str, Any], protocol: Protocol) -> PointSet:
    """Points of the atlas in an image, moved by offsets along the axes of the atlas.

    The axes are turned, and lengths scaled, as by the similarity transform that lays the atlas on
    the points; ``participant`` carries the moved points by the registration itself, which was not
    kept here. Within a centimetre of the point the two differ by how much it bends there.

    Parameters
    ----------
    points : PointSet
        By the registration, mm, RAS+, in the order of the protocol; NaN where missing.
    offsets : mapping
        'mm': label to x, y and z, mm, RAS+, in the atlas.
    protocol : Protocol
        The targets, and their atlas.
    """
    if points.found.sum() < MIN_POINTS:
        return points
    atlas = read_places(protocol.file(protocol.atlas['points']), protocol).coordinates
    turn = onto(atlas, points.coordinates)[:3, :3]
    mm = np.array([offsets['mm'].get(label, (0.0, 0.0, 0.0)) for label in points.labels])
    return PointSet(points.labels, points.coordinates + mm @ turn.T)


def upwards(points: PointSet, protocol: Protocol) -> np.ndarray:
    """Direction from the feet to the head by the points, shape (3,), RAS+; z without them."""
    atlas = read_places(protocol.file(protocol.atlas['points']), protocol).coordinates
    if points.found.sum() < MIN_POINTS:
        return np.array([0.0, 0.0, 1.0])
    return onto(atlas, points.coordinates)[:3, 2]


def overlap(
    subject: Subject, points: PointSet, protocol: Protocol, localizer: Path
) -> pd.DataFrame:
    """Dice of the parcellation with the labels, on the voxels of the labels.

    Probabilities are interpolated, and the largest counts. Voxels of a gyrus outside the grid of
    the network count as missed.

    Returns
    -------
    pandas.DataFrame
        One row per gyrus and side ('both', 'L', 'R'): group, gyrus, side, dice, volume_mm3 (of the
        labels) and found_mm3.
    """
    assert subject.mask is not None
    labels = Labels.read(subject.mask)
    parcellator = load_parcellator(protocol.file(protocol.gyri))
    with request(subject.image, protocol, localizer) as asked:
        conformed = nib.Nifti1Image.from_filename(asked.conformed)
        lower, upper = asked.properties['window']
        volume = at_2mm(conformed, (lower, upper))
        found = parcellate(volume, conformed.affine, points, parcellator)
    counts = {}
    for side in SIDES:
        known = class_lookup(side)[labels.codes]
        said = np.zeros(known.shape, np.uint8)
        if found is not None:
            box = box_of(found.affines[side], found.probabilities[side].shape[1:], labels)
            places = voxel_centres(box, labels.affine)
            said[box] = class_map(found.probabilities[side], found.affines[side], places)
        for gyrus in MEASURED:
            index = NAMES.index(gyrus)
            one, other = known == index, said == index
            counts[gyrus, side] = np.array([(one & other).sum(), one.sum(), other.sum()])
    voxel = abs(np.linalg.det(labels.affine[:3, :3]))
    rows = []
    for gyrus in MEASURED:
        both = counts[gyrus, 'L'] + counts[gyrus, 'R']
        for side, counted in (('both', both), *((side, counts[gyrus, side]) for side in SIDES)):
            common, one, other = counted
            score = 2 * common / (one + other) if one + other else np.nan
            rows.append((gyrus, side, score, voxel * one, voxel * other))
    table = pd.DataFrame(rows, columns=['gyrus', 'side', 'dice', 'volume_mm3', 'found_mm3'])
    return table.assign(group=subject.group)


def class_map(shares: np.ndarray, affine: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the class of the largest interpolated probability at places; 0 outside the grid.

    Parameters
    ----------
    shares : numpy.ndarray
        Shape (classes, n, m, k).
    affine : numpy.ndarray
        Shape (4, 4), voxel indices of `shares` to mm.
    places : numpy.ndarray
        Shape (a, b, c, 3), mm.

    Returns
    -------
    numpy.ndarray
        uint8, shape (a, b, c).
    """
    last = np.array(shares.shape[1:]) - 1
    index = apply_affine(np.linalg.inv(affine), places)
    # From -1 to 1 along each axis, the last axis first; one image of many classes at a time is
    # much faster here than one class at a time in SciPy.
    scaled = torch.from_numpy((2 * index / last - 1)[..., ::-1].copy()).float()
    volume = torch.from_numpy(np.ascontiguousarray(shares, np.float32))
    seen = torch.nn.functional.grid_sample(volume[None], scaled[None], align_corners=True)[0]
    return seen.argmax(dim=0).numpy().astype(np.uint8)
