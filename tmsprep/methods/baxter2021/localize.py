"""Apply an ensemble of networks to one conformed image."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch

from tmsprep.imaging.volume import average_pyramid, normalise, to_world_mm
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.network import Sampler, pyramid_sampler
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.points import PointSet


@dataclass(frozen=True)
class Localization:
    """What an ensemble says about one image.

    Parameters
    ----------
    points : PointSet
        Mean of the members' points, mm, RAS+, in the frame of the image.
    members : numpy.ndarray
        Shape (members, targets, 3): each member's points, same frame.
    """

    points: PointSet
    members: np.ndarray


def localize(
    conformed: nib.Nifti1Image,
    window: tuple[float, float],
    localizer: Localizer,
    device: str = 'cpu',
) -> Localization:
    """Find all targets.

    Parameters
    ----------
    conformed : nibabel.Nifti1Image
        Result of `conform`.
    window : tuple of float
        Result of `percentile_window` on the original field of view.
    localizer : Localizer
        The ensemble.
    device : str
        'cpu' or 'cuda'.
    """
    volume = normalise(np.asanyarray(conformed.dataobj, dtype=np.float32), window)
    levels = max(len(m.settings.crops) for m in localizer.members)
    pyramid = [torch.from_numpy(v).to(device) for v in average_pyramid(volume, levels)]
    estimates = []
    with torch.inference_mode():
        for member in localizer.members:
            sampler = _empty_outside(pyramid_sampler(pyramid, member.settings.extent))
            found = locate(member.to(device), sampler, localizer.shape, localizer.mirror)
            estimates.append(found.double().cpu().numpy())
    world = to_world_mm(np.stack(estimates), conformed.affine)
    return Localization(PointSet(localizer.labels, world.mean(axis=0)), world)


def _empty_outside(sampler: Sampler) -> Sampler:
    """Clip what is darker than the window's lower end, as in training."""
    return lambda level, positions: sampler(level, positions).clamp_min(0)
