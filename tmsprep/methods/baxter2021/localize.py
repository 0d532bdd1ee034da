"""Apply an ensemble of networks to one conformed image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from tmsprep.evaluation.errors import dispersion
from tmsprep.evaluation.head import MeanHead
from tmsprep.imaging.volume import average_pyramid, normalise, to_world_mm
from tmsprep.learning.card import describe_weights, heed_warning
from tmsprep.methods.base import Request
from tmsprep.methods.baxter2021.locate import locate, locate_coarsely, moved
from tmsprep.methods.baxter2021.network import empty_outside, pyramid_sampler
from tmsprep.methods.baxter2021.radius import CALIBRATION
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
    head: MeanHead | None = None,
    coarse: nib.Nifti1Image | None = None,
) -> Localization:
    """Find all targets.

    The networks find heads that lie within some 45 degrees of upright. If the points do not fit
    the mean head, or the networks disagree, the first network takes a coarse look in the 23 other
    turns of a cube, in one of which the head lies within 63 degrees of upright; all networks look
    at the one that fits best.

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
    head : MeanHead, optional
        Of the same targets; without it, the image is looked at as it lies alone.
    coarse : nibabel.Nifti1Image, optional
        Result of `MeanHead.coarse`, if it is known already.
    """
    volume = normalise(np.asanyarray(conformed.dataobj, dtype=np.float32), window)
    levels = max(len(m.settings.crops) for m in localizer.members)
    pyramid = [torch.from_numpy(v).to(device) for v in average_pyramid(volume, levels)]
    look = partial(_look, pyramid, localizer, conformed.affine, device)
    found = look(np.eye(3))
    if head is None:
        return found
    coarse = coarse or head.coarse(conformed, window)
    match = head.match(coarse, found.points)
    agree = dispersion(found.members).mean() <= head.limits.mean_dispersion_mm
    if match >= head.limits.match and agree:
        return found
    best = max(
        _quarter_turns(), key=lambda turn: head.match(coarse, look(turn, coarsely=True).points)
    )
    again = look(best)
    return again if head.match(coarse, again.points) > match else found


def _look(
    pyramid: Sequence[torch.Tensor],
    localizer: Localizer,
    affine: np.ndarray,
    device: str,
    turn: np.ndarray,
    coarsely: bool = False,
) -> Localization:
    """Look at an image that is turned about its middle by a matrix, with all networks or one."""
    estimates = []
    matrix = torch.from_numpy(turn).float().to(device)
    with torch.inference_mode():
        for member in localizer.members[: 1 if coarsely else None]:
            extent = member.settings.extent
            shift = extent / 2 - matrix @ torch.full((3,), extent / 2, device=device)
            sampler = empty_outside(pyramid_sampler(pyramid, extent))
            # Upright, nothing is rounded on the way.
            upright = bool((turn == np.eye(3)).all())
            view = sampler if upright else moved(sampler, matrix, shift)
            if coarsely:
                found = locate_coarsely(member.to(device), view)
            else:
                found = locate(member.to(device), view, localizer.shape, localizer.mirror)
            found = found if upright else found @ matrix.T + shift
            estimates.append(found.double().cpu().numpy())
    world = to_world_mm(np.stack(estimates), affine)
    return Localization(PointSet(localizer.labels, world.mean(axis=0)), world)


def _quarter_turns() -> list[np.ndarray]:
    """Return the 23 rotations, but not the identity, that take a cube to itself; shape (3, 3)."""
    turns = [
        np.eye(3)[list(order)] * np.array(signs)
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return [t for t in turns if np.linalg.det(t) > 0 and not (t == np.eye(3)).all()]


def localize_image(name: str, request: Request) -> Outcome:
    """Find all targets of a protocol, with their dispersion and the calibration of their radius.

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
    protocol = request.protocol
    head = MeanHead.load(protocol.file(protocol.head)) if protocol.head else None
    coarse = None if head is None else request.coarse
    found = localize(conformed, (lower, upper), localizer, request.device, head, coarse)
    spread = dict(zip(localizer.labels, dispersion(found.members).tolist(), strict=True))
    known = {'dispersion_mm': spread} if len(found.members) > 1 else {}
    details: dict[str, Any] = {
        **describe_weights(localizer.card, request.resources),
        'EnsembleSize': len(found.members),
    }
    labels = protocol.labels
    columns = {column: [of.get(label) for label in labels] for column, of in known.items()}
    points = found.points.reindex(labels)
    # The radius is that of the points once they have settled.
    extra = {} if localizer.calibration is None else {CALIBRATION: localizer.calibration}
    settle_mm = localizer.settle_mm
    outcome = Outcome(name, points, columns, details, extra=extra, settle_mm=settle_mm)
    return heed_warning(outcome, localizer.card)
