"""Localise the left and right locus coeruleus in one image by an ensemble, and segment both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from tmsprep.evaluation.errors import dispersion
from tmsprep.imaging.labels import save_heatmap
from tmsprep.imaging.volume import normalise, percentile_window
from tmsprep.learning.card import describe_weights, heed_warning
from tmsprep.methods.base import Request, points_of
from tmsprep.methods.duennwald2021.measures import measure_segmentation, missing_measures
from tmsprep.methods.duennwald2021.networks import CoeruleusModel, load_coeruleus
from tmsprep.methods.duennwald2021.segmentation import segmentations
from tmsprep.methods.duennwald2021.status import heatmap_spread, outcome_status
from tmsprep.methods.duennwald2021.volumes import Volume
from tmsprep.outcome import Outcome, describe_error
from tmsprep.points import PointSet


@dataclass(frozen=True)
class Located:
    """Output of an ensemble for one volume.

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
    """Localise both points.

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
        raise ValueError('the weights hold no localising network; give other weights')
    if intensities.ndim != 3:
        raise ValueError(f'a volume has three dimensions, not the shape {intensities.shape}')
    volume = torch.from_numpy(np.ascontiguousarray(intensities, np.float32))[None].to(device)
    points, heatmaps = [], np.zeros((2, *intensities.shape), np.float32)
    with torch.inference_mode():
        for network in model.localizers:
            found, maps = network.to(device)(volume)
            points.append(found[0].double().cpu().numpy())
            heatmaps = heatmaps + maps[0].cpu().numpy() / len(model.localizers)
    return Located(np.stack(points), heatmaps)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Networks and one image.

    Parameters
    ----------
    model : CoeruleusModel
        The networks, on the device of the run.
    volume : nibabel.Nifti1Image
        The conformed image.
    intensities : numpy.ndarray
        Its intensities, float32; the 5th and 95th percentiles are 0 and 1.
    """

    model: CoeruleusModel
    volume: nib.Nifti1Image
    intensities: np.ndarray


def locate_image(name: str, request: Request) -> Outcome:
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
        Its files are 'heatmap_<label>' and 'labels_<segmentation>'. ``extra['segmentations']``
        has for each way 'rows' of `measure_segmentation`, 'error', and 'details' for the sidecar.
        A failed segmentation keeps the points.
    """
    ways = request.resources['segmentation']
    try:
        prepared = prepare_image(request)
    except Exception as error:
        failed = Outcome.failed(name, error)
        return replace(failed, extra={'segmentations': _failed(ways, failed.error)})
    try:
        outcome = _localise(name, prepared, request)
    except Exception as error:
        outcome = Outcome.failed(name, error)
    return segment_image(prepared, outcome, request)


def segment_image(prepared: Prepared, outcome: Outcome, request: Request) -> Outcome:
    """Add the segmentations to an outcome; a failure is recorded, and keeps the points."""
    files: dict[str, str] = {}
    problem = outcome.error
    try:
        found, files = _segment(prepared, outcome, request)
    except Exception as error:
        described = describe_error(error)
        found = _failed(request.resources['segmentation'], described)
        problem = problem or described
    return replace(
        outcome,
        error=problem,
        files={**outcome.files, **files},
        extra={'segmentations': found},
    )


def _failed(ways: Iterable[str], error: dict[str, str] | None) -> dict[str, Any]:
    nothing = {'rows': missing_measures('failed'), 'details': {}, 'error': error}
    return dict.fromkeys(ways, nothing)


def prepare_image(request: Request) -> Prepared:
    """Read the networks and the conformed image, and normalise its intensities."""
    # One thread on every machine: sums in another order differ in the last digits.
    torch.set_num_threads(1)
    model = load_coeruleus(Path(request.resources['weights']), request.resources['weights_sha256'])
    for network in (*model.localizers, *model.segmenters):
        network.to(request.device)
    volume = nib.Nifti1Image.from_filename(request.conformed)
    # As in training, the percentiles are those of the isotropic volume.
    data = volume.get_fdata(dtype=np.float32)
    return Prepared(model, volume, normalise(data, percentile_window(data)))


def _localise(name: str, prepared: Prepared, request: Request) -> Outcome:
    model, affine = prepared.model, prepared.volume.affine
    found = locate_volume(model, prepared.intensities, request.device)
    members = found.points @ affine[:3, :3].T + affine[:3, 3]
    # The networks cannot find a side without a point in the training set.
    trained = model.card.get('targets', ' '.join(model.labels)).split()
    known = np.array([label in trained for label in model.labels])
    points = np.where(known[:, None], members.mean(axis=0), np.nan)
    columns: dict[str, list[float | None]] = {
        'heatmap_spread_mm': [heatmap_spread(h, model.voxel_mm) for h in found.heatmaps]
    }
    if len(members) > 1:
        columns['dispersion_mm'] = dispersion(members).tolist()
    files = {
        f'heatmap_{label}': str(save_heatmap(request.folder / f'{label}.nii.gz', heatmap, affine))
        for label, heatmap in zip(model.labels, found.heatmaps, strict=True)
    }
    details = {**_details(model, request), 'EnsembleSize': len(members)}
    outcome = Outcome(name, PointSet(model.labels, points), columns, details, files=files)
    return heed_warning(outcome, model.card)


def _segment(
    prepared: Prepared, outcome: Outcome, request: Request
) -> tuple[dict[str, Any], dict[str, str]]:
    """Label and measure both sides in each way; return the results and the files of labels."""
    model, volume, ways = prepared.model, prepared.volume, request.resources['segmentation']
    if outcome.error is not None and 'lpp' in ways:
        raise ValueError(
            'the patch of lpp has no centre, as the localisation failed '
            f'({outcome.error["message"]}); correct that first'
        )
    details = _details(model, request)
    if not model.segmenters:
        rows = missing_measures('no_network')
        return {way: {'rows': rows, 'error': None, 'details': details} for way in ways}, {}
    points = points_of(outcome, request.protocol)
    statuses = outcome_status(outcome, request.protocol, request.properties)
    voxels = points.transformed(np.linalg.inv(volume.affine)).coordinates
    isotropic = Volume(
        '', torch.from_numpy(prepared.intensities), volume.affine, torch.empty(0, 3)
    )
    raw, found, files = volume.get_fdata(dtype=np.float32), {}, {}
    for way, labels, _ in segmentations(model, isotropic, voxels, ways):
        files[f'labels_{way}'] = str(request.folder / f'{way}.nii.gz')
        nib.save(nib.Nifti1Image(labels, volume.affine), files[f'labels_{way}'])
        rows = measure_segmentation(labels, raw, volume.affine, points.coordinates, statuses)
        found[way] = {'rows': rows, 'error': None, 'details': details}
    return found, files


def _details(model: CoeruleusModel, request: Request) -> dict[str, Any]:
    """Describe the weights for a sidecar."""
    return {
        **describe_weights(model.card, request.resources),
        'VoxelSize': model.voxel_mm,
    }
