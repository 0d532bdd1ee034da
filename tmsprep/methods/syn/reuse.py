"""Whether a brain mask or a transform of an earlier run is one of this image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tmsprep.derivatives.earlier import sidecar_path, source_sha256
from tmsprep.tables import read_json

#: Preset of quick trials, whose results are not to be taken for others.
SLOPPY = 'sloppy'


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


def unfit_transforms(
    paths: Sequence[str | Path],
    properties: Mapping[str, Any],
    preset: str,
    atlas: Mapping[str, str],
) -> str:
    """Say why transforms may not be used for an image, by their sidecars; '' if they may.

    Parameters
    ----------
    paths : sequence of str or Path
        Transforms of both directions.
    properties : mapping
        Of the image: 'sha256'.
    preset : str
        Preset of this run.
    atlas : mapping
        Its atlas: 'Name', and 'SHA256' of the image if it is the user's own.
    """
    reasons = [of_another(path, properties) for path in paths]
    reasons += [_sloppy(path, preset) for path in paths]
    reasons += [_of_another_atlas(path, atlas) for path in paths]
    return next(filter(None, reasons), '')


def of_another(path: str | Path, properties: Mapping[str, Any]) -> str:
    """Say so if a sidecar names another image; those of other programs name none."""
    known = source_sha256(path)
    if not known or known == properties.get('sha256'):
        return ''
    return 'it was made from another image of the same name (SHA-256 in its sidecar)'


def _of_another_atlas(path: str | Path, atlas: Mapping[str, str]) -> str:
    """Say so if a sidecar names another image as the atlas, which has the same name."""
    made = read_json(sidecar_path(path)).get('Atlas')
    known = made.get('SHA256') if isinstance(made, dict) else None
    if known is None or known == atlas.get('SHA256'):
        return ''
    return 'it was made with another atlas (SHA-256 in its sidecar)'


def _sloppy(path: str | Path, preset: str) -> str:
    if preset_of(path) != SLOPPY or preset == SLOPPY:
        return ''
    return 'it was made with --sloppy, and this run is without'
