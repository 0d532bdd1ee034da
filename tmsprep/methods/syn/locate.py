"""Find the brain, register the atlas to it, and move the atlas's points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from tmsprep.evaluation.shape import read_places
from tmsprep.files import file_sha256
from tmsprep.formats import read_points
from tmsprep.imaging.conform import conform
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import read_image
from tmsprep.methods.base import Request
from tmsprep.methods.syn.files import describe_atlas, places_in
from tmsprep.methods.syn.given import Given, GivenTransforms
from tmsprep.methods.syn.offsets import describe_offsets, shifted
from tmsprep.methods.syn.reuse import preset_of
from tmsprep.networks.brain_extraction import extract_brain, load_brain_unet
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.registration.atlas import Atlas, default_atlas, user_atlas
from tmsprep.registration.brain import brain_mask, is_skull_stripped
from tmsprep.registration.frames import read_linear, write_linear
from tmsprep.registration.guarded import TransformReader
from tmsprep.registration.names import DEFAULT_ATLAS
from tmsprep.registration.syn import RegistrationResult, register
from tmsprep.registration.transforms import move_points, warp_image

#: Grid of the atlas images that are only drawn, mm.
FIGURE_SPACING_MM = 2


def register_image(name: str, request: Request) -> Outcome:
    """Move the points of the atlas into one image.

    Parameters
    ----------
    name : str
        Name of the method.
    request : Request
        Its resources are those of `find_atlas` and `find_given`. Points of an earlier method are
        one more start of the registration.

    Returns
    -------
    Outcome
        Its files are 'mask', the brain on the conformed grid; 'to_atlas' and 'from_atlas', the
        transforms; 'before' and 'after', the atlas in the space of the image after the linear
        part and after SyN. A failed registration keeps the mask. ``extra['unchecked']`` lists
        what was reused ('mask', 'transforms') and does not say which image it was made from.
    """
    files: dict[str, str] = {}
    with TransformReader() as reader:
        given = Given(request, reader)
        try:
            outcome = _locate(name, request, given, files, reader)
        except Exception as error:
            outcome = Outcome.failed(name, error, files)
    entries = {
        'Reused': given.reused,
        'NotReused': given.refused,
        'GaveNothing': list(request.resources.get('gave_nothing', ())),
    }
    outcome.details.update({key: value for key, value in entries.items() if value})
    outcome.extra['unchecked'] = given.unchecked
    return outcome


def _locate(
    name: str, request: Request, given: Given, files: dict[str, str], reader: TransformReader
) -> Outcome:
    failure: Exception | None = None
    mask = None
    try:
        files['mask'] = _find_brain(request, given.mask())
        mask = nib.Nifti1Image.from_filename(files['mask'])
    except Exception as error:
        # Transforms that are given need no mask.
        failure = error
    atlas = _read_atlas(request)
    pair = given.transforms(atlas.mask, mask)
    if pair is not None:
        return _reuse(name, atlas, pair, files, request, reader)
    if failure is not None:
        raise failure
    return _register(name, atlas, files, request)


def _find_brain(request: Request, given: nib.Nifti1Image | None) -> str:
    """Take the given mask, that of a stripped image, or extract the brain."""
    mask = given
    if mask is None:
        conformed = nib.Nifti1Image.from_filename(request.conformed)
        # The network would strip a stripped image once more and lose the outer cortex.
        brain = _extract(conformed, request.resources['brain_weights'])
        mask = brain_mask(conformed) if brain is None else brain
    path = request.folder / 'mask.nii.gz'
    nib.save(mask, path)
    return str(path)


def _extract(conformed: nib.Nifti1Image, weights: str) -> nib.Nifti1Image | None:
    """Find the brain in a whole head; None if the image is skull-stripped."""
    if is_skull_stripped(conformed):
        return None
    torch.set_num_threads(1)
    return extract_brain(conformed, load_brain_unet(Path(weights)))


def _read_atlas(request: Request) -> Atlas:
    given = request.resources
    if given['atlas'] == DEFAULT_ATLAS:
        return default_atlas(request.protocol)
    points = read_points(Path(given['atlas_targets'])).reindex(request.protocol.labels)
    image = Path(given['atlas'])
    readable = mend_image(read_image(image), image).image
    brain = _extract(conform(readable), given['brain_weights'])
    mask = None
    if brain is not None:
        mask = request.folder / 'atlas_mask.nii.gz'
        nib.save(brain, mask)
    atlas = user_atlas(image, points, mask)
    if file_sha256(image) != given['checksums'][0]:
        raise ValueError(f'{image}: the atlas was replaced during the run; start again')
    return atlas


def _reuse(
    name: str,
    atlas: Atlas,
    pair: GivenTransforms,
    files: dict[str, str],
    request: Request,
    reader: TransformReader,
) -> Outcome:
    places = atlas.points
    if pair.space != atlas.name:
        table = places_in(pair.space, Path(request.resources['atlas_targets']))
        places = read_places(table, request.protocol)
    places = shifted(places, request.resources.get('offsets'))
    found = places.found
    coordinates = np.full((len(places), 3), np.nan)
    coordinates[found] = reader.move(places.coordinates[found], pair.to_atlas)
    own = describe_atlas(request.resources)
    details: dict[str, Any] = {
        'Atlas': own if pair.space == atlas.name else {'Name': pair.space},
        'ReusedTransform': pair.made_of.name,
        **describe_offsets(request.resources.get('offsets')),
    }
    if preset := preset_of(pair.made_of):
        details['SynPreset'] = preset
    files = {**files, 'to_atlas': str(pair.to_atlas), 'from_atlas': str(pair.from_atlas)}
    return Outcome(name, PointSet(places.labels, coordinates), details=details, files=files)


def _register(name: str, atlas: Atlas, files: dict[str, str], request: Request) -> Outcome:
    conformed = nib.Nifti1Image.from_filename(request.conformed)
    starts = [earlier.points for earlier in request.earlier.values() if earlier.points is not None]
    result = register(
        conformed,
        atlas,
        work_dir=request.folder / 'transforms',
        mask=nib.Nifti1Image.from_filename(files['mask']),
        initial_points=starts[0] if starts else None,
        preset=request.resources['preset'],
        random_seed=request.random_seed,
        n_threads=request.threads,
    )
    files = {
        **files,
        'to_atlas': str(result.to_atlas),
        'from_atlas': str(result.from_atlas),
        **_warp_atlas(atlas, result, conformed, request.folder),
    }
    points = result.points
    if offsets := request.resources.get('offsets'):
        # The registration is the same with and without offsets, and so are its transforms.
        points = move_points(shifted(atlas.points, offsets), result.to_atlas)
    return Outcome(name, points, details=_details(atlas, result, request), files=files)


def _warp_atlas(
    atlas: Atlas, result: RegistrationResult, conformed: nib.Nifti1Image, folder: Path
) -> dict[str, str]:
    """Bring the atlas into the space of the image, for the figures."""
    step = FIGURE_SPACING_MM
    grid = conformed.slicer[::step, ::step, ::step]
    inverse = write_linear(
        np.linalg.inv(read_linear(result.linear)), folder / 'transforms' / 'inverse.mat'
    )
    files = {}
    for key, transform in (('before', inverse), ('after', result.from_atlas)):
        files[key] = str(folder / f'{key}.nii.gz')
        nib.save(warp_image(atlas.image, transform, grid), files[key])
    return files


def _details(atlas: Atlas, result: RegistrationResult, request: Request) -> dict[str, Any]:
    linear = result.linear_report
    return {
        'Atlas': describe_atlas(request.resources),
        'SynPreset': request.resources['preset'],
        **describe_offsets(request.resources.get('offsets')),
        'Registration': {
            'Start': result.start,
            'AffineScale': list(linear.scales),
            'Shear': linear.shear,
            'Overlap': result.overlap,
            'Similarity': result.similarity,
            'JacobianRange': list(result.jacobian),
            'Threads': request.threads,
        },
    }
