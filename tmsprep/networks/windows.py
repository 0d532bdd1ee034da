"""Sliding windows over a volume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Smallest overlap of neighbouring windows, as a share of the edge.
OVERLAP = 0.5

#: Standard deviation of a window's weights in edges of the window (Isensee et al. 2021).
WIDTH = 1 / 8


class Window(NamedTuple):
    """First voxel of a window along one axis, and the weights of its voxels in the mean."""

    start: int
    weights: np.ndarray


def cover(length: int, edge: int) -> list[Window]:
    """Place windows along an axis so that each voxel is covered and its weights sum to 1.

    A network sees the surroundings of a voxel in the middle of a window, not of one at its face.
    So the mean over windows weighs voxels by a Gaussian around the window's middle.

    Parameters
    ----------
    length : int
        Voxels of the volume along the axis.
    edge : int
        Voxels of the window along the axis.

    Returns
    -------
    list of Window
        In order. The first begins and the last ends with the volume; a single window that is
        larger than the volume lies around its middle, and its start is then negative.
    """
    room = length - edge
    if room <= 0:
        return [Window(room // 2, np.ones(edge, np.float32))]
    count = int(np.ceil(room / (edge * (1 - OVERLAP)))) + 1
    starts = np.rint(np.linspace(0, room, count)).astype(int)
    bell = np.exp(-0.5 * ((np.arange(edge) - (edge - 1) / 2) / (WIDTH * edge)) ** 2)
    total = np.zeros(length)
    for start in starts:
        total[start : start + edge] += bell
    return [Window(int(s), (bell / total[s : s + edge]).astype(np.float32)) for s in starts]


def read_patch(volume: np.ndarray, start: tuple[int, ...], patch: tuple[int, ...]) -> np.ndarray:
    """Cut a window out of a volume, extended by reflection at its outermost voxels.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, m, k).
    start : tuple of int
        First voxel of the window; may lie outside, as may the last.
    patch : tuple of int
        Voxels along its edges.

    Returns
    -------
    numpy.ndarray
        float32, shape `patch`, a copy.
    """
    indices = [
        _reflect(np.arange(first, first + edge), length)
        for first, edge, length in zip(start, patch, volume.shape, strict=True)
    ]
    return np.ascontiguousarray(volume[np.ix_(*indices)], dtype=np.float32)


def inside_volume(
    start: tuple[int, ...], patch: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the voxels that a window and a volume have in common.

    Returns
    -------
    inside : tuple of slice
        Indices in the volume; empty where the window lies outside.
    within : tuple of slice
        Indices in the window.
    """
    inside, within = [], []
    for first, edge, length in zip(start, patch, shape, strict=True):
        low, high = (int(np.clip(i, 0, length)) for i in (first, first + edge))
        inside.append(slice(low, high))
        within.append(slice(low - first, high - first))
    return tuple(inside), tuple(within)


def _reflect(indices: np.ndarray, length: int) -> np.ndarray:
    """Fold indices back into a volume; the outermost voxel is not repeated."""
    if length == 1:
        return np.zeros_like(indices)
    folded = np.mod(indices, 2 * (length - 1))
    return np.minimum(folded, 2 * (length - 1) - folded)
