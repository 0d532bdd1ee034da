"""Radius that holds nine of ten errors in new participants: conformal prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

#: Share of errors inside the radius.
LEVEL = 0.9

#: The scale of a target counts as if this many more participants had errors like those of all
#: targets, so that a few do not promise a target more than they can know.
SHRINKAGE = 5.0

#: Least scale, mm: errors that happen to be tiny do not promise a perfect point.
FLOOR_MM = 0.5

#: How much an error may grow with the dispersion, mm per mm, from which the likeliest is taken.
_SLOPES = np.arange(0.0, 4.01, 0.1)

#: Rounding of sums of shares.
_TINY = 1e-9


@dataclass(frozen=True)
class ErrorRadius:
    """Calibration of the distance at which the reference probably lies from a predicted point.

    The radius is ``quantile * sqrt(scale^2 + (slope * dispersion)^2)``: the scale belongs to the
    target, the quantile to all of them. Conformal prediction with normalised scores (Papadopoulos
    et al. 2008) for points that come in participants (Lee, Barber and Willett 2023, HCP): if the
    participants of the calibration and the next one are exchangeable, a point of that participant
    lies within its radius with a probability of `level`. Nothing is promised for other images.

    Parameters
    ----------
    labels : tuple of str
        Targets.
    level : float
        Probability, between 0 and 1.
    scales_mm : tuple of float
        Per target: typical error where the networks agree.
    slope : float
        How the error grows with the dispersion, mm per mm; 0 if it does not matter.
    quantile : float
        In scales; infinite if too few participants were measured.
    n : tuple of int
        Participants of the calibration per target.
    limits : mapping, optional
        Sign of an image, by which its caller tells what it is like, to the limit beyond which
        nothing is promised.
    kinds : tuple of str, optional
        Kinds of images of the calibration.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    labels: tuple[str, ...]
    level: float
    scales_mm: tuple[float, ...]
    slope: float
    quantile: float
    n: tuple[int, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.labels) == len(self.scales_mm) == len(self.n):
            raise ValueError(
                'a calibration needs one scale and one number of participants per label'
            )
        if not 0 < self.level < 1:
            raise ValueError(f'the level must lie between 0 and 1, not be {self.level}')
        if not all(0 < scale < math.inf for scale in self.scales_mm):
            raise ValueError('a scale of errors must be a positive number')
        if not 0 <= self.slope < math.inf:
            raise ValueError(f'the slope must be a number from 0 on, not {self.slope}')
        if not self.quantile >= 0:
            raise ValueError('a quantile of errors cannot be negative or NaN')
        if not all(math.isfinite(limit) for limit in self.limits.values()):
            raise ValueError('a limit must be a finite number')

    def finite_radii(self, dispersions: Mapping[str, float]) -> dict[str, float]:
        """Radii of the balls around the predicted points of one participant, mm.

        Targets with too few participants, so that nothing is promised, are left out.

        Parameters
        ----------
        dispersions : Mapping
            Target to dispersion of the ensemble in mm, for every predicted target; 0 for a single
            network.
        """
        radii = {
            label: self.quantile * math.hypot(scale, self.slope * float(dispersions[label]))
            for label, scale, n in zip(self.labels, self.scales_mm, self.n, strict=True)
            if label in dispersions and enough(n, self.level)
        }
        return {label: radius for label, radius in radii.items() if math.isfinite(radius)}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, JSON-ready; an infinite quantile is None."""
        lists = {name: list(getattr(self, name)) for name in ('labels', 'scales_mm', 'n', 'kinds')}
        quantile = self.quantile if math.isfinite(self.quantile) else None
        return asdict(self) | lists | {'quantile': quantile, 'limits': dict(self.limits)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ErrorRadius:
        """Read the result of `as_dict`.

        Raises
        ------
        ValueError
            If it is not a calibration.
        """
        try:
            quantile = content['quantile']
            return cls(
                tuple(content['labels']),
                float(content['level']),
                tuple(map(float, content['scales_mm'])),
                float(content['slope']),
                math.inf if quantile is None else float(quantile),
                tuple(map(int, content['n'])),
                {str(sign): float(limit) for sign, limit in content['limits'].items()},
                tuple(map(str, content['kinds'])),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f'the calibration of the error radius is unusable: {error}'
            raise ValueError(message) from error


def is_outdated(content: Mapping[str, Any]) -> bool:
    """Tell whether a calibration is of the form that had one quantile per target."""
    return 'quantiles' in content


def enough(n: int, level: float = LEVEL) -> bool:
    """Tell whether n participants can promise anything: 9 for 0.9, 8 cannot."""
    return n / (n + 1) >= level - _TINY


def calibrate(
    errors: np.ndarray,
    dispersions: np.ndarray | None,
    labels: Sequence[str],
    participants: Sequence[str],
    kinds: Sequence[str] | None = None,
    limits: Mapping[str, float] | None = None,
    level: float = LEVEL,
) -> ErrorRadius:
    """Fit the scales of the targets, and find the quantile of all errors in these scales.

    Every participant counts the same, and in each every kind of image, and in that every point;
    one further participant counts as infinitely far off (Lee, Barber and Willett 2023). With one
    point per participant that is the ``ceil((n + 1) level)``-th smallest score (Lei et al. 2018).
    Each participant's errors are measured in scales that were fitted without that participant.
    The quantile is raised, if it must be, so that each kind of image reaches the level by itself.

    Parameters
    ----------
    errors : numpy.ndarray
        Shape (images, targets), mm: distances from the references, in participants who were not
        trained on. NaN, a missing reference, is left out; infinity is a point that was not found.
    dispersions : numpy.ndarray or None
        Same shape, mm: of the ensemble. None: the radius is the same for all participants.
    labels : sequence of str
        Targets.
    participants : sequence of str
        Whose the images are.
    kinds : sequence of str, optional
        Kind of each image; one kind if not given.
    limits : mapping, optional
        As of `ErrorRadius`.
    level : float
        Share of errors inside the radius.

    Raises
    ------
    ValueError
        If shapes differ, an error is negative, or an error has no dispersion.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 2 or errors.shape != (len(participants), len(labels)):
        raise ValueError(
            f'errors must be ({len(participants)} images, {len(labels)} targets), not '
            f'{errors.shape}'
        )
    if (errors < 0).any():
        raise ValueError('an error is a distance and cannot be negative')
    known = _known(errors, dispersions)
    people, owner = np.unique(np.array(participants, dtype=str), return_inverse=True)
    kind = np.array([''] * len(errors) if kinds is None else kinds, dtype=str)
    weights = _weights(errors, owner, kind)
    seen = [~np.isnan(errors[owner == i]).all(axis=0) for i in range(len(people))]
    given = np.array(seen).reshape(-1, len(labels))
    counts = given.sum(axis=0)
    scores = np.full(errors.shape, np.nan)
    for i in range(len(people)):
        own = owner == i
        scales, slope = _fit(errors[~own], known[~own], weights[~own], counts - given[i])
        scores[own] = errors[own] / np.hypot(scales, slope * known[own])
    scales, slope = _fit(errors, known, weights, counts)
    return ErrorRadius(
        tuple(labels),
        level,
        tuple(scales.tolist()),
        slope,
        _pooled(scores, weights, kind, int(given.any(axis=1).sum()), level),
        tuple(counts.tolist()),
        dict(limits or {}),
        tuple(dict.fromkeys(kind[kind != ''].tolist())),
    )


def _known(errors: np.ndarray, dispersions: np.ndarray | None) -> np.ndarray:
    """Dispersions, 0 where there are none."""
    if dispersions is None:
        return np.zeros(errors.shape)
    dispersions = np.asarray(dispersions, dtype=np.float64)
    if dispersions.shape != errors.shape:
        raise ValueError(f'dispersions are {dispersions.shape}, but errors {errors.shape}')
    # An infinite error is a point that was not found, which has no dispersion either.
    if (np.isfinite(errors) & ~(dispersions >= 0)).any():
        raise ValueError('an error has no dispersion, or a negative one')
    return np.nan_to_num(dispersions)


def _weights(errors: np.ndarray, owner: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Share of each error, shape (images, targets): participants alike, in each kinds alike."""
    given = ~np.isnan(errors)
    weights = given.astype(np.float64)
    for person in np.unique(owner):
        for one in np.unique(kind[owner == person]):
            rows = (owner == person) & (kind == one)
            weights[rows] /= max(given[rows].sum(), 1)
        own = owner == person
        weights[own] /= max(weights[own].sum(), _TINY)
    return weights / max(weights.sum(), _TINY)


def _fit(
    errors: np.ndarray, dispersions: np.ndarray, weights: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, float]:
    """Scale of each target, mm, and slope: those of which normal errors would be likeliest."""
    finite = np.isfinite(errors)
    squares = np.where(finite, errors, 0.0) ** 2
    weights = np.where(finite, weights, 0.0)
    fits = []
    for slope in _SLOPES if dispersions.any() else _SLOPES[:1]:
        grown = (slope * dispersions) ** 2
        scales = _shrunk(np.maximum(squares - grown, 0), weights, counts)
        variance = scales**2 + grown
        fits.append(((weights * (np.log(variance) + squares / variance)).sum(), slope, scales))
    _, slope, scales = min(fits, key=lambda fit: fit[0])
    return scales, float(slope)


def _shrunk(squares: np.ndarray, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Root mean square of each target, drawn towards that of all; shape (targets,)."""
    sums, shares = (weights * squares).sum(axis=0), weights.sum(axis=0)
    common = sums.sum() / max(shares.sum(), _TINY)
    mean = sums / np.maximum(shares, _TINY)
    shrunk = (counts * mean + SHRINKAGE * common) / (counts + SHRINKAGE)
    return np.sqrt(np.maximum(shrunk, FLOOR_MM**2))


def _pooled(
    scores: np.ndarray, weights: np.ndarray, kind: np.ndarray, n: int, level: float
) -> float:
    """Quantile of the scores with one more participant, at least that of each kind of image."""
    if not enough(n, level):
        return math.inf
    found = [_quantile(scores, weights, level * (n + 1) / n)]
    found += [_quantile(scores[kind == one], weights[kind == one], level) for one in set(kind)]
    return max(found)


def _quantile(scores: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Smallest score up to which at least the share `level` of the weights lies."""
    given = weights > 0
    order = np.argsort(scores[given])
    below = np.cumsum(weights[given][order])
    rank = int(np.searchsorted(below, (level - _TINY) * below[-1]))
    return float(scores[given][order][min(rank, len(order) - 1)])
