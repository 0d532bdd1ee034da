"""Make the reference points of the training data from their parcellations.

``python benchmarks/reference.py DATA OUT`` with DATA a BIDS data set with ``derivatives/dlmuse``:
one table of targets per participant, mm, RAS+, in the scanner frame. `reference_parts.landmarks`
has the rule of each target. With ``--raters``, further tables from other starts.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from tmsprep.formats.targets_tsv import write_tsv
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

from reference_parts.landmarks import locate, read_places
from reference_parts.regions import Parcellation, affine, read_landmarks, spline

#: Two starts whose points are farther apart do not say where on the gyrus the target is, mm: the
#: distance within which raters count as agreeing (Baxter et al. 2021, 2.3).
AGREEMENT_MM = 12.0


def reference(brain: Parcellation) -> PointSet:
    """Return the points of one brain.

    A point is missing if its gyrus is, if the start is too far from it, or if a start by an affine
    in place of the spline leads to a point over 12 mm away.
    """
    landmarks, places = read_landmarks(), read_places()
    points = locate(brain, spline(brain, landmarks), places)
    others = locate(brain, affine(brain, landmarks), places)
    for label, point in points.items():
        if not np.linalg.norm(point - others[label]) <= AGREEMENT_MM:
            points[label] = np.full(3, np.nan)
    return PointSet.from_mapping(points).reindex(load_protocol('tms').labels)


def write(name: str, data: Path, out: Path) -> str:
    """Write the table of one participant, and say which points are missing."""
    path = data / 'derivatives' / 'dlmuse' / name / 'anat' / f'{name}_desc-dlmuse_dseg.nii.gz'
    points = reference(Parcellation.read(path))
    folder = out / name / 'anat'
    folder.mkdir(parents=True, exist_ok=True)
    write_tsv(folder / f'{name}_desc-reference_targets.tsv', points)
    missing = np.array(points.labels)[~points.found]
    return f'{name} {" ".join(missing)}'.strip()


def main() -> None:
    """Write all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--processes', type=int, default=1)
    options = parser.parse_args()
    names = sorted(path.name for path in (options.data / 'derivatives' / 'dlmuse').glob('sub-*'))
    with ProcessPoolExecutor(options.processes) as pool:
        for line in pool.map(partial(write, data=options.data, out=options.out), names):
            print(line, flush=True)


if __name__ == '__main__':
    main()
