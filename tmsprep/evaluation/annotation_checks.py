"""Errors in one rater's points of one image that show in the header and in anatomy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np
from nibabel.affines import apply_affine

from tmsprep.bids.names import shorten
from tmsprep.evaluation.findings import Finding, point_errors
from tmsprep.evaluation.head_checks import check_shape
from tmsprep.evaluation.shape import protocol_shape
from tmsprep.evaluation.status import (
    mirrored,
    on_wrong_side,
    outside_field_of_view,
    side_signs,
)
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

#: A lone point this little across the midline may belong there: the leg's targets lie at it, and
#: the plane through few points, or of a brain with a lesion, is that uncertain.
MIDLINE_MM = 10.0

#: Further across the middle of the field of view than a head is off it.
OFF_CENTRE_MM = 20.0

#: Points whose middle is this far from the middle of the image belong to another image.
WRONG_IMAGE_MM = 100.0

#: So many names that are no targets are told one by one.
SHOWN_NAMES = 20

#: Two targets closer than this were given the same point.
SAME_PLACE_MM = 0.1


def check_points(
    points: PointSet,
    protocol: Protocol,
    shape: tuple[int, ...] | None = None,
    affine: np.ndarray | None = None,
) -> list[Finding]:
    """Check everything that can be checked without the image's intensities.

    Parameters
    ----------
    points : PointSet
        Points of one rater; mm, RAS+, in the scanner frame of the image.
    protocol : Protocol
        The targets.
    shape, affine : tuple of int, numpy.ndarray, optional
        Shape and affine of the image. Without them the field of view is not checked, nor the
        sides of points without a counterpart.

    Returns
    -------
    list of Finding
        First on names, then on positions. A finding on the whole file hides those on its points.
    """
    findings = check_names(points, protocol)
    known = points.reindex(protocol.labels)
    if not known.found.any():
        return findings
    zero, known = check_zero(known)
    findings += zero
    image = None if shape is None or affine is None else (shape, affine)
    whole = _check_image(known, *image) if image else []
    whole = whole or _check_mirrored(known, protocol)
    if whole:
        return findings + whole
    if image:
        outside = outside_field_of_view(known, *image)
        findings += point_errors(known, outside, 'is outside the image; correct it, or write n/a')
    sides = _check_sides(known, protocol, _centre(*image) if image else None)
    single = [*findings, *sides, *check_same_place(known)]
    # Single slips that are known already must not spoil the fit.
    rest = usable_points(known, single, protocol)
    places = protocol_shape(protocol)
    whole = check_shape(rest, places) if places is not None else []
    if any(finding.label is None for finding in whole):
        return findings + whole
    return single + whole


def usable_points(points: PointSet, findings: Iterable[Finding], protocol: Protocol) -> PointSet:
    """Return the targets in protocol order; those with an error become missing."""
    bad = {finding.label for finding in findings if finding.severity == 'error'}
    kept = [label for label in points.labels if label not in bad and None not in bad]
    return points.reindex(kept).reindex(protocol.labels)


def check_names(points: PointSet, protocol: Protocol) -> list[Finding]:
    """Name unknown and missing targets."""
    unknown = [label for label in points.labels if label not in protocol.labels]
    if len(unknown) == len(points):
        given = shorten([repr(label) for label in unknown]) or 'nothing'
        message = (
            f'names no target of the protocol {protocol.name!r}: it names {given}; the targets '
            f'are {", ".join(protocol.labels)}. Rename the points, or give the protocol that they '
            'belong to (--protocol)'
        )
        return [Finding('error', None, message)]
    findings = [
        Finding('warning', label, _unknown(label, protocol)) for label in unknown[:SHOWN_NAMES]
    ]
    if len(unknown) > SHOWN_NAMES:
        message = f'{len(unknown) - SHOWN_NAMES} further names are no targets and are ignored'
        findings.append(Finding('warning', None, message))
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
    return f'{label!r} is not a target of the protocol {protocol.name!r} and is ignored{hint}'


def check_zero(points: PointSet) -> tuple[list[Finding], PointSet]:
    """Name the points at (0, 0, 0) and remove them, as they would mislead the other checks."""
    zero = (points.coordinates == 0).all(axis=1)
    rest = points.reindex(np.array(points.labels)[~zero]).reindex(points.labels)
    message = 'is at (0, 0, 0), which usually means that it was never set; write n/a, or set it'
    return point_errors(points, zero, message), rest


def check_same_place(points: PointSet) -> list[Finding]:
    """Name the targets that were given one and the same point."""
    distances = np.linalg.norm(points.coordinates[:, None] - points.coordinates, axis=-1)
    np.fill_diagonal(distances, np.inf)
    findings = []
    for i in np.flatnonzero((distances < SAME_PLACE_MM).any(axis=1)):
        label, others = points.labels[i], np.flatnonzero(distances[i] < SAME_PLACE_MM)
        named = ' and '.join(points.labels[j] for j in others)
        message = f'{label} is at the same place as {named}; correct one, or write n/a'
        findings.append(Finding('error', label, message))
    return findings


def _check_image(points: PointSet, shape: tuple[int, ...], affine: np.ndarray) -> list[Finding]:
    """Tell whether the points as a whole lie in another image."""
    found = int(points.found.sum())
    if found < 2:
        return []
    outside = int(outside_field_of_view(points, shape, affine).sum())
    # The median, as one point far away is one slip, not another image.
    middle = np.median(points.coordinates[points.found], axis=0)
    away = float(np.linalg.norm(middle - _centre(shape, affine)))
    if 2 * outside <= found and away <= WRONG_IMAGE_MM:
        return []
    where = (
        f'{outside} of {found} points are outside the image'
        if 2 * outside > found
        else f'the points lie around a place {away:.0f} mm from the middle of the image'
    )
    flipped = points.transformed(np.diag([-1.0, -1.0, 1.0, 1.0]))
    hint = (
        '; with x and y negated they are inside, so the numbers may be LPS: write them as RAS+'
        if outside and not outside_field_of_view(flipped, shape, affine).any()
        else ''
    )
    message = (
        f'{where}: they may belong to another image, or to another frame (voxel indices, a '
        f'template){hint}. Give the points of this image in mm, RAS+, scanner frame'
    )
    return [Finding('error', None, message)]


def _centre(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Middle of an image, mm, RAS+."""
    return apply_affine(affine, (np.array(shape[:3]) - 1) / 2)


def _check_mirrored(points: PointSet, protocol: Protocol) -> list[Finding]:
    if not mirrored(points, protocol):
        return []
    message = (
        'all left points lie on the right side and the other way round: left and right are '
        'mirrored, as when LPS numbers (ITK, ANTs, Slicer) are read as RAS. Write them as RAS+ '
        '(negate x and y), or correct the names'
    )
    return [Finding('error', None, message)]


def _check_sides(points: PointSet, protocol: Protocol, centre: np.ndarray | None) -> list[Finding]:
    """Compare sides with the midline of the points, or without pairs with the image's centre."""
    side, mirror = side_signs(protocol), protocol.mirror_permutation()
    if (points.found & protocol.has_mirror() & points.found[mirror]).any():
        across = on_wrong_side(points, protocol)
        if not across.any():
            return []
        # With every point moved outwards, only those far across the midline stay across.
        outwards = points.coordinates + MIDLINE_MM * np.outer(side, [1, 0, 0])
        far = on_wrong_side(PointSet(points.labels, outwards), protocol)
        wrong = (across & across[mirror] & protocol.has_mirror()) | far
    elif centre is not None:
        offset = side * (points.coordinates[:, 0] - centre[0])
        across = wrong = points.found & (offset < -OFF_CENTRE_MM)
    else:
        return []
    message = 'lies on the other side of the midline; correct the point or its name'
    near = [
        Finding('warning', label, f'{label} lies just across the midline; look at it')
        for label in np.array(points.labels)[across & ~wrong].tolist()
    ]
    return point_errors(points, wrong, message) + near
