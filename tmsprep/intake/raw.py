"""The small data set inside the outputs that holds the images given one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tmsprep import atomic
from tmsprep.bids.description import BIDS_VERSION, RAW, read_description
from tmsprep.bids.filters import wanted_entities
from tmsprep.bids.names import ENTITIES, ImageRef, labels_in, shorten
from tmsprep.intake.nifti import copy_image, is_there
from tmsprep.intake.source import IntakeError

_DESCRIPTION = 'dataset_description.json'

#: What the data set calls itself, by which it is told from one that somebody else put there.
NAME = 'Images given to tmsprep one by one'


def raw_dir(out_dir: Path) -> Path:
    """Return the folder of the data set inside the outputs, where BIDS expects it."""
    return out_dir / RAW


def image_of(out_dir: Path, label: str, filters: Mapping[str, Any]) -> ImageRef:
    """Name the copy of an image.

    Parameters
    ----------
    out_dir : Path
        Folder of the outputs.
    label : str
        Of the participant.
    filters : mapping
        Which images the run uses; the name is one that they select.
    """
    wanted = wanted_entities(filters)
    words = [f'sub-{label}']
    for key, entity in ENTITIES.items():
        value = wanted.get(entity)
        if isinstance(value, str) and value.isalnum():
            words.append(f'{key}-{value}')
    raw = raw_dir(out_dir)
    name = f'{"_".join(words)}_{wanted["suffix"]}.nii.gz'
    return ImageRef.from_path(raw, raw / f'sub-{label}' / 'anat' / name)


def add_image(
    source: Path,
    image: ImageRef,
    out_dir: Path,
    facts: Mapping[str, Any],
    *,
    dry_run: bool = False,
) -> bool:
    """Copy an image into the data set, unless the same one is there.

    Parameters
    ----------
    source : Path
        A NIfTI file.
    image : ImageRef
        Its copy, as `image_of` names it.
    out_dir : Path
        Folder of the outputs.
    facts : mapping
        Entries of the sidecar.
    dry_run : bool
        Whether to write nothing.

    Returns
    -------
    bool
        Whether it was copied, or would be.

    Raises
    ------
    IntakeError
        If another image of the same name is there, or a data set of another origin.
    tmsprep.imaging.scanner_frame.ImageError
        If the image is damaged.
    """
    raw = raw_dir(out_dir)
    _refuse_others(raw)
    try:
        if dry_run:
            return not is_there(source, image.path)
        _claim(raw)
        copied = copy_image(source, image.path)
    except IntakeError as error:
        taken = shorten(labels_in(raw, 'sub'))
        raise IntakeError(
            f'{error}, and is not replaced. Give this one a label of its own with --id (taken: '
            f'{taken}), or another folder for the outputs'
        ) from error
    sidecar = image.path.with_name(image.path.name.replace('.nii.gz', '.json'))
    # That of an image that was there before and was deleted must not stay.
    if copied or not sidecar.exists():
        atomic.write_text(sidecar, json.dumps(dict(facts), indent=2) + '\n')
    return copied


def _refuse_others(raw: Path) -> None:
    """Refuse a data set of another origin."""
    path = raw / _DESCRIPTION
    if raw.is_symlink() or (raw.exists() and (not path.is_file() or not _is_ours(path))):
        raise IntakeError(
            f'{raw}: holds a data set already, and images given one by one would be put into it; '
            'give another folder for the outputs'
        )


def _claim(raw: Path) -> None:
    """Describe the data set, unless it is described."""
    path = raw / _DESCRIPTION
    if not path.is_file():
        content = {'Name': NAME, 'BIDSVersion': BIDS_VERSION, 'DatasetType': 'raw'}
        atomic.write_text(path, json.dumps(content, indent=2) + '\n')


def _is_ours(path: Path) -> bool:
    return read_description(path).get('Name') == NAME
