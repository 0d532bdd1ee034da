"""Apply an ensemble of networks to one conformed image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.evaluation.errors import dispersion
from tmsprep.imaging.volume import average_pyramid, normalise, to_world_mm
from tmsprep.methods.base import Request
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.network import Sampler, pyramid_sampler
from tmsprep.methods.baxter2021.weights import Localizer, load_localizer
from tmsprep.outcome import Outcome
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


def localize_image(name: str, request: Request) -> Outcome:
    """Find all targets of a protocol, with their dispersion and, if calibrated, their radius.

    Parameters
    ----------
    name : str
        Name of the method.
    request : Request
        Its resources are 'weights' and 'weights_sha256'.

    Raises
    ------
    WeightsError
        As `load_localizer`.
    """
    # One thread, whatever the machine: sums in another order differ in the last digits.
    torch.set_num_threads(1)
    weights = Path(request.resources['weights'])
    localizer = load_localizer(weights, request.resources['weights_sha256'])
    lower, upper = request.properties['window']
    conformed = nib.Nifti1Image.from_filename(request.conformed)
    found = localize(conformed, (lower, upper), localizer, request.device)
    spread = dict(zip(localizer.labels, dispersion(found.members).tolist(), strict=True))
    known = {'dispersion_mm': spread} if len(found.members) > 1 else {}
    details: dict[str, Any] = {
        'Weights': {
            'Name': localizer.card.get('name', weights.stem),
            'SHA256': request.resources['weights_sha256'],
            'TrainingData': localizer.card.get('data', 'not stated'),
        },
        'EnsembleSize': len(found.members),
    }
    if localizer.calibration is not None:
        calibration = ErrorRadius.from_dict(localizer.calibration)
        known['error90_mm'] = calibration.finite_radii(spread)
        details['Calibration'] = {
            'Level': calibration.level,
            'People': dict(zip(calibration.labels, calibration.n, strict=True)),
            'ScaledByDispersion': calibration.floor_mm is not None,
        }
    labels = request.protocol.labels
    columns = {column: [of.get(label) for label in labels] for column, of in known.items()}
    return Outcome(name, found.points.reindex(labels), columns, details)


def _empty_outside(sampler: Sampler) -> Sampler:
    """Clip what is darker than the window's lower end, as in training."""
    return lambda level, positions: sampler(level, positions).clamp_min(0)
