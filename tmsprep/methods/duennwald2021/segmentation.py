"""Masks of the left and right locus coeruleus from patch networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from tmsprep.methods.duennwald2021.components import keep_plausible
from tmsprep.methods.duennwald2021.patch_unet import PatchUNet
from tmsprep.networks.windows import cover, inside_volume, read_patch

__all__ = ['METHODS', 'n_windows', 'segment']

#: Sliding window as it is, with post-processing, and one patch at the localised points.
METHODS = ('npp', 'pp', 'lpp')

#: Probability above which a voxel gets a label (Duennwald et al. 2021, section 2.3).
THRESHOLD = 0.5


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
    - 'pp': the same, then `components.keep_plausible` drops what cannot be a locus coeruleus.
    - 'lpp': one patch only, centred between the two localised points; nothing else is looked at.

    The paper does not say how far its windows overlap. Here neighbours share half of their edges,
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
        From patches (people, n, m, k) to logits (people, 3, n, m, k) of background, left and
        right, each with `settings.patch`, the voxels along the edges of its patches.
    method : str
        One of `METHODS`.
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
    if method not in METHODS:
        raise ValueError(f'unknown segmentation {method!r}: one of {", ".join(METHODS)}')
    if not networks:
        raise ValueError('a segmentation needs one network at least')
    if method != 'lpp':
        labels = _sliding(intensities, networks)
        return keep_plausible(labels, voxel_mm) if method == 'pp' else labels
    if points is None:
        raise ValueError('the segmentation lpp needs the points of a localiser')
    return _at_points(intensities, networks, np.asarray(points, dtype=float))


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
    patches = {tuple(network.settings.patch) for network in networks}
    if len(patches) > 1:
        raise ValueError(f'networks that are averaged in one patch differ in it: {patches}')
    patch = patches.pop()
    start = tuple(int(i) for i in np.rint(known.mean(axis=0) - (np.array(patch) - 1) / 2))
    total = np.sum([_probabilities(intensities, start, network) for network in networks], axis=0)
    inside, within = inside_volume(start, patch, intensities.shape)
    labels[inside] = _threshold(total / len(networks))[within]
    return labels


def _probabilities(
    intensities: np.ndarray, start: tuple[int, ...], network: PatchUNet
) -> np.ndarray:
    """Probabilities of the three classes in one window, shape (3, *patch), float32."""
    window = read_patch(intensities, start, tuple(network.settings.patch))
    device = next((p.device for p in network.parameters()), torch.device('cpu'))
    with torch.inference_mode():
        logits = network(torch.from_numpy(window)[None].to(device))
        return logits[0].float().softmax(dim=0).cpu().numpy()


def _threshold(probabilities: np.ndarray) -> np.ndarray:
    """Give each voxel the label whose probability exceeds the threshold; two cannot."""
    labels = np.zeros(probabilities.shape[1:], np.uint8)
    for label in (1, 2):
        labels[probabilities[label] > THRESHOLD] = label
    return labels
