"""Measure what docs/mni_points.md says of affines between templates and of estimated coordinates.

    python benchmarks/mni_coordinates.py affine OUT/.../*_from-T1w_to-MNI152NLin2009aSym_*_xfm.h5
    python benchmarks/mni_coordinates.py estimates OUT

The first fits the affine of `tmsprep.template` to the registration of a template that was run as a
participant. The second compares estimated coordinates of the network's points with those through
the registration, in outputs of participants of a training set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import binary_erosion

from tmsprep.evaluation.shape import protocol_shape
from tmsprep.evaluation.template import estimate_places
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_mask
from tmsprep.registration.guarded import TransformReader
from tmsprep.registration.names import DEFAULT_ATLAS

PROTOCOL = load_protocol('tms')

#: Depth of the cortex below the edge of the brain mask, mm, and lowest z: cerebellum and brain
#: stem are left out.
DEPTH_MM, LOWEST_MM = (4, 10), -20.0
PLACES = 3000


def cortex() -> np.ndarray:
    """Draw places in the cortex of the default atlas; shape (n, 3), mm, RAS+."""
    mask = default_mask()
    inside = np.asarray(mask.dataobj) > 0
    step = int(mask.affine[0, 0])
    outer, inner = (binary_erosion(inside, iterations=depth // step) for depth in DEPTH_MM)
    voxels = np.argwhere(outer & ~inner)
    chosen = np.random.default_rng(0).choice(len(voxels), PLACES, replace=False)
    places = apply_affine(mask.affine, voxels[chosen])
    return places[places[:, 2] > LOWEST_MM]


def fit_affine(transform: Path) -> None:
    """Print the affine from the template of a registration to the default atlas."""
    there = cortex()
    with TransformReader() as reader:
        here = reader.move(there, transform)
    ones = np.ones((len(here), 1))
    matrix = np.linalg.lstsq(np.hstack([here, ones]), there, rcond=None)[0].T
    left = np.linalg.norm(here @ matrix[:, :3].T + matrix[:, 3] - there, axis=1)
    before = np.linalg.norm(here - there, axis=1)
    print(matrix.round(4).tolist())
    print(f'apart before: {before.mean():.1f} mm; after: {_summary(left)}')


def measure_estimates(out: Path) -> None:
    """Print how far estimated coordinates are from those through the registration."""
    shape = protocol_shape(PROTOCOL)
    assert shape is not None
    apart = []
    pattern = f'sub-*/**/*_from-{DEFAULT_ATLAS}_to-T1w_mode-image_xfm.h5'
    with TransformReader() as reader:
        for transform in sorted(out.glob(pattern)):
            stem = transform.name.partition('_from-')[0]
            points = read_targets(transform.with_name(f'{stem}_desc-cnn_targets.tsv'))
            through = reader.move(points.coordinates, transform)
            estimated = estimate_places(points, shape)
            apart.append(np.linalg.norm(estimated - through, axis=1))
    distances = np.array(apart)
    print(f'{len(distances)} images: {_summary(distances)}, worst {distances.max():.1f} mm')
    for label, mean in zip(PROTOCOL.labels, distances.mean(axis=0), strict=True):
        print(f'{label}\t{mean:.1f}')


def _summary(distances: np.ndarray) -> str:
    median, most = np.percentile(distances, [50, 95])
    return f'mean {distances.mean():.2f}, median {median:.2f}, 95 % below {most:.2f} mm'


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('what', choices=('affine', 'estimates'))
    parser.add_argument('path', type=Path)
    given = parser.parse_args()
    (fit_affine if given.what == 'affine' else measure_estimates)(given.path)


if __name__ == '__main__':
    main()
