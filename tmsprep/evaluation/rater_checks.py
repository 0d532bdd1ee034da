"""Errors in raters' files of points that show in comparison with other files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tmsprep.evaluation.annotation_checks import (
    check_names,
    check_same_place,
    check_zero,
    usable_points,
)
from tmsprep.evaluation.findings import Finding
from tmsprep.evaluation.head_checks import COMMON_POINTS
from tmsprep.evaluation.status import DISAGREEMENT_MM, mirrored, swapped_pairs
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

# So many points in common with a file of another participant are too many for chance.
_COPIED_POINTS = 2
_DECIMALS = 3
_LPS = np.array([-1.0, -1.0, 1.0])


def check_raters(
    images: Mapping[str, Mapping[str, PointSet]],
    protocol: Protocol,
    threshold_mm: float = DISAGREEMENT_MM,
) -> list[Finding]:
    """Compare the files of all raters, image by image; no image is read.

    Parameters
    ----------
    images : mapping
        Name of each image to its raters, and their names to their points; mm, RAS+.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Raters further apart than this disagree.

    Returns
    -------
    list of Finding
        Image by image: each file alone, then against the other raters of the image; at the end,
        images whose files hold the same numbers. The message names image and rater too; a finding
        on several images has the first.
    """
    findings: list[Finding] = []
    files: dict[bytes, dict[str, str]] = defaultdict(dict)
    for image, raters in images.items():
        known = {}
        for rater, given in raters.items():
            alone, known[rater] = _check_alone(given, protocol)
            findings += [_about(image, rater, f.severity, f.label, f.message) for f in alone]
            if known[rater].found.sum() >= COMMON_POINTS:
                # Adding 0 turns -0.0 into 0.0, which has other bytes.
                numbers = known[rater].coordinates.round(_DECIMALS) + 0.0
                files[numbers.tobytes()].setdefault(image, rater)
        findings += _compare(image, known, protocol, threshold_mm) + _same_points(image, known)
    return findings + [_same_file(found) for found in files.values() if len(found) > 1]


def _about(image: str, rater: str, severity: str, label: str | None, message: str) -> Finding:
    return Finding(severity, label, f'{image}, rater {rater}: {message}', image, rater)


def _check_alone(given: PointSet, protocol: Protocol) -> tuple[list[Finding], PointSet]:
    """Check one file; return the findings, and its usable points in protocol order."""
    zero, known = check_zero(given.reindex(protocol.labels))
    same = check_same_place(known)
    return check_names(given, protocol) + zero + same, usable_points(known, same, protocol)


def _compare(
    image: str, raters: Mapping[str, PointSet], protocol: Protocol, threshold_mm: float
) -> list[Finding]:
    """Compare whole files, then the sides and places of single points of the good files."""
    wrong = list(_wrong_files(raters, protocol, threshold_mm))
    findings = [_wrong_file(image, names, difference) for names, difference in wrong]
    bad = {rater for names, _ in wrong for rater in names}
    good = {}
    for rater in [rater for rater in raters if rater not in bad]:
        swapped = swapped_pairs(raters[rater], protocol)
        for target in [target for i, target in enumerate(protocol.targets) if swapped[i]]:
            message = f"{target.label} and {target.mirror} lie on each other's side of the midline"
            message += '; exchange the names'
            findings.append(_about(image, rater, 'error', target.label, message))
        good[rater] = np.where(swapped[:, None], np.nan, raters[rater].coordinates)
    return findings + _outliers(image, good, protocol, threshold_mm)


def _outliers(
    image: str, raters: Mapping[str, np.ndarray], protocol: Protocol, threshold_mm: float
) -> list[Finding]:
    """Name single points that are far from those of all other raters."""
    names = list(raters)
    if len(names) < 2:
        return []
    points = np.array(list(raters.values()))
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    distances[np.arange(len(names)), np.arange(len(names))] = np.nan
    nearest = np.fmin.reduce(distances, axis=1)
    findings = []
    for label, away in zip(protocol.labels, nearest.T, strict=True):
        far = np.flatnonzero(away > threshold_mm)
        if len(far) and len(far) == np.isfinite(away).sum():
            message = (
                f'{image}, raters {", ".join(names[i] for i in far)}: no two of them agree on '
                f'{label}; the nearest are {away[far].min():.1f} mm apart'
            )
            findings.append(Finding('warning', label, message, image))
            continue
        for i in far:
            message = f'{label} is {away[i]:.1f} mm from the nearest other rater, while others '
            message += 'agree; look at it'
            findings.append(_about(image, names[i], 'warning', label, message))
    return findings


class _Difference(NamedTuple):
    """How a file differs from others: 'same' or a key of `_EXPLANATIONS`, and medians in mm."""

    kind: str
    distance_mm: float
    shift_mm: np.ndarray


_EXPLANATIONS = {
    'offset': 'all points are shifted by {length:.1f} mm (x, y, z: {shift}), while distances '
    'within the file agree. They may be of another image or frame: give them in mm, RAS+, scanner '
    'frame of this image',
    'flipped': 'negating x and y brings the points onto each other: LPS numbers were read as RAS, '
    'or the other way round. Correct the frame that the file names',
    'swapped': 'exchanging left and right names brings the points onto each other. Correct the '
    'names',
    'mirrored': 'all left points lie on the right side and the other way round. Correct the '
    'names, or the frame that the file names (LPS read as RAS)',
    'elsewhere': 'most points lie elsewhere (median distance {distance:.1f} mm), and no shift, '
    'flip or exchange of sides explains it. They may be of another participant or another frame',
}
_MIRRORED = _Difference('mirrored', np.nan, np.zeros(3))


def _difference(
    points: np.ndarray, others: np.ndarray, protocol: Protocol, limit_mm: float
) -> _Difference | None:
    """Find the simplest explanation of how a file, (targets, 3), differs from (files, targets, 3).

    Medians are compared, so that a few slips do not count. An explanation must bring the points
    within the limit and to less than half their distance; the best one is taken. With fewer than
    `COMMON_POINTS` points in common there is none.
    """
    pairs, mirror = protocol.has_mirror(), protocol.mirror_permutation()
    apart = points - others
    distance = _median(apart)
    if np.isnan(distance):
        return None
    shift = np.median(apart[np.isfinite(apart).all(axis=-1)], axis=0)
    # Midline targets stay where they are when names are exchanged: only pairs count.
    tried = {
        'swapped': (_median(apart[:, pairs]), (points[mirror] - others)[:, pairs]),
        'flipped': (distance, points * _LPS - others),
    }
    if np.linalg.norm(shift) > limit_mm:
        tried['offset'] = distance, apart - shift
    after = {
        kind: rest
        for kind, (before, changed) in tried.items()
        if before > limit_mm >= (rest := _median(changed)) and rest < before / 2
    }
    default = 'same' if distance <= limit_mm else 'elsewhere'
    return _Difference(min(after, key=after.__getitem__, default=default), distance, shift)


def _median(differences: np.ndarray) -> float:
    """Median length of differences of points; NaN if fewer than `COMMON_POINTS` are known."""
    lengths = np.linalg.norm(differences, axis=-1)
    lengths = lengths[np.isfinite(lengths)]
    return float(np.median(lengths)) if len(lengths) >= COMMON_POINTS else np.nan


def _wrong_files(
    raters: Mapping[str, PointSet], protocol: Protocol, limit_mm: float
) -> Iterator[tuple[tuple[str, ...], _Difference]]:
    """Find files that are wrong as a whole, or two of which one must be, and how they differ.

    Anatomy comes first: a file with left and right exchanged is wrong whatever the others say. Of
    the rest, a file is wrong if it differs from more than half of the others. If that holds for
    all of them, it cannot be told which, and every two that differ are named together.
    """

    def compare(rater: str, others: Iterable[str]) -> _Difference | None:
        places = [raters[other].coordinates for other in others if other != rater]
        shaped = np.reshape(places, (-1, len(protocol.labels), 3))
        return _difference(raters[rater].coordinates, shaped, protocol, limit_mm)

    def is_outvoted(rater: str) -> bool:
        found = [difference for other in rest if (difference := compare(rater, [other]))]
        return 2 * sum(difference.kind != 'same' for difference in found) > len(found)

    exchanged = [rater for rater, points in raters.items() if mirrored(points, protocol)]
    rest = [rater for rater in raters if rater not in exchanged]
    suspects = [rater for rater in rest if is_outvoted(rater)]
    good = [rater for rater in rest if rater not in suspects]
    for rater in exchanged:
        found = compare(rater, good or rest)
        known = found is not None and found.kind in ('flipped', 'swapped')
        yield (rater,), found if found and known else _MIRRORED
    for rater in suspects if good else ():
        found = compare(rater, good) or compare(rater, rest)
        if found:
            yield (rater,), found
    for pair in () if good else combinations(rest, 2):
        found = compare(pair[0], pair[1:])
        if found and found.kind != 'same':
            yield pair, found


def _wrong_file(image: str, names: tuple[str, ...], difference: _Difference) -> Finding:
    # Adding 0 turns -0.0 into 0.0.
    shift = ', '.join(f'{value:+.1f}' for value in difference.shift_mm.round(1) + 0.0)
    what = _EXPLANATIONS.get(difference.kind, _EXPLANATIONS['elsewhere']).format(
        length=np.linalg.norm(difference.shift_mm), shift=shift, distance=difference.distance_mm
    )
    if len(names) > 1:
        message = f'{image}, raters {" and ".join(names)}, one of which must be wrong: {what}'
        return Finding('error', None, message, image)
    against = '' if difference is _MIRRORED else ', against the others'
    return Finding('error', None, f'{image}, rater {names[0]}{against}: {what}', image, names[0])


def _same_points(image: str, raters: Mapping[str, PointSet]) -> list[Finding]:
    """Name points of one image that two raters gave with the same numbers.

    A rater hardly hits the same micrometre twice, but may hit the same voxel: few are a note.
    """
    findings = []
    for (a, first), (b, second) in combinations(raters.items(), 2):
        same = first.distance(second) < 10**-_DECIMALS
        if same.any():
            message = (
                f'{image}, raters {a} and {b}: the very same point for '
                f'{", ".join(np.array(first.labels)[same])}. If one was copied from the other, '
                'remove it: it would count as agreement'
            )
            severity = 'warning' if same.sum() >= COMMON_POINTS else 'note'
            findings.append(Finding(severity, None, message, image))
    return findings


def _same_file(images: Mapping[str, str]) -> Finding:
    """Name images, with a rater each, whose files hold the same numbers."""
    named = ' and '.join(f'{image} by rater {rater}' for image, rater in images.items())
    message = f'{named}: the very same points for different images. Find out whose they are'
    return Finding('warning', None, message, next(iter(images)))


def copied_between_participants(
    files: Sequence[tuple[str, PointSet]],
) -> dict[int, tuple[int, int]]:
    """Find files that hold another participant's points, so that neither can be used.

    Parameters
    ----------
    files : sequence of (str, PointSet)
        Participant and points of each file; mm, RAS+, of any images.

    Returns
    -------
    dict
        Index of a file in `files` to the index of the first file of another participant with two
        of its points or more, equal to the last digit, and to the number of these points.
    """
    holders: dict[tuple[str, tuple[float, ...]], list[int]] = defaultdict(list)
    for number, (_, points) in enumerate(files):
        for i in np.flatnonzero(points.found):
            holders[points.labels[i], tuple(points.coordinates[i].tolist())].append(number)
    common = Counter(
        (one, other)
        for numbers in holders.values()
        for one, other in permutations(numbers, 2)
        if files[one][0] != files[other][0]
    )
    copies: dict[int, tuple[int, int]] = {}
    for (one, other), count in sorted(common.items()):
        if count >= _COPIED_POINTS:
            copies.setdefault(one, (other, count))
    return copies


def describe_copy(path: Path, other: Path, count: int) -> str:
    """Name two files with the same points, their number, and what to do."""
    return (
        f'{path}: {count} points are the very same as in {other}, of another participant, so '
        'neither file is used. Find out whose points these are.'
    )
