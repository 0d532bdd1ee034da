"""The radius that holds 90 % of errors, for images like those it was calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes

from tmsprep.evaluation.conformal import ErrorRadius, is_outdated
from tmsprep.evaluation.status import RADIUS
from tmsprep.outcome import Outcome

#: Entry of `Outcome.extra` that holds the calibration of the weights.
CALIBRATION = 'calibration'

#: Human experts who mark the same target in the same image are about this far apart (Baxter et
#: al. 2021).
EXPERTS_MM = 7.0


#: Share of the images of a calibration that are beyond a limit. Chosen on the first eight scans of
#: MICCAI 2012 and the validation set: with 0, the scans were within the limits, and their radius
#: held the point of the rule in 77 % only.
BEYOND = 0.05


@dataclass(frozen=True)
class Sign:
    """What an image shows of how well its points can be found.

    Parameters
    ----------
    words : str
        With fields for the value and the limit.
    worse : float
        1 if large values are bad, -1 if small ones are.
    beyond : float
        Share of the images of a calibration that are beyond its limit.
    """

    words: str
    worse: float
    beyond: float = BEYOND


#: By name. Those of a column of the table are means over the points of the image.
SIGNS = {
    'dispersion_mm': Sign('the networks disagree by {:.2f} mm on average (at most {:.2f})', 1.0),
    'gyrus_probability': Sign(
        'the points lie in their gyri with a mean probability of {:.2f} (at least {:.2f})', -1.0
    ),
    'match': Sign('it matches the mean head by {:.2f} (at least {:.2f})', -1.0),
    'voxel_mm': Sign('its voxels are up to {:.1f} mm long (at most {:.1f})', 1.0, beyond=0.0),
}


def signs_of(columns: Mapping[str, Any], voxel_mm: float | None) -> dict[str, float]:
    """Read the signs of an image from its table; those that it does not show are left out.

    Parameters
    ----------
    columns : mapping
        Column to one number, or None, per target.
    voxel_mm : float or None
        Result of `longest_mm`.
    """
    numbers = {name: np.array(columns.get(name, ()), dtype=np.float64) for name in SIGNS}
    found = {
        name: float(np.nanmean(values))
        for name, values in numbers.items()
        if np.isfinite(values).any()
    }
    return found if voxel_mm is None else {**found, 'voxel_mm': voxel_mm}


def longest_mm(affine: Any) -> float:
    """Longest edge of the voxels of an image with an affine of shape (4, 4), to 0.1 mm."""
    return round(float(voxel_sizes(np.asarray(affine)).max()), 1)


def limits_of(images: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Find the limit of each sign that all images have; see `Sign.beyond`."""
    shared = [name for name in SIGNS if images and all(name in signs for signs in images)]
    limits = {}
    for name in shared:
        worse = SIGNS[name].worse
        values = [worse * signs[name] for signs in images]
        limits[name] = worse * float(np.quantile(values, 1 - SIGNS[name].beyond, method='higher'))
    return limits


def unlike(signs: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Say in words in what an image is worse than those of the calibration; '' if in nothing."""
    found = []
    for name, limit in limits.items():
        sign = SIGNS.get(name)
        if sign is None or name not in signs:
            found.append(f'{name} is not known')
        elif sign.worse * (signs[name] - limit) > 0:
            found.append(sign.words.format(signs[name], limit))
    return f'the image is unlike those of the calibration: {"; ".join(found)}' if found else ''


def add_radius(outcome: Outcome, properties: Mapping[str, Any]) -> Outcome:
    """Add the column of the radius, and the entry 'Calibration' of the sidecar.

    Parameters
    ----------
    outcome : Outcome
        After `Method.check`; with the calibration of its weights, if they have one.
    properties : mapping
        Of the image: 'affine'.
    """
    content = outcome.extra.get(CALIBRATION)
    if content is None or outcome.points is None:
        return outcome
    labels = outcome.points.labels
    if is_outdated(content):
        reason = (
            'the weights were calibrated by an earlier version of tmsprep, whose radius held on '
            'fewer images than it promised; train or get them again'
        )
        return _with(outcome, {}, {'Missing': dict.fromkeys(labels, reason)})
    calibration = ErrorRadius.from_dict(content)
    affine = properties.get('affine')
    signs = signs_of(outcome.columns, None if affine is None else longest_mm(affine))
    reason = unlike(signs, calibration.limits)
    dispersions = outcome.columns.get('dispersion_mm', [0.0] * len(labels))
    spread = dict(zip(labels, dispersions, strict=True))
    known = {label: value for label, value in spread.items() if value is not None}
    radii = {} if reason else calibration.finite_radii(known)
    missing = {
        label: reason or 'too few participants of the calibration have this target'
        for label in labels
        if label not in radii
    }
    entry = {
        'Level': calibration.level,
        'People': dict(zip(calibration.labels, calibration.n, strict=True)),
        'ScaledByDispersion': calibration.slope > 0,
        **({'Images': list(calibration.kinds)} if calibration.kinds else {}),
        'Signs': {name: round(value, 3) for name, value in signs.items()},
        'Limits': {name: round(value, 3) for name, value in calibration.limits.items()},
        **({'Missing': missing} if missing else {}),
    }
    return _with(outcome, radii, entry)


def _with(outcome: Outcome, radii: Mapping[str, float], entry: Mapping[str, Any]) -> Outcome:
    assert outcome.points is not None
    column = [radii.get(label) for label in outcome.points.labels]
    return replace(
        outcome,
        columns={**outcome.columns, RADIUS: column},
        details={**outcome.details, 'Calibration': dict(entry)},
    )
