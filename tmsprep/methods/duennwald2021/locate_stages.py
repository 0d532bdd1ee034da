"""Localise and segment the left and right locus coeruleus in one image, in two stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from tmsprep.imaging.labels import save_heatmap
from tmsprep.learning.card import describe_weights, heed_warning
from tmsprep.methods.base import Request
from tmsprep.methods.baxter2021.radius import CALIBRATION
from tmsprep.methods.duennwald2021.measures import measure_segmentation, missing_measures
from tmsprep.methods.duennwald2021.search import locate_stages
from tmsprep.methods.duennwald2021.segmentation import THRESHOLD
from tmsprep.methods.duennwald2021.sighting import Sighting
from tmsprep.methods.duennwald2021.stage_checks import Judgement, judge
from tmsprep.methods.duennwald2021.stage_settings import LIMITS
from tmsprep.methods.duennwald2021.status import outcome_status
from tmsprep.methods.duennwald2021.two_stages import TwoStages, load_stages
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet

#: How a segmentation of the two stages is made, for its sidecar.
HOW = (
    'the crop around each localised point, in which the second stage looked for it; voxels with '
    f'a probability over {THRESHOLD:g}, of each side the largest part'
)


def locate_in_stages(name: str, request: Request) -> Outcome:
    """Localise and segment both sides of one image.

    Parameters
    ----------
    name : str
        Name of the method.
    request : Request
        Image and resources: 'weights', 'weights_sha256' and 'segmentation', the ways to segment.

    Returns
    -------
    Outcome
        As of `locate.locate_image`. A side that is not seen has no label.
    """
    # One thread on every machine: sums in another order differ in the last digits.
    torch.set_num_threads(1)
    weights = Path(request.resources['weights'])
    model = load_stages(weights, request.resources['weights_sha256'])
    volume = nib.Nifti1Image.from_filename(request.conformed)
    intensities = volume.get_fdata(dtype=np.float32)
    found = locate_stages(model, intensities, volume.affine, request.device)
    judgement = judge(found, model.limits, model.labels)
    details = _details(model, request)
    outcome = Outcome(
        name,
        PointSet(model.labels, found.points),
        _columns(model, found),
        {**details, **_first_stage(model, found)},
        files=_save_heatmaps(found, model, request.folder, volume),
        extra=_calibration(model),
        findings=list(judgement.findings),
        unreliable=list(judgement.unreliable),
        doubts={'not_visible': list(judgement.unseen)} if judgement.unseen else {},
    )
    outcome = heed_warning(outcome, model.card)
    statuses = outcome_status(outcome, request.protocol, request.properties)
    shown = {'error': None, 'details': details, 'how': HOW}
    ways = request.resources['segmentation']
    if not model.crop.segmenters:
        rows = missing_measures('no_network')
        segmentations = {way: {'rows': rows, **shown} for way in ways}
    else:
        labels = _labels(model, found, judgement, intensities.shape)
        rows = measure_segmentation(labels, intensities, volume.affine, found.points, statuses)
        segmentations = {way: {'rows': rows, **shown} for way in ways}
        for way in ways:
            outcome.files[f'labels_{way}'] = str(request.folder / f'{way}.nii.gz')
            nib.save(nib.Nifti1Image(labels, volume.affine), outcome.files[f'labels_{way}'])
    outcome.extra['segmentations'] = segmentations
    return outcome


def _calibration(model: TwoStages) -> dict[str, Any]:
    """Return the calibration of the radius, for `add_radius`.

    Signs of the image that have a limit among those of the model are left out: a point beyond it
    has another status than 'ok', and so no radius.
    """
    if model.calibration is None:
        return {}
    limits = {k: v for k, v in model.calibration.get('limits', {}).items() if k not in LIMITS}
    return {CALIBRATION: {**model.calibration, 'limits': limits}}


def _columns(model: TwoStages, found: Sighting) -> dict[str, list[float | None]]:
    columns = {'heatmap_spread_mm': found.spread_mm, 'shift_mm': found.shift_mm}
    if model.crop.segmenters:
        columns['visibility'] = np.where(found.looked, found.visibility, np.nan)
    if len(found.members) > 1:
        columns['dispersion_mm'] = found.dispersion_mm
    return {
        name: [float(value) if np.isfinite(value) else None for value in values]
        for name, values in columns.items()
    }


def _save_heatmaps(
    found: Sighting, model: TwoStages, folder: Path, volume: nib.Nifti1Image
) -> dict[str, str]:
    """Write the heatmaps of the sides that were looked at."""
    files = {}
    n, m, k = volume.shape
    for side, label in enumerate(model.labels):
        heatmap = found.heatmap(side, (n, m, k))
        if heatmap.any():
            path = save_heatmap(folder / f'{label}.nii.gz', heatmap, volume.affine)
            files[f'heatmap_{label}'] = str(path)
    return files


def _labels(
    model: TwoStages, found: Sighting, judgement: Judgement, shape: tuple[int, ...]
) -> np.ndarray:
    n, m, k = shape
    labels = found.labels((n, m, k), THRESHOLD)
    for number, label in enumerate(model.labels, start=1):
        if label in judgement.unseen:
            # A few stray voxels are no measure of a nucleus.
            labels[labels == number] = 0
    return labels


def _details(model: TwoStages, request: Request) -> dict[str, Any]:
    return {
        **describe_weights(model.card, request.resources),
        'VoxelSize': model.crop.voxel_mm,
        'EnsembleSize': len(model.crop.localizers),
    }


def _first_stage(model: TwoStages, found: Sighting) -> dict[str, Any]:
    places = found.first.mean(axis=0).round(2).tolist()
    numbers = {
        'DispersionMm': found.finder_mm,
        'MisfitMm': found.misfit_mm,
        'Turn': found.turn,
        'Size': found.size,
    }
    return {
        'FirstStage': {
            'Landmarks': dict(zip(model.finder.labels, places, strict=True)),
            **{key: round(value, 3) for key, value in numbers.items() if np.isfinite(value)},
        },
        'Limits': dict(model.limits),
    }
