"""Post-processing of labels: remove parts that cannot be a locus coeruleus."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

# None of these numbers is given in the paper.

#: Smaller parts are noise: about 5 voxels of 0.75 mm.
MIN_VOLUME_MM3 = 2.0

#: Longest diagonal of a part's box: a rod of 15 mm, tilted, with a margin.
MAX_EXTENT_MM = 22.0

#: Distance between the left and the right locus coeruleus: about 5 to 12 mm in published maps, and
#: one of them may be seen in part only.
SIDE_DISTANCE_MM = (3.0, 18.0)

#: Voxels whose centres are at most this far apart belong together, with 0.75 mm across a gap of
#: two voxels: a rod is often broken where it is faint.
MAX_GAP_MM = 2.25


class Part(NamedTuple):
    """Voxels of a connected part, its size and its middle (mm along the volume's axes)."""

    voxels: np.ndarray
    volume_mm3: float
    middle: np.ndarray


def keep_plausible(labels: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Keep one part per side, as a pair that could be the two loci coerulei.

    Duennwald et al. 2021 use post-processing of another paper, "which requires setting several
    parameters that had been determined empirically", and do not describe it. Here:

    1. Voxels of a side that are at most `MAX_GAP_MM` apart form one part.
    2. Parts under `MIN_VOLUME_MM3` or longer than `MAX_EXTENT_MM` are dropped.
    3. Of all pairs of a left and a right part whose middles are `SIDE_DISTANCE_MM` apart, and
       whose left one lies further left, that with the largest volume together is kept.
    4. Without such a pair the largest part of all is kept, and the other side is empty.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k): 0 background, 1 left, 2 right; the first axis runs from left to right.
    voxel_mm : float
        Edge of the cubic voxels.

    Returns
    -------
    numpy.ndarray
        uint8, shape (n, m, k).
    """
    parts = {label: _parts(labels == label, voxel_mm) for label in (1, 2)}
    pairs = [pair for pair in product(parts[1], parts[2]) if _may_be_a_pair(*pair)]
    kept: tuple[Part, ...]
    if pairs:
        kept = max(pairs, key=lambda pair: pair[0].volume_mm3 + pair[1].volume_mm3)
    else:
        kept = tuple(sorted(parts[1] + parts[2], key=lambda part: -part.volume_mm3)[:1])
    cleaned = np.zeros(labels.shape, np.uint8)
    for part in kept:
        voxels = tuple(part.voxels.T)
        cleaned[voxels] = labels[voxels]
    return cleaned


def _parts(mask: np.ndarray, voxel_mm: float) -> list[Part]:
    """List the parts of one side that are neither too small nor too long, in scan order."""
    voxels = np.argwhere(mask)
    found = []
    for part in _connected(voxels, MAX_GAP_MM / voxel_mm):
        extent = np.linalg.norm(np.ptp(part, axis=0) + 1) * voxel_mm
        volume = len(part) * voxel_mm**3
        if volume >= MIN_VOLUME_MM3 and extent <= MAX_EXTENT_MM:
            found.append(Part(part, volume, part.mean(axis=0) * voxel_mm))
    return found


def _connected(voxels: np.ndarray, reach: float) -> list[np.ndarray]:
    """Group voxels, shape (n, 3), by steps of at most `reach` voxels."""
    if not len(voxels):
        return []
    # A little more than the reach, against rounding.
    pairs = cKDTree(voxels).query_pairs(reach * (1 + 1e-6), output_type='ndarray')
    size = (len(voxels), len(voxels))
    graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=size)
    count, numbers = connected_components(graph, directed=False)
    return [voxels[numbers == number] for number in range(count)]


def _may_be_a_pair(left: Part, right: Part) -> bool:
    low, high = SIDE_DISTANCE_MM
    apart = right.middle - left.middle
    return bool(apart[0] > 0 and low <= np.linalg.norm(apart) <= high)
