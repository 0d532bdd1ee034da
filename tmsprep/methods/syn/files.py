"""The atlas, and masks and transforms among the derivatives."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tmsprep.atomic import atomic_path
from tmsprep.bids.earlier import find_earlier, label_folders
from tmsprep.bids.names import ImageRef, Layout, shorten
from tmsprep.evaluation.shape import read_places
from tmsprep.files import file_sha256
from tmsprep.methods.resources import ResourceError
from tmsprep.methods.syn.offsets import find_offsets, shifted
from tmsprep.methods.syn.reuse import SLOPPY, sidecar_entries
from tmsprep.networks.archive import open_archive
from tmsprep.networks.settings import BRAIN_KIND, check_brain
from tmsprep.options import NamedPath
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.registration.atlas import read_atlas_image
from tmsprep.registration.names import DEFAULT_ATLAS, SPACES, USER_ATLAS
from tmsprep.tables import write_json

#: For the sidecars of transforms.
TRANSFORM_DESCRIPTION = (
    'Composite transform of ITK (LPS, mm). It resamples images from the first space to the '
    'second; points move the other way, from the second space to the first'
)


def find_atlas(protocol: Protocol, options: Mapping[str, Any]) -> dict[str, Any]:
    """Find the annotated atlas; see `tmsprep.methods.base.Method.resources`.

    Returns
    -------
    dict
        'atlas', `DEFAULT_ATLAS` or a file; 'atlas_targets', a file; 'checksums' of both files;
        'brain_weights', a file; 'preset'; and with ``--atlas-offsets`` 'offsets', the result of
        `tmsprep.methods.syn.offsets.find_offsets`.

    Raises
    ------
    ResourceError
        If there is no atlas, it has none of the targets, or a file of it cannot be used.
    """
    image: Path | None = options.get('atlas')
    targets: Path | None = options.get('atlas_targets')
    if (image is None) != (targets is None):
        raise ResourceError('--atlas and --atlas-targets belong together; give both')
    if targets is None:
        if not protocol.atlas:
            raise ResourceError(
                f'protocol {protocol.name} has no default atlas. Give a T1w with its '
                f'{protocol.words["targets"]}: --atlas FILE --atlas-targets FILE'
            )
        name, targets = protocol.atlas['image'], protocol.file(protocol.atlas['points'])
        image = None if name == DEFAULT_ATLAS else protocol.file(name)
    files = [path for path in (image, targets) if path is not None]
    brain = protocol.file('brain_extraction.safetensors')
    for path in (*files, brain):
        if not path.is_file():
            raise ResourceError(f'file not found: {path}')
    points = _read_targets(targets, protocol, default=image is None)
    try:
        check_brain(open_archive(brain, BRAIN_KIND))
        if image is not None:
            read_atlas_image(image, points)
    except ValueError as error:
        raise ResourceError(str(error)) from error
    found: dict[str, Any] = {
        'atlas': DEFAULT_ATLAS if image is None else str(image),
        'atlas_targets': str(targets),
        'checksums': [file_sha256(path) for path in files],
        'brain_weights': str(brain),
        'preset': SLOPPY if options.get('sloppy') else options.get('syn_preset', 'default'),
    }
    if given := options.get('atlas_offsets'):
        try:
            found['offsets'] = find_offsets(given, points, found['checksums'])
            if image is not None:
                read_atlas_image(image, shifted(points, found['offsets']))
        except ValueError as error:
            raise ResourceError(f'--atlas-offsets: {error}') from error
    return found


def _read_targets(path: Path, protocol: Protocol, *, default: bool) -> PointSet:
    try:
        points = read_places(path, protocol, mni=default)
    except ValueError as error:
        where = '' if default else '--atlas-targets: '
        raise ResourceError(f'{where}{error}') from error
    if not points.found.any():
        raise ResourceError(
            f'{path}: has none of the targets of protocol {protocol.name}, such as '
            f'{shorten(list(protocol.labels), 3)}; give --atlas and --atlas-targets with them'
        )
    return points


def atlas_name(atlas: str) -> str:
    """Name of an atlas in the names of transforms, from the resource 'atlas'."""
    return DEFAULT_ATLAS if atlas == DEFAULT_ATLAS else USER_ATLAS


def describe_atlas(resources: Mapping[str, Any]) -> dict[str, str]:
    """Name of the atlas and, if it is the user's own, the checksum of its image; for sidecars."""
    name = atlas_name(resources['atlas'])
    own = {} if name == DEFAULT_ATLAS else {'SHA256': resources['checksums'][0]}
    return {'Name': name, **own}


def find_given(image: ImageRef, layout: Layout, folders: Sequence[NamedPath]) -> dict[str, Any]:
    """Find masks and transforms that were made for an image earlier, or by other programs.

    Parameters
    ----------
    image : ImageRef
        The input.
    layout : Layout
        Names of the outputs; names without the protocol are accepted as well.
    folders : sequence of NamedPath
        Searched in order; see `tmsprep.bids.earlier.find_earlier`.

    Returns
    -------
    dict
        'given', fields of `tmsprep.bids.earlier.Earlier` of each find; 'gave_nothing', labels of
        the folders without one. What is empty is left out.
    """
    found = find_earlier(image, folders, layout.label, (*SPACES, USER_ATLAS))
    having = {earlier.folder for earlier in found}
    without = [label for label in label_folders(folders) if label not in having]
    given: dict[str, Any] = {'given': [asdict(earlier) for earlier in found]}
    given['gave_nothing'] = without
    return {key: value for key, value in given.items() if value}


def places_in(space: str, targets: Path) -> Path:
    """Name the table of the default atlas's points in another template.

    Examples
    --------
    >>> places_in('MNI152NLin6Asym', Path('atlas/points_MNI152NLin2009aSym.tsv')).as_posix()
    'atlas/points_MNI152NLin6Asym.tsv'
    >>> places_in('MNI152NLin6Asym', Path('sma.tsv')).as_posix()
    'sma_MNI152NLin6Asym.tsv'
    """
    if DEFAULT_ATLAS in targets.name:
        return targets.with_name(targets.name.replace(DEFAULT_ATLAS, space))
    return targets.with_stem(f'{targets.stem}_{space}')


def _spaces(start: str, end: str) -> dict[str, str]:
    return {'from': start, 'to': end, 'mode': 'image'}


def write_mask(
    outcome: Outcome, image: ImageRef, layout: Layout, entries: Mapping[str, Any]
) -> None:
    """Copy the brain mask, if there is one; `entries` are those of every sidecar."""
    if 'mask' not in outcome.files:
        return
    path = layout.derivative(image, 'mask', '.nii.gz', desc='brain')
    sidecar = {
        'Type': 'Brain',
        'Sources': _sources(image, outcome, 'brain mask'),
        'SpatialReference': 'orig',
        'Description': 'Brain mask on the conformed grid (1 mm), in the frame of the T1w',
        **sidecar_entries({} if 'mask' in outcome.extra.get('unchecked', ()) else entries),
    }
    write_json(path.with_name(path.name.replace('.nii.gz', '.json')), sidecar)
    _copy(outcome.files['mask'], path)


def write_transforms(
    outcome: Outcome, image: ImageRef, layout: Layout, entries: Mapping[str, Any]
) -> None:
    """Copy the transforms of both directions, if there are any."""
    unchecked = 'transforms' in outcome.extra.get('unchecked', ())
    made = sidecar_entries({} if unchecked else entries, outcome.details.get('SynPreset', ''))
    atlas = outcome.details.get('Atlas', {}).get('Name', '')
    for key, spaces in (('to_atlas', ('T1w', atlas)), ('from_atlas', (atlas, 'T1w'))):
        if key not in outcome.files:
            continue
        source = outcome.files[key]
        path = layout.derivative(image, 'xfm', Path(source).suffix, **_spaces(*spaces))
        sidecar: dict[str, Any] = {
            'Sources': _sources(image, outcome, 'transforms'),
            'Description': TRANSFORM_DESCRIPTION,
            **made,
        }
        if not unchecked:
            sidecar['Atlas'] = outcome.details['Atlas']
        write_json(path.with_suffix('.json'), sidecar)
        _copy(source, path)


def _sources(image: ImageRef, outcome: Outcome, what: str) -> list[str]:
    """BIDS URIs of the image and of what was reused of a kind."""
    taken = outcome.details.get('Reused', [])
    return [image.uri, *(entry['File'] for entry in taken if entry['What'].startswith(what))]


def _copy(source: str, destination: Path) -> None:
    with atomic_path(destination) as partial:
        shutil.copyfile(source, partial)
