"""Whether a brain mask or a transform of an earlier run is one of this image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.derivatives import sidecar_path, source_sha256
from tmsprep.imaging.placement import misplaced
from tmsprep.imaging.read import ImageError, load_nifti
from tmsprep.tables import read_json

#: Preset of quick trials, whose results are not to be taken for others.
SLOPPY = 'sloppy'

logger = logging.getLogger(__name__)


def sidecar_entries(entries: Mapping[str, Any], preset: str = '') -> dict[str, Any]:
    """Return what a mask's or transform's sidecar holds, so that it can be reused safely.

    Parameters
    ----------
    entries : mapping
        Entries that every sidecar has; see `tmsprep.methods.base.Method.write`.
    preset : str
        Preset of the registration; '' if there was none, or it is not known.
    """
    kept = {k: entries[k] for k in ('ReferenceImage', 'SoftwareVersion') if k in entries}
    return {**kept, **({'SynPreset': preset} if preset else {})}


def preset_of(path: str | Path) -> str:
    """Preset that a transform was made with, by its sidecar; '' if that does not say."""
    return str(read_json(sidecar_path(path)).get('SynPreset', ''))


def usable_transforms(
    paths: Sequence[str], properties: Mapping[str, Any], preset: str, atlas: Mapping[str, str]
) -> tuple[list[str], str]:
    """Return the transforms that may be used for an image, or none and the reason.

    Parameters
    ----------
    paths : sequence of str
        Transforms of both directions, or none.
    properties : mapping
        Of the image: 'path', 'sha256'.
    preset : str
        Preset of this run.
    atlas : mapping
        Its atlas: 'Name', and 'SHA256' of the image if it is the user's own.
    """
    reasons = [_of_another(Path(path), properties) for path in paths]
    reasons += [_sloppy(Path(path), preset) for path in paths]
    reasons += [_of_another_atlas(Path(path), atlas) for path in paths]
    reason = next(filter(None, reasons), '')
    if not reason:
        return list(paths), ''
    logger.warning(
        '%s: not used for %s: %s. The atlas is registered anew.',
        paths[0],
        properties.get('path'),
        reason,
    )
    return [], f'{Path(paths[0]).name}: {reason}'


def usable_mask(
    path: str | None, properties: Mapping[str, Any]
) -> tuple[nib.Nifti1Image | None, str]:
    """Return the mask of an earlier run or another program if it is one of an image.

    Parameters
    ----------
    path : str or None
        Mask, if there is one.
    properties : mapping
        Of the image: 'path', 'shape', 'affine', 'sha256'.

    Returns
    -------
    mask : nibabel.Nifti1Image or None
        On its own grid.
    reason : str
        Why it is not used; '' if it is, or there is none.
    """
    if path is None:
        return None, ''
    reason, mask = _of_another(Path(path), properties), None
    if not reason:
        try:
            mask = nib.funcs.squeeze_image(load_nifti(Path(path)))
            where = tuple(properties['shape']), np.array(properties['affine'])
            reason = misplaced(mask, *where)
        except ImageError as error:
            reason = str(error).removeprefix(f'{path}: ')
    if not reason:
        return mask, ''
    logger.warning(
        '%s: not used for %s: %s. The brain is extracted anew.',
        path,
        properties.get('path'),
        reason.rstrip('.'),
    )
    return None, f'{Path(path).name}: {reason}'


def _of_another(path: Path, properties: Mapping[str, Any]) -> str:
    """Say so if a sidecar names another image; those of other programs name none."""
    known = source_sha256(path)
    if not known or known == properties.get('sha256'):
        return ''
    return 'it was made from another image of the same name (SHA-256 in its sidecar)'


def _of_another_atlas(path: Path, atlas: Mapping[str, str]) -> str:
    """Say so if a sidecar names another image as the atlas, which has the same name."""
    made = read_json(sidecar_path(path)).get('Atlas')
    known = made.get('SHA256') if isinstance(made, dict) else None
    if known is None or known == atlas.get('SHA256'):
        return ''
    return 'it was made with another atlas (SHA-256 in its sidecar)'


def _sloppy(path: Path, preset: str) -> str:
    if preset_of(path) != SLOPPY or preset == SLOPPY:
        return ''
    return 'it was made with --sloppy, and this run is without'
