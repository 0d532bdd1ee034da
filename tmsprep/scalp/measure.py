"""From the points of one method in one image to the columns about the coil in its table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tmsprep.evaluation.head import MIN_POINTS
from tmsprep.evaluation.shape import fit_shape, protocol_shape
from tmsprep.evaluation.status import edge_distance
from tmsprep.imaging.similarity import similarity
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.scalp.checks import (
    BEND_MM,
    MeanScalp,
    Signs,
    cut_reason,
    missing_reason,
    stripped_reason,
    unusual_reason,
)
from tmsprep.scalp.entry import Entry, scalp_entry
from tmsprep.scalp.pose import COIL_DISTANCE_MM, handle_direction
from tmsprep.scalp.surface import NORMAL_MM, HeadSurface
from tmsprep.tables import COIL_COLUMNS, FRAME

#: Direction from front to back in the scanner frame, for a head that lies straight in it.
BACKWARDS = np.array([0.0, -1, 0])

#: Key of the sidecar of a table of targets.
SIDECAR_KEY = 'Scalp'

#: What the sidecar says of the columns.
METHOD = (
    'entry: foot of the perpendicular from the point to the outer surface of the head in this '
    'T1w, the place nearest to the point. normal: of the plane fitted to the surface within '
    f'{NORMAL_MM:g} mm of it, outwards. handle: where the handle of a coil points that lies on '
    'that plane, at the angle below, measured in it: 0 degrees is backwards (Backwards, laid into '
    'the plane), 90 away from the midline. All are in the frame of x, y and z. A coil '
    f'pose follows from them: its middle {COIL_DISTANCE_MM:g} mm (hair) from the entry along the '
    'normal, z into the head, y along the handle (the convention of SimNIBS). It is a pose to '
    'start a search from, not a recommendation of where or how to stimulate'
)


@dataclass(frozen=True)
class Coil:
    """Where targets meet the scalp.

    Parameters
    ----------
    columns : mapping
        Name of a column (`tmsprep.tables.COIL_COLUMNS`) to one number, or None, per target.
    missing : mapping
        Target to the reason why it has no entry.
    unusual : mapping
        Target to what is unusual about its entry, which is given.
    backwards : numpy.ndarray
        Shape (3,), unit: from the front of the head to its back.
    """

    columns: dict[str, list[float | None]]
    missing: dict[str, str] = field(default_factory=dict)
    unusual: dict[str, str] = field(default_factory=dict)
    backwards: np.ndarray = field(default_factory=lambda: BACKWARDS.copy())

    def sidecar(self, protocol: Protocol) -> dict[str, Any]:
        """Entries of the sidecar of the table, JSON-ready."""
        handles = {
            target.label: {'Degrees': target.handle, 'Source': target.handle_source}
            for target in protocol.targets
            if target.handle is not None
        }
        return {
            'Description': METHOD,
            **FRAME,
            'Backwards': [round(float(v), 6) for v in self.backwards],
            'Handle': handles,
            **({'Missing': self.missing} if self.missing else {}),
            **({'Unusual': self.unusual} if self.unusual else {}),
        }


def needs_scalp(protocol: Protocol) -> bool:
    """Tell whether a protocol is for a coil: whether any of its targets has a handle."""
    return any(target.handle is not None for target in protocol.targets)


def no_coil(protocol: Protocol, reason: str) -> Coil:
    """All columns without a value, for the same reason."""
    return _coil(protocol, {}, dict.fromkeys(protocol.labels, reason), {}, BACKWARDS)


def measure_coil(
    points: PointSet,
    protocol: Protocol,
    surface: HeadSurface,
    properties: Mapping[str, Any],
    *,
    mean_scalp: MeanScalp | None = None,
    unreliable: Collection[str] = (),
) -> Coil:
    """Find scalp entry, distance, normal and handle of every target.

    Parameters
    ----------
    points : PointSet
        mm, RAS+; NaN where missing.
    protocol : Protocol
        The targets.
    surface : HeadSurface
        Of the head.
    properties : mapping
        Of the image: 'shape' and 'affine'.
    mean_scalp : MeanScalp, optional
        What entries are compared with.
    unreliable : collection of str
        Targets whose points do not tell how the head lies.

    Returns
    -------
    Coil
        Without an entry where the surface is missing: the head was stripped, cut or defaced there.
    """
    points = points.reindex(protocol.labels)
    trusted = trusted_points(points, protocol, unreliable)
    backwards = head_backwards(trusted, protocol)
    found = {
        label: scalp_entry(point, surface)
        for label, point in zip(points.labels, points.coordinates, strict=True)
        if np.isfinite(point).all()
    }
    signs = _signs(points, trusted, found, surface, properties, mean_scalp)
    missing = _missing(signs, points, surface.volume_ml)
    entries = {label: entry for label, entry in found.items() if label not in missing}
    cut = {
        target.mirror
        for target in protocol.targets
        if target.label in signs and cut_reason(signs[target.label])
    }
    reasons = {label: unusual_reason(signs[label], label in cut) for label in entries}
    unusual = {label: reason for label, reason in reasons.items() if reason}
    return _coil(protocol, entries, missing, unusual, backwards)


def trusted_points(
    points: PointSet, protocol: Protocol, unreliable: Collection[str] = ()
) -> PointSet:
    """Return the points that tell how a head lies: without doubtful ones and single slips.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the order of the protocol.
    protocol : Protocol
        The targets.
    unreliable : collection of str
        Targets whose points are doubtful.
    """
    bad = np.isin(points.labels, list(unreliable))
    good = PointSet(points.labels, np.where(bad[:, None], np.nan, points.coordinates))
    shape = protocol_shape(protocol)
    if shape is None:
        return good
    used = fit_shape(good, shape).used | ~shape.reindex(good.labels).found
    return PointSet(good.labels, np.where(used[:, None], good.coordinates, np.nan))


def head_backwards(points: PointSet, protocol: Protocol) -> np.ndarray:
    """Return the direction from front to back of a head, by the shape of its targets.

    Parameters
    ----------
    points : PointSet
        mm, RAS+, in the order of the protocol.
    protocol : Protocol
        The targets.

    Returns
    -------
    numpy.ndarray
        Shape (3,), unit; that of the scanner frame if the protocol does not say where its targets
        lie in a head, or fewer than `tmsprep.evaluation.head.MIN_POINTS` are known.
    """
    shape = protocol_shape(protocol)
    if shape is None:
        return BACKWARDS
    known = points.found & shape.found
    if known.sum() < MIN_POINTS:
        return BACKWARDS
    matrix, _ = similarity(shape.coordinates[known], points.coordinates[known])
    return -matrix[:, 1] / np.linalg.norm(matrix[:, 1])


def _signs(
    points: PointSet,
    trusted: PointSet,
    found: Mapping[str, Entry],
    surface: HeadSurface,
    properties: Mapping[str, Any],
    mean_scalp: MeanScalp | None,
) -> dict[str, Signs]:
    """Map targets with an entry to what tells whether it lies on scalp."""
    targets = points.reindex(tuple(found)).coordinates
    places = np.array([entry.point for entry in found.values()]).reshape(-1, 3)
    normals = np.array([entry.normal for entry in found.values()]).reshape(-1, 3)
    margins = edge_distance(
        PointSet(tuple(found), places), tuple(properties['shape']), np.array(properties['affine'])
    )
    offsets = turns = np.full(len(found), np.nan)
    if mean_scalp is not None:
        offsets = mean_scalp.offsets(places, trusted)
        turns = mean_scalp.turns(targets, normals, trusted)
    bends = [surface.bend(place, BEND_MM) for place in places]
    distances = [entry.distance_mm for entry in found.values()]
    numbers = zip(distances, offsets, margins, turns, bends, strict=True)
    return {
        label: Signs(*(float(v) for v in row)) for label, row in zip(found, numbers, strict=True)
    }


def _missing(signs: Mapping[str, Signs], points: PointSet, volume_ml: float) -> dict[str, str]:
    """Map targets without a scalp over them to the reason."""
    stripped = stripped_reason(volume_ml, np.array([sign.offset_mm for sign in signs.values()]))
    reasons = {
        label: stripped or (missing_reason(signs[label]) if label in signs else 'no point')
        for label in points.labels
    }
    return {label: reason for label, reason in reasons.items() if reason}


def _coil(
    protocol: Protocol,
    entries: Mapping[str, Entry],
    missing: dict[str, str],
    unusual: dict[str, str],
    backwards: np.ndarray,
) -> Coil:
    """Fill the columns."""
    rows = np.full((len(protocol.targets), len(COIL_COLUMNS)), np.nan)
    for row, target in zip(rows, protocol.targets, strict=True):
        entry = entries.get(target.label)
        if entry is None:
            continue
        row[:3], row[3], row[4:7] = entry.point, entry.distance_mm, entry.normal
        if target.handle is not None:
            side = -1.0 if target.hemisphere == 'L' else 1.0
            row[7:] = handle_direction(entry.normal, backwards, target.handle, side)
    columns: dict[str, list[float | None]] = {
        name: [float(v) if np.isfinite(v) else None for v in values]
        for name, values in zip(COIL_COLUMNS, rows.T, strict=True)
    }
    return Coil(columns, missing, unusual, backwards)
