"""The gyri that the points of a method lie in, added to its outcome."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.gyri.judge import Place, doubt, place_points
from tmsprep.gyri.limits import Limits
from tmsprep.gyri.parcellation import Parcellator, load_parcellator, parcellate_image
from tmsprep.gyri.settle import settle
from tmsprep.methods.base import Request, points_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import SETTLED


def add_places(outcome: Outcome, request: Request) -> Outcome:
    """Find the gyri in an image, seen from the points of a method, and those of its points.

    Points that may be moved are settled first, see `tmsprep.gyri.settle`.

    Parameters
    ----------
    outcome : Outcome
        With points.
    request : Request
        What was asked; its protocol names the weights, and the gyrus of each target.

    Returns
    -------
    Outcome
        With the columns of `tmsprep.tables.GYRUS_COLUMNS`, the doubts about the points, and the
        parcellation among the files.
    """
    protocol = request.protocol
    parcellator = _parcellator(protocol.file(protocol.gyri))
    points = points_of(outcome, protocol)
    conformed = nib.Nifti1Image.from_filename(request.conformed)
    lower, upper = request.properties['window']
    parcellation = parcellate_image(conformed, (lower, upper), points, parcellator)
    expected = [(target.hemisphere, target.gyrus) for target in protocol.targets]
    settled = {}
    if outcome.settle_mm:
        moved = settle(parcellation, points.coordinates, expected, outcome.settle_mm)
        distances = np.linalg.norm(moved - points.coordinates, axis=1)
        settled = {SETTLED: _numbers(distances.tolist())}
        points = PointSet(points.labels, moved)
    places = place_points(parcellation, points.coordinates, expected)
    files = dict(outcome.files)
    if parcellation is not None:
        files['gyri'] = str(parcellation.save(request.folder / 'gyri.npz'))
    return replace(
        outcome,
        points=points,
        words={**outcome.words, 'gyrus': [place.name for place in places]},
        columns={
            'gyrus_probability': _numbers([place.expected_probability for place in places]),
            'crown_depth_mm': _numbers([place.depth_mm for place in places]),
            **settled,
            **outcome.columns,
        },
        doubts={**outcome.doubts, **_doubts(places, points.found, protocol, parcellator.limits)},
        files=files,
    )


def _doubts(
    places: list[Place], found: np.ndarray, protocol: Protocol, limits: Limits
) -> dict[str, list[str]]:
    """Status to the targets whose points it holds of."""
    doubts: dict[str, list[str]] = {}
    for target, place, known in zip(protocol.targets, places, found, strict=True):
        status = doubt(place, (target.hemisphere, target.gyrus), limits) if known else ''
        if status:
            doubts.setdefault(status, []).append(target.label)
    return doubts


def _numbers(values: list[float]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


@lru_cache(maxsize=1)
def _parcellator(path: Path) -> Parcellator:
    """Read the weights once for all images of a process."""
    return load_parcellator(path)
