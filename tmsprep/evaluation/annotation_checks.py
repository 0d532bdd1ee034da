"""What is wrong with one person's annotated points, as far as header and anatomy tell."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tmsprep.evaluation.status import on_wrong_side, outside_field_of_view
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

# All of these are our choice.
MIDLINE_MM = 10.0
"""A lone point this little across the midline may belong there: the leg's targets lie at it, and
the plane through few points, or of a brain with a lesion, is that uncertain."""
OFF_CENTRE_MM = 20.0
"""Further across the middle of the field of view than a head is off it."""
WRONG_IMAGE_MM = 100.0
"""Middle of the points this far from the middle of the image: another image's points."""
SAME_PLACE_MM = 0.1
"""Two targets nearer than this were given one and the same point."""


@dataclass(frozen=True)
class Finding:
    """Something to say about annotated points.

    Parameters
    ----------
    severity : str
        'error': the point, or with label None every point, must not be used; 'warning': to be
        looked at; 'note': for information.
    label : str or None
        The target; None for all.
    message : str
        What is wrong and the cure, without the name of the file.
    image : str
        Name of the image, if the finding is one of several images' raters; otherwise empty.
    rater : str
        Name of the rater whose file it is; empty if it is of several, or of no rater.
    """

    severity: str
    label: str | None
    message: str
    image: str = ''
    rater: str = ''


def check_points(
    points: PointSet,
    protocol: Protocol,
    shape: tuple[int, ...] | None = None,
    affine: np.ndarray | None = None,
) -> list[Finding]:
    """Look for everything that can be told without the image's intensities.

    Parameters
    ----------
    points : PointSet
        As one rater gave them; mm, RAS+, in the scanner frame of the image.
    protocol : Protocol
        The targets.
    shape, affine : tuple of int, numpy.ndarray, optional
        Of the image. Without them nothing is said of the field of view, nor of the sides of
        points of which none has its counterpart.

    Returns
    -------
    list of Finding
        First on names, then on places. A finding on the whole file hides those on its points.
    """
    named = _check_names(points, protocol)
    known = points.reindex(protocol.labels)
    if not any(label in points for label in protocol.labels) or not known.found.any():
        return named
    zero, known = _check_zero(known)
    has_image = shape is not None and affine is not None
    whole = _check_image(known, shape, affine) if has_image else []
    whole = whole or _check_mirrored(known, protocol)
    if whole:
        return [*named, *zero, *whole]
    findings = [*named, *zero]
    if has_image:
        findings += _check_outside(known, shape, affine)
    if has_image or _paired(known, protocol).any():
        findings += _check_sides(known, protocol, shape, affine)
    return findings + _check_same_place(known)


def usable_points(points: PointSet, findings: Iterable[Finding], protocol: Protocol) -> PointSet:
    """Return the targets in protocol order; those with an error become missing."""
    bad = {finding.label for finding in findings if finding.severity == 'error'}
    kept = [label for label in points.labels if label not in bad and None not in bad]
    return points.reindex(kept).reindex(protocol.labels)


def _check_names(points: PointSet, protocol: Protocol) -> list[Finding]:
    unknown = [label for label in points.labels if label not in protocol.labels]
    if len(unknown) == len(points):
        given = ', '.join(map(repr, unknown)) or 'nothing'
        message = (
            f'names no target of the protocol {protocol.name!r}: it names {given}; the targets '
            f'are {", ".join(protocol.labels)}. Rename the points, or give the protocol that they '
            'belong to (--protocol)'
        )
        return [Finding('error', None, message)]
    findings = [Finding('warning', label, _unknown(label, protocol)) for label in unknown]
    missing = [t for t in protocol.labels if t not in points or np.isnan(points[t]).any()]
    if len(missing) == len(protocol.labels):
        findings.append(Finding('warning', None, 'every point in it is missing (n/a)'))
    elif missing:
        message = f'no point for {", ".join(missing)}; the others are used'
        findings.append(Finding('note', None, message))
    return findings


def _unknown(label: str, protocol: Protocol) -> str:
    upper = {target.upper(): target for target in protocol.labels}
    near = difflib.get_close_matches(label.strip().upper(), upper, 1)
    hint = f'; did you mean {upper[near[0]]}?' if near else ''
    return f'{label!r} is no target of the protocol {protocol.name!r} and is ignored{hint}'


def _check_zero(points: PointSet) -> tuple[list[Finding], PointSet]:
    """Name the points at (0, 0, 0) and take them out, as they would mislead the other checks."""
    zero = (points.coordinates == 0).all(axis=1)
    rest = points.reindex(np.array(points.labels)[~zero]).reindex(points.labels)
    message = 'is at (0, 0, 0), which usually means that it was never set; write n/a, or set it'
    return _errors(points, zero, message), rest


def _errors(points: PointSet, flags: np.ndarray, message: str) -> list[Finding]:
    return [
        Finding('error', label, f'{label} {message}')
        for label, flag in zip(points.labels, flags, strict=True)
        if flag
    ]


def _check_image(points: PointSet, shape: tuple[int, ...], affine: np.ndarray) -> list[Finding]:
    """Tell whether the points as a whole lie in another image."""
    if points.found.sum() < 2:
        return []
    found = int(points.found.sum())
    outside = int(outside_field_of_view(points, shape, affine).sum())
    # The median, as one point far away is one slip, not another image.
    middle = np.median(points.coordinates[points.found], axis=0)
    away = float(np.linalg.norm(middle - _image_centre(shape, affine)))
    if 2 * outside <= found and away <= WRONG_IMAGE_MM:
        return []
    where = (
        f'{outside} of {found} points are outside the image'
        if 2 * outside > found
        else f'the points lie around a place {away:.0f} mm from the middle of the image'
    )
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flipped = outside_field_of_view(points.transformed(flip), shape, affine).sum()
    hint = (
        '; with x and y negated they are inside, so the numbers may be LPS: write them as RAS+'
        if outside and not flipped
        else ''
    )
    message = (
        f'{where}: they may belong to another image, or to another frame (voxel indices, a '
        f'template){hint}. Give the points of this image in mm, RAS+, scanner frame'
    )
    return [Finding('error', None, message)]


def _image_centre(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    return affine[:3, :3] @ ((np.array(shape[:3]) - 1) / 2) + affine[:3, 3]


def _check_mirrored(points: PointSet, protocol: Protocol) -> list[Finding]:
    """Tell whether x is negated: two pairs or more, all of them the wrong way round."""
    paired = _paired(points, protocol)
    if paired.sum() < 4 or not on_wrong_side(points, protocol)[paired].all():
        return []
    message = (
        'all left points lie on the right side and the other way round: left and right are '
        'mirrored, as when LPS numbers (ITK, ANTs, Slicer) are read as RAS. Write them as RAS+ '
        '(negate x and y), or correct the names'
    )
    return [Finding('error', None, message)]


def _paired(points: PointSet, protocol: Protocol) -> np.ndarray:
    """Boolean, shape (n,): targets that are found, and their counterparts too."""
    return points.found & protocol.has_mirror() & points.found[protocol.mirror_permutation()]


def _check_outside(points: PointSet, shape: tuple[int, ...], affine: np.ndarray) -> list[Finding]:
    outside = outside_field_of_view(points, shape, affine)
    return _errors(points, outside, 'is outside the image; correct it, or write n/a')


def _check_sides(
    points: PointSet, protocol: Protocol, shape: tuple[int, ...], affine: np.ndarray
) -> list[Finding]:
    side = np.array([{'L': -1.0, 'R': 1.0}.get(t.hemisphere, 0.0) for t in protocol.targets])
    if _paired(points, protocol).any():
        across = on_wrong_side(points, protocol)
        swapped = across & across[protocol.mirror_permutation()] & protocol.has_mirror()
        # With every point moved outwards, only those far across the midline stay across.
        outwards = points.coordinates + MIDLINE_MM * np.outer(side, [1, 0, 0])
        wrong = swapped | on_wrong_side(PointSet(points.labels, outwards), protocol)
    else:
        # Points of one side only: all that is known of the midline is the middle of the image.
        offset = side * (points.coordinates[:, 0] - _image_centre(shape, affine)[0])
        across = wrong = points.found & (offset < -OFF_CENTRE_MM)
    message = 'lies on the other side of the midline; correct the point or its name'
    near = [
        Finding('warning', label, f'{label} lies just across the midline; look at it')
        for label in np.array(points.labels)[across & ~wrong].tolist()
    ]
    return _errors(points, wrong, message) + near


def _check_same_place(points: PointSet) -> list[Finding]:
    distances = np.linalg.norm(points.coordinates[:, None] - points.coordinates, axis=-1)
    np.fill_diagonal(distances, np.inf)
    findings = []
    for i in np.flatnonzero((distances < SAME_PLACE_MM).any(axis=1)):
        label, others = points.labels[i], np.flatnonzero(distances[i] < SAME_PLACE_MM)
        named = ' and '.join(points.labels[j] for j in others)
        message = f'{label} is at the same place as {named}; correct one, or write n/a'
        findings.append(Finding('error', label, message))
    return findings
