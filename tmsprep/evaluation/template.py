"""Coordinates of located points in a template: through a registration, or estimated."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from tmsprep.evaluation.shape import protocol_shape
from tmsprep.evaluation.status import UNUSABLE
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column
from tmsprep.template import SPACES, TemplateMap, between, template_of

logger = logging.getLogger(__name__)

#: Columns of the coordinates in a template.
MNI = ('mni_x', 'mni_y', 'mni_z')

#: Fewest other targets from which the place of a target is estimated: twice the four that an
#: affine needs.
FEWEST = 8

#: Points whose third spread (RMS) is below this are nearly in one plane, mm. Eleven cortical
#: targets without the deepest one have 7.6 to 8.6 mm in eleven adults (IXI).
FLAT_MM = 5.0

#: How coordinates are estimated, for sidecars. In eleven participants of IXI (training set)
#: estimates for points of the network were 2.9 mm from their places through the registration (95 %
#: below 6.2 mm, benchmarks/mni_coordinates.py); a similarity in place of the affine gave 3.6 mm.
ESTIMATED = (
    'estimated: by an affine fitted to the other targets of the table and their places in the '
    'atlas, without the point itself; about 3 mm from a registration on average, 6 mm in one of 20'
)

#: Column of tables of several images that says how the coordinates were found.
MNI_FROM = 'mni_from'

_WHERE = ('towards the right', 'towards the front', 'towards the top')


def mni_columns(space: str, words: str) -> dict[str, Column]:
    """Describe the columns `MNI`.

    Parameters
    ----------
    space : str
        Name of the template.
    words : str
        How the points were moved there; '' if the rows differ.
    """
    how = f', {words}' if words else ''
    return {
        name: column(
            f'Position in the template {space} {where}{how}',
            'mm',
            long_name=name.replace('mni_', 'MNI '),
        )
        for name, where in zip(MNI, _WHERE, strict=True)
    }


def estimate_places(points: PointSet, shape: PointSet) -> np.ndarray:
    """Estimate where points lie in a template from where the other points lie.

    The place of each point is that of an affine from all other points to the shape, so the shape's
    own place of a target is never its answer.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, frame of an image.
    shape : PointSet
        The same names in the template, mm, RAS+.

    Returns
    -------
    numpy.ndarray
        Shape (n, 3), mm, RAS+, in the template; NaN for a point that is missing, has fewer than
        `FEWEST` others, or others nearly in one plane, which determine no affine.
    """
    places = shape.reindex(points.labels)
    known = points.found & places.found
    estimated = np.full((len(points), 3), np.nan)
    for i in np.flatnonzero(points.found):
        others = known.copy()
        others[i] = False
        if others.sum() >= FEWEST:
            estimated[i] = _through_affine(
                points.coordinates[i], points.coordinates[others], places.coordinates[others]
            )
    return estimated


def _through_affine(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Move a point by the affine that moves points nearest to others; NaN if there is none."""
    centre = start.mean(axis=0)
    spread = np.linalg.svd(start - centre, compute_uv=False) / np.sqrt(len(start))
    if spread[-1] < FLAT_MM:
        return np.full(3, np.nan)
    matrix = np.linalg.lstsq(start - centre, end - end.mean(axis=0), rcond=None)[0]
    return (point - centre) @ matrix + end.mean(axis=0)


def add_mni(
    tables: Mapping[str, pd.DataFrame], protocol: Protocol, way: TemplateMap | None
) -> dict[str, dict[str, object]]:
    """Add the columns `MNI` to tables of targets of one image; unusable points have none.

    Parameters
    ----------
    tables : mapping
        Method to its table, with the columns label, x, y, z and status; changed in place.
    protocol : Protocol
        The targets. One without places in a template (`template_of`) gets no columns, unless the
        image was registered to a template.
    way : TemplateMap or None
        Registration of the image, if there is one.

    Returns
    -------
    dict
        Method to the entry 'MNI' of its sidecar: 'Space', 'Mapping' in words, and whether it is
        'Estimated'; empty without columns.
    """
    space = template_of(protocol) or (way.space if way else '')
    if not space:
        return {}
    usable = {name: _usable(table) for name, table in tables.items()}
    places: dict[str, np.ndarray] = {}
    words = ''
    if way is not None:
        places, words = _moved(usable, space, way)
    entries: dict[str, dict[str, object]] = {}
    for name, table in tables.items():
        how = words
        if name not in places:
            places[name] = _estimated(usable[name], protocol)
            how = ESTIMATED
        for i, axis in enumerate(MNI):
            table[axis] = places[name][:, i]
        entries[name] = {'Space': space, 'Mapping': how, 'Estimated': how == ESTIMATED}
    return entries


def _estimated(points: PointSet, protocol: Protocol) -> np.ndarray:
    """Estimate places in the template; NaN if the table of the protocol cannot be read."""
    try:
        shape = protocol_shape(protocol)
    except ValueError as error:
        logger.warning('%s. There are no MNI coordinates', error)
        shape = None
    if shape is None:
        return np.full((len(points), 3), np.nan)
    return estimate_places(points, shape)


def words_of(way: TemplateMap, space: str) -> str:
    """Say how points come into a template space, through a registration to another or the same."""
    if way.space == space:
        return way.words
    return f'{way.words}, then to {space} ({SPACES[way.space].accuracy})'


def _usable(table: pd.DataFrame) -> PointSet:
    """Points of a table whose status does not forbid their use; the others are missing."""
    coordinates = table[['x', 'y', 'z']].to_numpy(dtype=np.float64, copy=True)
    coordinates[table['status'].isin(UNUSABLE).to_numpy()] = np.nan
    return PointSet(tuple(table['label']), coordinates)


def _moved(
    usable: Mapping[str, PointSet], space: str, way: TemplateMap
) -> tuple[dict[str, np.ndarray], str]:
    """Move all points in one go, as reading a transform takes seconds; none if it is damaged."""
    coordinates = np.concatenate([points.coordinates for points in usable.values()])
    known = np.isfinite(coordinates).all(axis=1)
    if known.any():
        try:
            moved = way.to_template(coordinates[known])
        except (OSError, ValueError) as error:
            logger.warning('%s. Coordinates in %s are estimated', error, space)
            return {}, ''
        coordinates[known] = between(moved, way.space, space)
    ends = np.cumsum([len(points) for points in usable.values()])[:-1]
    words = words_of(way, space)
    return dict(zip(usable, np.split(coordinates, ends), strict=True)), words
