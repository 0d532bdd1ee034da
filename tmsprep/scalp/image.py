"""Scalp entries of points that were set after a run, from the image itself."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np

from tmsprep.evaluation.head import MeanHead
from tmsprep.formats.targets_tsv import read_rows
from tmsprep.imaging.conform import conform
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import read_source
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.scalp.checks import MeanScalp
from tmsprep.scalp.measure import Coil, measure_coil
from tmsprep.scalp.surface import head_surface
from tmsprep.tables import COIL_COLUMNS

logger = logging.getLogger(__name__)

#: Label of a target to the numbers of `COIL_COLUMNS`, NaN where missing.
Entries = dict[str, dict[str, float]]

#: Distance of a point from its entry that differs from the stated one by more than this, mm, tells
#: that the point was changed by hand since.
_CHANGED_MM = 0.01


def entries_kept(table: Path, points: PointSet) -> Entries:
    """Read the entries in a table that an earlier run left, as far as they are of these points.

    Parameters
    ----------
    table : Path
        Need not exist, or have entries.
    points : PointSet
        mm, RAS+.
    """
    try:
        rows = [row for _, row in read_rows(table, ('label', *COIL_COLUMNS))]
    except (OSError, ValueError):
        return {}
    found = {}
    for row in rows:
        numbers = {name: _number(row[name]) for name in COIL_COLUMNS}
        entry = np.array([numbers[f'entry_{axis}'] for axis in 'xyz'])
        if row['label'] in points:
            apart = float(np.linalg.norm(entry - points[row['label']]))
            if abs(apart - numbers['scalp_distance_mm']) <= _CHANGED_MM:
                found[row['label']] = numbers
    return found


def entries_in_image(
    path: Path, sha256: str, points: PointSet, others: PointSet, protocol: Protocol
) -> Entries:
    """Find the entries of points in an image; what goes wrong is logged, and leaves them out.

    Parameters
    ----------
    path, sha256
        As for `coil_in_image`.
    points : PointSet
        mm, RAS+.
    others : PointSet
        Points of a method, mm, RAS+; with the former they tell how the head lies.
    protocol : Protocol
        The targets.
    """
    every = {label: others[label] for label in others.labels}
    every |= {label: points[label] for label in points.labels}
    try:
        together = PointSet.from_mapping(every, protocol.labels)
        coil = coil_in_image(path, sha256, together, protocol)
    except Exception as error:
        logger.warning('%s: no scalp entries of moved points (%s)', path.name, error)
        logger.debug('', exc_info=True)
        return {}
    found = {}
    for label in points.labels:
        if label in coil.missing:
            logger.warning('%s: no scalp entry of %s: %s', path.name, label, coil.missing[label])
        else:
            place = protocol.labels.index(label)
            found[label] = {name: _number(coil.columns[name][place]) for name in COIL_COLUMNS}
    return found


def coil_in_image(path: Path, sha256: str, points: PointSet, protocol: Protocol) -> Coil:
    """Read an image, and find where targets meet the scalp, as a run does.

    Parameters
    ----------
    path : Path
        The image.
    sha256 : str
        Its checksum; points of another image would get wrong entries.
    points : PointSet
        All targets of the protocol, mm, RAS+; NaN where missing.
    protocol : Protocol
        The targets.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is another image, or the surface of a head is not seen in it.
    """
    source, found = read_source(path)
    if found != sha256:
        raise ValueError(f'{path} is not the image that the points are of')
    image = mend_image(source, path).image
    head = protocol.file(protocol.head) if protocol.head else None
    return measure_coil(
        points,
        protocol,
        head_surface(conform(image)),
        {'shape': image.shape, 'affine': image.affine},
        mean_scalp=MeanScalp(MeanHead.load(head)) if head else None,
    )


def _number(cell: object) -> float:
    """Read a number; NaN if it is missing or not finite."""
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan
