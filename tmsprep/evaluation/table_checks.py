"""Whether a table of targets is what its own sidecar says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.evaluation.status import UNUSABLE, edge_distance
from tmsprep.formats.targets_tsv import read_rows, read_targets
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import chosen_labels, read_json
from tmsprep.text import counted, printable

#: A point on the face of the image may lie this far outside, mm: coordinates are rounded.
ROUNDED_MM = 0.001

_CHANGED = 'The file was changed or cut short after it was written'


def check_table(path: Path, protocol: Protocol, *, every_target: bool = True) -> PointSet:
    """Read the points of a table of targets, and compare them with the sidecar.

    Parameters
    ----------
    path : Path
        The table; its sidecar ends in ``.json``.
    protocol : Protocol
        The targets.
    every_target : bool
        Whether this package writes all targets of the protocol into such a table, or those that
        the sidecar says were chosen. Tables of other origin may have any.

    Returns
    -------
    PointSet
        mm, RAS+.

    Raises
    ------
    ValueError
        If a cell is damaged, a target is missing, unknown or listed twice, or a point lies
        outside the image and its status does not forbid its use.
    """
    points, sidecar = read_targets(path), read_json(path.with_suffix('.json'))
    if every_target and 'SoftwareVersion' in sidecar:
        _check_labels(points, chosen_labels(sidecar) or protocol.labels, path)
    grid = _grid(sidecar)
    if grid is not None:
        _check_inside(points, *grid, path)
    return points


def _check_labels(points: PointSet, expected: tuple[str, ...], path: Path) -> None:
    missing = [label for label in expected if label not in points.labels]
    unknown = [printable(label) for label in points.labels if label not in expected]
    if missing:
        raise ValueError(
            f'{path}: it lacks {counted(len(missing), "target")} that it was written with '
            f'({", ".join(missing)}). {_CHANGED}'
        )
    if unknown:
        raise ValueError(
            f'{path}: it has {counted(len(unknown), "target")} that it was not written with '
            f'({", ".join(unknown)}). {_CHANGED}'
        )


def _check_inside(
    points: PointSet, shape: tuple[int, ...], affine: np.ndarray, path: Path
) -> None:
    statuses = {row['label']: row['status'] for _, row in read_rows(path, ('label', 'status'))}
    # Raters may set a point anywhere, and theirs are measured with, not used.
    excused = UNUSABLE.union(CONSENSUS_STATUSES)
    outside = edge_distance(points, shape, affine) < -ROUNDED_MM
    wrong = [
        label
        for label, out in zip(points.labels, outside, strict=True)
        if out and statuses[label] not in excused
    ]
    if wrong:
        label = wrong[0]
        x, y, z = points[label]
        raise ValueError(
            f'{path}: {printable(label)} at ({x:g}, {y:g}, {z:g}) lies outside the image, but its '
            f'status is {printable(statuses[label])}. {_CHANGED}'
        )


def _grid(sidecar: Mapping[str, Any]) -> tuple[tuple[int, ...], np.ndarray] | None:
    """Shape and affine of the image of a table; None if the sidecar does not say them."""
    try:
        shape = tuple(int(size) for size in sidecar['ReferenceImage']['Shape'])
        affine = np.array(sidecar['ReferenceImage']['Affine'], dtype=np.float64)
        usable = len(shape) == 3 and affine.shape == (4, 4) and np.linalg.cond(affine) < np.inf
    except (KeyError, TypeError, ValueError, OverflowError, np.linalg.LinAlgError):
        return None
    return (shape, affine) if usable else None
