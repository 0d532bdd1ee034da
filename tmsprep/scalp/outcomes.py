"""The step between the methods and their tables: the scalp over all points of one image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.evaluation.head import MeanHead
from tmsprep.methods.base import points_of
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.scalp.checks import MeanScalp
from tmsprep.scalp.fiducials import NotInView, find_fiducials
from tmsprep.scalp.measure import SIDECAR_KEY, Coil, measure_coil, no_coil, trusted_points
from tmsprep.scalp.surface import HeadSurface, head_surface
from tmsprep.scalp.ten_twenty import ScalpCheck, TenTwenty, ten_twenty

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scalp:
    """What is known about the scalp of one image.

    Parameters
    ----------
    coils : dict
        Method to the scalp entries of its points.
    positions : TenTwenty or None
        Positions of the 10-20 system, if the head shows what is needed.
    why_not : str
        The reason if there are none, or some are missing.
    method : str
        Method whose points told how the head lies; '' if none did.
    """

    coils: dict[str, Coil]
    positions: TenTwenty | None = None
    why_not: str = ''
    method: str = ''

    def outcomes(self, outcomes: Mapping[str, Outcome], protocol: Protocol) -> dict[str, Outcome]:
        """Add the columns and what sidecars say of them to the outcomes of the methods."""
        positions = {'TenTwenty': self.why_not} if self.why_not else {}
        return {
            name: replace(
                outcome,
                columns={**outcome.columns, **self.coils[name].columns},
                details={
                    **outcome.details,
                    SIDECAR_KEY: {**self.coils[name].sidecar(protocol), **positions},
                },
            )
            for name, outcome in outcomes.items()
        }


def measure_scalp(
    outcomes: Mapping[str, Outcome],
    conformed: Path,
    properties: Mapping[str, Any],
    protocol: Protocol,
) -> Scalp:
    """Find the scalp over the points of all methods, and positions of the 10-20 system on it.

    Whatever goes wrong here concerns the coil alone: points are kept, the columns are empty, and
    the sidecar and the log say why.

    Parameters
    ----------
    outcomes : mapping
        Method to outcome.
    conformed : Path
        The conformed image, 1 mm; see `tmsprep.imaging.conform`.
    properties : mapping
        Of the image: 'path', 'shape', 'affine' and 'doubts'.
    protocol : Protocol
        The targets.
    """
    try:
        surface = head_surface(nib.Nifti1Image.from_filename(conformed))
        head = protocol.file(protocol.head) if protocol.head else None
        mean = MeanScalp(MeanHead.load(head)) if head else None
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
        reason = f'the surface of the head was not found: {error}'
        return Scalp(dict.fromkeys(outcomes, no_coil(protocol, reason)), why_not=reason)
    for name, coil in coils.items():
        for label, reason in coil.unusual.items():
            logger.warning('%s: %s, %s: %s', properties['path'], name, label, reason)
    method = _reliable(outcomes, properties)
    try:
        if not (mean and protocol.fiducials):
            raise NotInView('the protocol has no fiducials in a mean head')
        if not method:
            raise NotInView('no method has points that can be relied on')
        outcome = outcomes[method]
        points = trusted_points(points_of(outcome, protocol), protocol, outcome.unreliable)
        positions = _positions(surface, points, mean, protocol, properties)
        return Scalp(coils, positions, _missing(positions), method)
    except NotInView as error:
        return Scalp(coils, why_not=f'no positions of the 10-20 system: {error}')


def _missing(positions: TenTwenty) -> str:
    """Say which positions and measures are missing, each reason once; '' if none is."""
    reasons = dict.fromkeys(positions.missing.values())
    return '; '.join(
        f'no {", ".join(name for name, why in positions.missing.items() if why == reason)}: '
        f'{reason}'
        for reason in reasons
    )


def _positions(
    surface: HeadSurface,
    points: PointSet,
    mean: MeanScalp,
    protocol: Protocol,
    properties: Mapping[str, Any],
) -> TenTwenty:
    shape, affine = tuple(properties['shape']), np.array(properties['affine'])
    fiducials = find_fiducials(surface, points, mean, protocol.fiducials, shape, affine)
    return ten_twenty(surface, fiducials, ScalpCheck(surface, points, mean, shape, affine))


def _reliable(outcomes: Mapping[str, Outcome], properties: Mapping[str, Any]) -> str:
    """Name the first method whose points tell how the head lies; '' if there is none."""
    if properties.get('doubts') or any(outcome.refused for outcome in outcomes.values()):
        return ''
    good = (name for name, o in outcomes.items() if o.points is not None and not o.findings)
    return next(good, '')
