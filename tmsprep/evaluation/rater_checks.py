"""What is wrong with raters' points, as far as a file itself and the other raters tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tmsprep.evaluation.annotation_checks import SAME_PLACE_MM, Finding
from tmsprep.evaluation.rater_blame import blame, describe
from tmsprep.evaluation.rater_copies import WholeFiles, same_points
from tmsprep.evaluation.status import DISAGREEMENT_MM, on_wrong_side
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

PREFIX = 'rater-'
"""What the method of a human rater begins with."""


def check_raters(
    points: pd.DataFrame, protocol: Protocol, threshold_mm: float = DISAGREEMENT_MM
) -> list[Finding]:
    """Look through all raters' files without any image.

    Parameters
    ----------
    points : pandas.DataFrame
        One row per image, target and method, with the columns image, method, label, x, y and z
        (mm, RAS+, NaN if missing). Only methods that begin with ``rater-`` count.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Raters further apart than this disagree.

    Returns
    -------
    list of Finding
        Image by image: what a file says alone, then against the other raters of the image; at
        last, images whose files hold the very same numbers. The message names image and rater too;
        a finding on several images has the first.

    Raises
    ------
    ValueError
        If a rater gives a target of one image twice.
    """
    findings: list[Finding] = []
    files = WholeFiles()
    for image, raters in _images(points):
        known = {}
        for rater, given in raters.items():
            said, known[rater] = _check_alone(given, protocol)
            findings += _about(image, rater, said)
            files.add(image, rater, known[rater])
        findings += _compare(image, known, protocol, threshold_mm) + same_points(image, known)
    return findings + files.findings()


def _images(points: pd.DataFrame) -> Iterator[tuple[str, dict[str, PointSet]]]:
    """Go through the images with each rater's points, in the order of the table."""
    rows = points[points['method'].str.startswith(PREFIX)]
    images: dict[str, dict[str, PointSet]] = defaultdict(dict)
    for (image, method), file in rows.groupby(['image', 'method'], sort=False):
        coordinates = file[['x', 'y', 'z']].to_numpy(dtype=np.float64)
        try:
            given = PointSet(tuple(file['label']), coordinates)
        except ValueError as error:
            raise ValueError(f'{image}, {method}: {error}') from error
        images[image][method.removeprefix(PREFIX)] = given
    yield from images.items()


def _about(image: str, rater: str, findings: list[Finding]) -> list[Finding]:
    return [
        Finding(f.severity, f.label, f'{image}, rater {rater}: {f.message}', image, rater)
        for f in findings
    ]


def _check_alone(given: PointSet, protocol: Protocol) -> tuple[list[Finding], PointSet]:
    """Check one file; return the findings, and its usable points in protocol order."""
    findings = [
        Finding('warning', label, f'{label!r} is no target of the protocol {protocol.name!r}')
        for label in given.labels
        if label not in protocol.labels
    ]
    known = given.reindex(protocol.labels)
    missing = np.array(protocol.labels)[~known.found]
    if len(missing) == len(known):
        findings.append(Finding('warning', None, 'every point is missing'))
    elif len(missing):
        findings.append(Finding('note', None, f'no point for {", ".join(missing)}'))
    zero = (known.coordinates == 0).all(axis=1)
    distances = np.linalg.norm(known.coordinates[:, None] - known.coordinates, axis=-1)
    np.fill_diagonal(distances, np.inf)
    # Points that were never set all lie at zero; that is one mistake, not two.
    near = (distances < SAME_PLACE_MM) & ~zero & ~zero[:, None]
    for i, label in enumerate(known.labels):
        if zero[i]:
            message = f'{label} is at (0, 0, 0), which usually means that it was never set'
            findings.append(Finding('error', label, message))
        elif near[i].any():
            others = ' and '.join(known.labels[j] for j in np.flatnonzero(near[i]))
            message = f'{label} is at the same place as {others}; correct one'
            findings.append(Finding('error', label, message))
    return findings, _without(known, zero | near.any(axis=1))


def _without(points: PointSet, flags: np.ndarray) -> PointSet:
    return points.reindex(np.array(points.labels)[~flags]).reindex(points.labels)


def _compare(
    image: str, raters: Mapping[str, PointSet], protocol: Protocol, threshold_mm: float
) -> list[Finding]:
    """Check files as wholes, then names of pairs, then single points of the good files."""
    faults = blame(raters, protocol, threshold_mm)
    findings = []
    for fault in faults:
        alone = fault.raters[0] if len(fault.raters) == 1 else ''
        message = f'{image}, {describe(fault, threshold_mm)}'
        findings.append(Finding('error', None, message, image, alone))
    bad = {rater for fault in faults for rater in fault.raters}
    good = {}
    for rater, points in raters.items():
        if rater in bad:
            continue
        across = on_wrong_side(points, protocol)
        swapped = across & across[protocol.mirror_permutation()] & protocol.has_mirror()
        for i in np.flatnonzero(swapped):
            message = (
                f'{image}, rater {rater}: {points.labels[i]} and {protocol.targets[i].mirror} lie '
                "on each other's side of the midline; exchange the names"
            )
            findings.append(Finding('error', points.labels[i], message, image, rater))
        good[rater] = _without(points, swapped)
    return findings + _far_points(image, good, protocol, threshold_mm)


def _far_points(
    image: str, raters: Mapping[str, PointSet], protocol: Protocol, threshold_mm: float
) -> list[Finding]:
    names = list(raters)
    if len(names) < 2:
        return []
    places = np.array([points.coordinates for points in raters.values()])
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    distances[np.arange(len(names)), np.arange(len(names))] = np.nan
    nearest = np.fmin.reduce(distances, axis=1)
    findings = []
    for j, label in enumerate(protocol.labels):
        given = np.flatnonzero(np.isfinite(nearest[:, j]))
        far = [i for i in given if nearest[i, j] > threshold_mm]
        if far and len(far) == len(given):
            message = (
                f'{image}, raters {", ".join(names[i] for i in far)}: no two of them agree on '
                f'{label}; the nearest are {min(nearest[far, j]):.1f} mm apart'
            )
            findings.append(Finding('warning', label, message, image))
            continue
        for i in far:
            message = (
                f'{image}, rater {names[i]}: {label} is {nearest[i, j]:.1f} mm from the nearest '
                'other rater, while others agree; look at it'
            )
            findings.append(Finding('warning', label, message, image, names[i]))
    return findings
