"""What an option means when it is not given, for protocols that are not the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmsprep.config import AUGMENTATIONS, SEGMENTATIONS, RunConfig


def protocol_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a run that depend on its protocol.

    Parameters
    ----------
    settings : Mapping
        What is given, with the names of the fields of `RunConfig`.

    Returns
    -------
    dict
        Empty for protocol 'tms', and for one that cannot be read, which the checks report. For a
        protocol of the locus coeruleus: its recipe, images and folds (Duennwald et al. 2021,
        section 2.3).
    """
    from tmsprep.bids.filters import load_filters
    from tmsprep.protocols import load_protocol

    name = settings.get('protocol', RunConfig.protocol)
    if name == RunConfig.protocol:
        return {}
    try:
        protocol = load_protocol(name)
    except (OSError, ValueError):
        return {}
    defaults: dict[str, Any] = {}
    if protocol.filter and settings.get('analysis_level') != 'group':
        defaults['bids_filters'] = load_filters(protocol.filter)
    if 'coreunet' in protocol.methods:
        defaults |= {'localizers': ('cnn',), 'recipe': 'duennwald2021', 'repetitions': 1}
        if settings.get('analysis_level') == 'crossval':
            defaults |= {'folds': 5, 'augmentation': AUGMENTATIONS, 'segmentation': SEGMENTATIONS}
    return defaults
