"""Fit of located points to the shape that a protocol's targets have in a head."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tmsprep.formats import read_points
from tmsprep.imaging.similarity import similarity
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

#: Corners of the box in mm, RAS+, that holds MNI152 with the skull around it.
ATLAS_BOX_MM = ((-100.0, -140.0, -80.0), (100.0, 110.0, 120.0))

#: Points with a smaller spread (RMS) across their longest axis are nearly on a line: their turn
#: about it is a matter of chance, and so is the size of points this close together. For 3 to 16
#: points drawn from files of the raters of IXI (training set) and of HCP, the turn is at most 40
#: degrees from there on, but up to 176 degrees below 4 mm.
LINE_MM = 12.0

#: A shape is flat, and its mirror image fits as well, if its third spread (RMS) is below this.
FLAT_MM = 8.0

#: A single point that does not belong to the others is further off than this, in mm, and than
#: twice the RMS of all: it is not fitted. None of 321 files of raters of IXI (training set) and of
#: HCP has one.
SLIP_MM = 25.0


class ShapeFit(NamedTuple):
    """How points fit a shape, of which size, turn and place are free.

    Parameters
    ----------
    used : numpy.ndarray
        Boolean, shape (n,): the points that were fitted; all known in both sets but slips.
    size : float
        Size of the points relative to the shape (ratio of RMS distances from the middle); NaN if
        the places of the points are too close together to tell.
    turn_degrees : float
        Angle by which the shape is turned, 0 to 180; NaN if the points are nearly on a line.
    mirrored : bool
        Whether the points are the mirror image of the shape, not the shape.
    misfit : float
        RMS residual relative to the RMS distance of the points from their middle: 0 for the same
        shape, near 1 for points that have nothing in common with it. NaN with fewer than three.
    residuals_mm : numpy.ndarray
        Shape (n,), mm: distance of each point from its place in the fitted shape, that of slips
        included; NaN where a point is missing in either set, or `misfit` is NaN.
    """

    used: np.ndarray
    size: float
    turn_degrees: float
    mirrored: bool
    misfit: float
    residuals_mm: np.ndarray


def fit_shape(points: PointSet, shape: PointSet) -> ShapeFit:
    """Fit a shape to points by a similarity transform, leaving out single slips.

    At most a quarter of the points is left out, the worst first. Any rotation is allowed, but no
    reflection; whether the mirror image fits better is told by `ShapeFit.mirrored`.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    shape : PointSet
        The same names, such as `protocol_shape`; mm, RAS+.

    Examples
    --------
    A shape of half the size, turned by 90 degrees about z and moved:

    >>> corners = [[0, 0, 0], [80, 0, 0], [0, 60, 0], [0, 0, 40], [50, 50, 50]]
    >>> shape = PointSet(tuple('abcde'), corners)
    >>> turned = shape.coordinates[:, [1, 0, 2]] * [-0.5, 0.5, 0.5] + 7
    >>> fit = fit_shape(PointSet(shape.labels, turned), shape)
    >>> round(fit.size, 6), round(fit.turn_degrees, 6), fit.mirrored, round(fit.misfit, 6)
    (0.5, 90.0, False, 0.0)
    """
    places = shape.reindex(points.labels).coordinates
    given = points.coordinates
    known = np.isfinite(places).all(axis=1) & points.found
    used = known.copy()
    turn, residuals = _fit(places, given, used)
    mirrored = _mirrored(places, given, known, residuals)
    for _ in range(known.sum() // 4):
        worst = int(np.nanargmax(np.where(used, residuals, -1.0)))
        if residuals[worst] <= max(SLIP_MM, 2 * _rms(residuals[used])):
            break
        used[worst] = False
        turn, residuals = _fit(places, given, used)
    size = misfit = np.nan
    if used.sum() >= 2:
        radius, expected = _radius(given[used]), _radius(places[used])
        size = radius / expected if expected >= LINE_MM else np.nan
        misfit = _rms(residuals[used]) / radius if radius else 1.0
    if used.sum() < 3:
        misfit, residuals = np.nan, np.full(len(points), np.nan)
    return ShapeFit(used, size, turn, mirrored, misfit, residuals)


def _fit(places: np.ndarray, given: np.ndarray, used: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the turn in degrees, and all residuals in mm, of the fit of the points used."""
    if used.sum() < 2:
        return np.nan, np.full(len(given), np.nan)
    matrix, shift = similarity(places[used], given[used])
    residuals = np.linalg.norm(given - places @ matrix.T - shift, axis=1)
    spread = min(_spreads(places[used])[1], _spreads(given[used])[1])
    scale = np.cbrt(np.linalg.det(matrix))
    if used.sum() < 3 or spread < LINE_MM or not scale > 0:
        return np.nan, residuals
    cosine = (np.trace(matrix) / scale - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))), residuals


def _mirrored(
    places: np.ndarray, given: np.ndarray, known: np.ndarray, residuals: np.ndarray
) -> bool:
    """Tell whether the mirror image fits all known points twice as well."""
    if known.sum() < 4 or _spreads(places[known])[2] < FLAT_MM:
        return False
    _, image = _fit(places * [-1.0, 1.0, 1.0], given, known)
    return bool(_rms(image[known]) < _rms(residuals[known]) / 2)


def _spreads(points: np.ndarray) -> np.ndarray:
    """RMS distance from the middle along the three principal axes, largest first."""
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return np.pad(values, (0, 3 - len(values))) / np.sqrt(len(points))


def _radius(points: np.ndarray) -> float:
    return _rms(np.linalg.norm(points - points.mean(axis=0), axis=1))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@lru_cache(maxsize=8)
def protocol_shape(protocol: Protocol) -> PointSet | None:
    """Read where a protocol's targets lie in a head: those of its 'shape', else of its atlas.

    Returns
    -------
    PointSet or None
        The targets in order, mm, RAS+; missing where the table lacks one. None if the protocol
        names no table.

    Raises
    ------
    ValueError
        As `read_places`.
    """
    if protocol.shape:
        return read_places(protocol.file(protocol.shape), protocol)
    if not protocol.atlas:
        return None
    own_image = protocol.file(protocol.atlas['image']).is_file()
    return read_places(protocol.file(protocol.atlas['points']), protocol, mni=not own_image)


def read_places(path: Path, protocol: Protocol, *, mni: bool = True) -> PointSet:
    """Read where the targets of a protocol lie in a template.

    Parameters
    ----------
    path : Path
        File of points, mm, RAS+.
    protocol : Protocol
        The targets.
    mni : bool
        Whether the template is MNI152.

    Raises
    ------
    ValueError
        If the file cannot be read (`tmsprep.formats.PointsFileError`), or a target lies outside
        `ATLAS_BOX_MM` in MNI152.
    """
    places = read_points(path).reindex(protocol.labels)
    low, high = np.array(ATLAS_BOX_MM)
    far = ((places.coordinates < low) | (places.coordinates > high)).any(axis=1)
    if mni and far.any():
        raise ValueError(
            f'{path}: {", ".join(np.array(places.labels)[far])} outside the head of the template; '
            'give coordinates of MNI152 in mm, RAS+'
        )
    return places
