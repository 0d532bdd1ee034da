"""Masks of the left and right locus coeruleus from patch networks, and their post-processing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tmsprep.methods.duennwald2021.networks import CoeruleusModel, PatchUNet
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.methods.duennwald2021.status import SIDE_DISTANCE_MM
from tmsprep.methods.duennwald2021.volumes import Volume
from tmsprep.networks.windows import cover, inside_volume, read_patch

#: Probability above which a voxel gets a label (Duennwald et al. 2021, section 2.3).
THRESHOLD = 0.5

# The paper does not give the numbers of the post-processing.

#: Volume below which a part is noise: about 5 voxels of 0.75 mm.
MIN_VOLUME_MM3 = 2.0

#: Longest diagonal of a part's box: a rod of 15 mm, tilted, with a margin.
MAX_EXTENT_MM = 22.0

#: Largest distance between voxel centres within a part; at 0.75 mm it bridges a gap of two voxels,
#: as a rod is often broken where it is faint.
MAX_GAP_MM = 2.25


def segment(
    intensities: np.ndarray,
    networks: Sequence[PatchUNet],
    method: str,
    points: np.ndarray | None = None,
    voxel_mm: float = 0.75,
) -> np.ndarray:
    """Label the voxels of the left and right locus coeruleus.

    The three ways of Duennwald et al. 2021, section 2.3:

    - 'npp': a window slides over the whole volume; a label where its probability is over 0.5.
    - 'pp': the same, then `keep_plausible` drops parts that cannot be a locus coeruleus.
    - 'lpp': one patch only, centred between the two localised points.

    The paper does not state how far its windows overlap. Here they overlap by half of their edges,
    and probabilities are averaged with weights that fall from a window's middle (see `windows`).
    Several networks give the mean of their probabilities. Where a window reaches beyond the
    volume, the image is continued by reflection. With 'lpp' and one missing point the patch is
    centred on the other; with both missing all labels are 0.

    Parameters
    ----------
    intensities : numpy.ndarray
        Shape (n, m, k), normalised over the whole image (see `imaging.normalise`), of a volume of
        cubic voxels (see `imaging.isotropic`).
    networks : sequence of PatchUNet
        The ensemble.
    method : str
        One of `SEGMENTATIONS`.
    points : numpy.ndarray, optional
        Shape (2, 3), left and right, voxel indices, NaN where missing; needed for 'lpp'.
    voxel_mm : float
        Edge of the voxels; needed for 'pp'.

    Returns
    -------
    numpy.ndarray
        uint8, shape (n, m, k): 0 background, 1 left, 2 right.

    Raises
    ------
    ValueError
        If the method is not known, there is no network, or 'lpp' has no points or networks whose
        patches differ.
    """
    if method not in SEGMENTATIONS:
        raise ValueError(f'unknown segmentation {method!r}: one of {", ".join(SEGMENTATIONS)}')
    if not networks:
        raise ValueError('a segmentation needs at least one network')
    if method != 'lpp':
        labels = _sliding(intensities, networks)
        return keep_plausible(labels, voxel_mm) if method == 'pp' else labels
    if points is None:
        raise ValueError('the segmentation lpp needs the points of a localiser')
    return _at_points(intensities, networks, np.asarray(points, dtype=float))


def segmentations(
    model: CoeruleusModel, volume: Volume, points: np.ndarray, methods: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Segment by each method.

    Parameters
    ----------
    model : CoeruleusModel
        With segmenters.
    volume : Volume
        Image to segment.
    points : numpy.ndarray
        Shape (2, 3), voxel indices, of the localizer.
    methods : sequence of str
        Any of `SEGMENTATIONS`.

    Yields
    ------
    tuple
        Method, labels of shape (n, m, k), and seconds; for 'lpp' without those of `localise`.
    """
    intensities, networks = volume.intensities.numpy(), model.segmenters
    if {'npp', 'pp'} & set(methods):
        # 'pp' is 'npp' and a further step, so that the window slides once for both.
        plain, seconds = timed(segment, intensities, networks, 'npp')
        if 'npp' in methods:
            yield 'npp', plain, seconds
        if 'pp' in methods:
            cleaned, further = timed(keep_plausible, plain, model.voxel_mm)
            yield 'pp', cleaned, seconds + further
    if 'lpp' in methods:
        yield ('lpp', *timed(segment, intensities, networks, 'lpp', points))


def timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    """Return what a function returns, and the seconds it took."""
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def n_windows(shape: tuple[int, ...], patch: tuple[int, ...]) -> int:
    """Count the windows by which 'npp' and 'pp' cover a volume; 'lpp' needs one."""
    return math.prod(len(cover(n, p)) for n, p in zip(shape, patch, strict=True))


def _sliding(intensities: np.ndarray, networks: Sequence[PatchUNet]) -> np.ndarray:
    """Average all windows of all networks; holds three float32 volumes."""
    total = np.zeros((3, *intensities.shape), np.float32)
    for network in networks:
        patch = network.settings.patch
        along = [cover(n, p) for n, p in zip(intensities.shape, patch, strict=True)]
        for windows in product(*along):
            start = tuple(window.start for window in windows)
            weight = np.einsum('i,j,k->ijk', *(window.weights for window in windows))
            inside, within = inside_volume(start, patch, intensities.shape)
            share = weight * _probabilities(intensities, start, network)
            total[(slice(None), *inside)] += share[(slice(None), *within)]
    total /= len(networks)
    return _threshold(total)


def _at_points(
    intensities: np.ndarray, networks: Sequence[PatchUNet], points: np.ndarray
) -> np.ndarray:
    """Label one patch around the mean of the known points."""
    labels = np.zeros(intensities.shape, np.uint8)
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known):
        return labels
    patches = {network.settings.patch for network in networks}
    if len(patches) > 1:
        raise ValueError(f'the networks of an ensemble differ in the size of the patch: {patches}')
    patch = patches.pop()
    start = tuple(int(i) for i in np.rint(known.mean(axis=0) - (np.array(patch) - 1) / 2))
    total = np.zeros((3, *patch), np.float32)
    for network in networks:
        total += _probabilities(intensities, start, network)
    inside, within = inside_volume(start, patch, intensities.shape)
    labels[inside] = _threshold(total / len(networks))[within]
    return labels


def _probabilities(
    intensities: np.ndarray, start: tuple[int, ...], network: PatchUNet
) -> np.ndarray:
    """Probabilities of the three classes in one window, shape (3, *patch), float32."""
    window = read_patch(intensities, start, network.settings.patch)
    device = next((p.device for p in network.parameters()), torch.device('cpu'))
    with torch.inference_mode():
        logits = network(torch.from_numpy(window)[None].to(device))
        return logits[0].float().softmax(dim=0).cpu().numpy()


def _threshold(probabilities: np.ndarray) -> np.ndarray:
    """Label each voxel whose probability exceeds the threshold, which only one label can."""
    labels = np.zeros(probabilities.shape[1:], np.uint8)
    for label in (1, 2):
        labels[probabilities[label] > THRESHOLD] = label
    return labels


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
    for part in connected(voxels, MAX_GAP_MM / voxel_mm):
        extent = np.linalg.norm(np.ptp(part, axis=0) + 1) * voxel_mm
        volume = len(part) * voxel_mm**3
        if volume >= MIN_VOLUME_MM3 and extent <= MAX_EXTENT_MM:
            found.append(Part(part, volume, part.mean(axis=0) * voxel_mm))
    return found


def connected(voxels: np.ndarray, reach: float) -> list[np.ndarray]:
    """Group voxels, shape (n, 3), by steps of at most `reach` voxels; in scan order."""
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
