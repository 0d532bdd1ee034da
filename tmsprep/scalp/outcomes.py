"""The step between the methods and their tables: the scalp over all points of one image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib

from tmsprep.evaluation.head import MeanHead
from tmsprep.methods.base import points_of
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.scalp.checks import MeanScalp
from tmsprep.scalp.measure import SIDECAR_KEY, measure_coil, no_coil
from tmsprep.scalp.surface import head_surface

logger = logging.getLogger(__name__)


def add_coils(
    outcomes: Mapping[str, Outcome],
    conformed: Path,
    properties: Mapping[str, Any],
    protocol: Protocol,
) -> dict[str, Outcome]:
    """Add scalp entry, distance, normal and handle of every point to the outcomes of an image.

    Whatever goes wrong here concerns the coil alone: points are kept, the columns are empty, and
    the sidecar and the log say why.

    Parameters
    ----------
    outcomes : mapping
        Method to outcome.
    conformed : Path
        The conformed image, 1 mm; see `tmsprep.imaging.conform`.
    properties : mapping
        Of the image: 'path', 'shape' and 'affine'.
    protocol : Protocol
        The targets.
    """
    try:
        surface = head_surface(nib.Nifti1Image.from_filename(conformed))
        mean = _mean_scalp(protocol)
        coils = {
            name: measure_coil(
                points_of(outcome, protocol),
                protocol,
                surface,
                properties,
                mean_scalp=mean,
                unreliable=outcome.unreliable,
            )
            for name, outcome in outcomes.items()
        }
    except Exception as error:
        logger.warning('%s: no scalp entries (%s)', properties['path'], error)
        logger.debug('', exc_info=True)
        coils = dict.fromkeys(outcomes, no_coil(protocol, f'the head surface failed: {error}'))
    return {
        name: replace(
            outcome,
            columns={**outcome.columns, **coils[name].columns},
            details={**outcome.details, SIDECAR_KEY: coils[name].sidecar(protocol)},
        )
        for name, outcome in outcomes.items()
    }


def _mean_scalp(protocol: Protocol) -> MeanScalp | None:
    return MeanScalp(MeanHead.load(protocol.file(protocol.head))) if protocol.head else None
