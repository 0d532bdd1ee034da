"""Make the reference points of the training data from their parcellations.

``python benchmarks/reference.py DATA OUT`` with DATA a BIDS data set with ``derivatives/dlmuse``:
one table of targets per participant, mm, RAS+, in the scanner frame. `reference_parts.landmarks`
has the rule of each target. With ``--raters FILE``, a table with a column ``participant_id``,
``OUT/raters`` has the points of three surrogate raters of these participants as well.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.formats.targets_tsv import write_tsv
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

from reference_parts.landmarks import OTHER_PLACES, locate, read_places
from reference_parts.regions import (
    Frame,
    Parcellation,
    fit,
    parcellation_path,
    read_landmarks,
)

#: Two starts whose points are farther apart do not say where on the gyrus the target is, mm: the
#: distance within which raters count as agreeing (Baxter et al. 2021, 2.1).
AGREEMENT_MM = 12.0

#: A parcellation whose regions lie farther than this (root mean square) from those of the
#: template, moved by an affine, has failed, mm. Of the training participants two have 12 and 13,
#: all others 2.7 to 4.3.
FAILED_MM = 6.0

LABELS = load_protocol('tms').labels


def reference(brain: Parcellation) -> PointSet:
    """Return the reference points of one brain, see `agreed`."""
    return agreed(rate(brain, fit(brain, read_landmarks()), all_three=False))


def agreed(rated: dict[str, PointSet]) -> PointSet:
    """Return the reference points of one brain: those of the spline.

    A point is missing if its gyrus is, if the start is too far from it, or if a start by an affine
    in place of the spline leads to a point over 12 mm away.
    """
    points, others = rated['spline'].coordinates, rated['affine'].coordinates
    far = ~(np.linalg.norm(points - others, axis=1) <= AGREEMENT_MM)
    return PointSet(LABELS, np.where(far[:, None], np.nan, points))


def rate(brain: Parcellation, frame: Frame, *, all_three: bool) -> dict[str, PointSet]:
    """Return the points of surrogate raters, who follow one rule from different starts.

    'spline' and 'affine' start at the same places of the template, 'other' at those of other
    published coordinates. All points are missing if the parcellation has failed.
    """
    starts = {
        'spline': (frame.spline, read_places()),
        'affine': (frame.affine, read_places()),
    }
    if all_three:
        starts['other'] = (frame.spline, read_places(OTHER_PLACES))
    if frame.residual_mm > FAILED_MM:
        return {name: PointSet.from_mapping({}, LABELS) for name in starts}
    rated = {}
    for name, (to_brain, places) in starts.items():
        points = locate(brain, to_brain, frame.matrix, places)
        rated[name] = PointSet.from_mapping(points).reindex(LABELS)
    return rated


def write(name: str, data: Path, out: Path, rated: frozenset[str]) -> str:
    """Write the tables of one participant, and say which reference points are missing."""
    brain = Parcellation.read(parcellation_path(data, name))
    frame = fit(brain, read_landmarks())
    raters = rate(brain, frame, all_three=name in rated)
    points = agreed(raters)
    _write(points, out, name, 'reference')
    if name in rated:
        for rater, own in raters.items():
            _write(own, out / 'raters', name, rater)
    missing = np.array(points.labels)[~points.found]
    return f'{name} {" ".join(missing)}'.strip()


def _write(points: PointSet, out: Path, name: str, description: str) -> None:
    folder = out / name / 'anat'
    folder.mkdir(parents=True, exist_ok=True)
    write_tsv(folder / f'{name}_desc-{description}_targets.tsv', points)


def main() -> None:
    """Write all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--raters', type=Path)
    parser.add_argument('--processes', type=int, default=1)
    options = parser.parse_args()
    rated: frozenset[str] = frozenset()
    if options.raters:
        rated = frozenset(pd.read_csv(options.raters, sep='\t', dtype=str)['participant_id'])
    names = sorted(path.name for path in (options.data / 'derivatives' / 'dlmuse').glob('sub-*'))
    job = partial(write, data=options.data, out=options.out, rated=rated)
    with ProcessPoolExecutor(options.processes) as pool:
        for line in pool.map(job, names):
            print(line, flush=True)


if __name__ == '__main__':
    main()
