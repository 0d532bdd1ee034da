"""Find the left and right locus coeruleus in one volume by an ensemble."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tmsprep.methods.duennwald2021.weights import CoeruleusModel


@dataclass(frozen=True)
class Located:
    """What an ensemble says about one volume.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (members, 2, 3): each member's points, voxel indices of the volume.
    heatmaps : numpy.ndarray
        Shape (2, n, m, k), float32: mean of the members' heatmaps, each summing to 1.
    """

    points: np.ndarray
    heatmaps: np.ndarray


def locate_volume(model: CoeruleusModel, intensities: np.ndarray, device: str = 'cpu') -> Located:
    """Find both points.

    Parameters
    ----------
    model : CoeruleusModel
        The ensemble.
    intensities : numpy.ndarray
        Shape (n, m, k), any numbers, isotropic voxels of `model.voxel_mm`; the 5th and 95th
        percentiles are 0 and 1.
    device : str
        'cpu' or 'cuda'.

    Raises
    ------
    ValueError
        If the ensemble has no localising network, or the volume is not three-dimensional.
    """
    if not model.localizers:
        raise ValueError('the weights hold no localising network; give others')
    if intensities.ndim != 3:
        raise ValueError(f'a volume has three dimensions, not the shape {intensities.shape}')
    volume = torch.from_numpy(np.ascontiguousarray(intensities, np.float32))[None].to(device)
    points, heatmaps = [], 0
    with torch.inference_mode():
        for network in model.localizers:
            found, maps = network.to(device)(volume)
            points.append(found[0].double().cpu().numpy())
            heatmaps = heatmaps + maps[0].cpu().numpy() / len(model.localizers)
    return Located(np.stack(points), heatmaps)
