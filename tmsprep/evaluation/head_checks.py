"""Errors in one rater's points that show by the shape of a head, or by the points of methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tmsprep.evaluation.findings import Finding
from tmsprep.evaluation.shape import ShapeFit, fit_shape
from tmsprep.points import PointSet

#: Sizes of a head, relative to MNI152, outside which the unit is not mm. Raters of IXI (training
#: set) and HCP: 0.80 to 1.03. A newborn's brain is 0.6 as long; centimetres give 0.1.
HEAD_SIZES = (0.4, 1.6)

#: Points of a head that is turned further are given in other axes than RAS+. Raters of IXI and
#: HCP: up to 31 degrees; an axis with another sign, or two exchanged, give 53 or more.
TURNED_DEGREES = 45.0

#: Points of a worse `ShapeFit.misfit` are no head's. Raters of IXI and HCP: up to 0.17, and 0.37
#: where the parcellation is wrong that the points were made from; shuffled names give over 0.58.
MISFIT = 0.5

#: A single point further from its place in the head that the others show is a slip. Raters of IXI
#: and HCP: up to 23 mm, and 29 with that parcellation.
SLIP_MM = 40.0

#: Fewer points in common than this tell nothing about a whole file.
COMMON_POINTS = 4

#: So many points tell whether their shape is a head's.
SHAPE_POINTS = 5

#: Points this far (median) from those of every method belong to another image, or the methods are
#: wrong in this one.
FAR_MM = 20.0

_AXES = (
    'axes have another sign, or are exchanged. Give x to the right, y to the front and z to the '
    'top (RAS+), or correct the header of the image'
)


def check_shape(points: PointSet, shape: PointSet) -> list[Finding]:
    """Compare the points of one rater with the places of the targets in a head.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the scanner frame of the image, without those that are wrong by themselves.
    shape : PointSet
        See `tmsprep.evaluation.shape.protocol_shape`.

    Returns
    -------
    list of Finding
        One error on the whole file, or one for each point that is not where the others show.
    """
    fit = fit_shape(points, shape)
    whole = _whole_file(fit)
    if whole:
        return [Finding('error', None, whole)]
    if fit.used.sum() < SHAPE_POINTS:
        return []
    return [
        Finding(
            'error',
            label,
            f'{label} is {away:.0f} mm from its place in a head; correct it, or write n/a',
        )
        for label, away in zip(points.labels, fit.residuals_mm, strict=True)
        if away > SLIP_MM
    ]


def _whole_file(fit: ShapeFit) -> str:
    """Say why points cannot be those of a head; '' if they can."""
    if fit.size < HEAD_SIZES[0] or fit.size > HEAD_SIZES[1]:
        return (
            f'the points are {fit.size:.2g} times as far apart as in a head: they may be in '
            'another unit (cm, m, voxels). Give mm'
        )
    if fit.mirrored:
        return f'the points are the mirror image of those in a head: {_AXES}'
    if fit.turn_degrees > TURNED_DEGREES:
        return f'the points are those of a head turned by {fit.turn_degrees:.0f} degrees: {_AXES}'
    if fit.misfit > MISFIT and fit.used.sum() >= SHAPE_POINTS:
        return (
            'the points are in no place of a head, however it is turned: their names may be '
            'exchanged. Give the points of the targets in mm, RAS+'
        )
    return ''


def far_from_methods(points: PointSet, methods: Mapping[str, PointSet]) -> list[Finding]:
    """Warn if points are far from those of every method that located the same targets.

    Parameters
    ----------
    points : PointSet
        Usable points of one rater; mm, RAS+.
    methods : mapping
        Name of each method to its points of the same image.

    Returns
    -------
    list of Finding
        A warning on the whole file, or nothing: which of them is wrong cannot be told.
    """
    away = {}
    for name, located in methods.items():
        distances = points.distance(located)
        known = distances[np.isfinite(distances)]
        if len(known) >= COMMON_POINTS:
            away[name] = float(np.median(known))
    if not away or min(away.values()) <= FAR_MM:
        return []
    shown = ' and '.join(f'{mm:.0f} mm from those by {name}' for name, mm in away.items())
    message = (
        f'the points are {shown} (median): they may be of another image or participant, or the '
        'methods may be wrong here. Look at both'
    )
    return [Finding('warning', None, message)]
