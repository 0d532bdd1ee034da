"""The radius that holds nine of ten unseen people's errors: split conformal prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

LEVEL = 0.9
"""Share of errors inside the radius."""

FLOOR_MM = 1.0
"""Added to the dispersion before scaling, so that members that agree by chance do not promise
perfection. Our choice."""


@dataclass(frozen=True)
class ErrorRadius:
    """What is needed to say how far from a predicted point the reference probably lies.

    Split conformal prediction (Vovk et al. 2005, section 4.1; Lei et al. 2018, algorithm 2), with
    scores that are normalised if a floor is given (Papadopoulos et al. 2008). If the people of
    calibration and the next person are exchangeable, the radius holds that person's error with a
    probability of at least `level`. Nothing is promised for images of another kind.

    Parameters
    ----------
    labels : tuple of str
        Targets.
    level : float
        Probability, between 0 and 1.
    quantiles : tuple of float
        Per target; mm, or without unit if scaled. Infinite if too few people were measured.
    n : tuple of int
        People of calibration per target.
    floor_mm : float or None
        If scaled: score = error / (dispersion + floor). None if score = error.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    labels: tuple[str, ...]
    level: float
    quantiles: tuple[float, ...]
    n: tuple[int, ...]
    floor_mm: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'labels', tuple(self.labels))
        object.__setattr__(self, 'quantiles', tuple(float(q) for q in self.quantiles))
        object.__setattr__(self, 'n', tuple(int(n) for n in self.n))
        if not len(self.labels) == len(self.quantiles) == len(self.n):
            raise ValueError('a calibration needs one quantile and one number of people per label')
        if not 0 < self.level < 1:
            raise ValueError(f'the level must lie between 0 and 1, not be {self.level}')
        if not all(quantile >= 0 for quantile in self.quantiles):
            raise ValueError('a quantile of errors cannot be negative or NaN')
        if self.floor_mm is not None and not 0 < self.floor_mm < math.inf:
            raise ValueError(f'floor_mm must be a positive number, not {self.floor_mm}')

    def radius(self, dispersions: np.ndarray | None = None) -> np.ndarray:
        """Radius of the ball around each predicted point.

        Parameters
        ----------
        dispersions : numpy.ndarray, optional
            Shape (..., targets), mm: of the ensemble for this person. Needed if scaled.

        Returns
        -------
        numpy.ndarray
            Shape (targets,), or that of `dispersions` if scaled; mm. Infinite where nothing is
            promised, NaN where the dispersion is.

        Raises
        ------
        ValueError
            If the calibration is scaled by dispersions and none are given.
        """
        quantiles = np.array(self.quantiles, dtype=np.float64)
        if self.floor_mm is None:
            return quantiles
        if dispersions is None:
            raise ValueError('this calibration is scaled by dispersions, which are missing')
        return quantiles * (np.asarray(dispersions, dtype=np.float64) + self.floor_mm)

    def finite_radii(self, dispersions: Mapping[str, float]) -> dict[str, float]:
        """Radii of one person by target, mm, for the predicted targets that have a finite one.

        Parameters
        ----------
        dispersions : Mapping
            Target to dispersion in mm, for every predicted target; 0 for a single network.
        """
        own = np.array([dispersions.get(label, np.nan) for label in self.labels])
        radii = dict(zip(self.labels, self.radius(own).tolist(), strict=True))
        return {k: v for k, v in radii.items() if k in dispersions and math.isfinite(v)}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, JSON-ready; an infinite quantile is None."""
        return {
            'labels': list(self.labels),
            'level': self.level,
            'quantiles': [q if math.isfinite(q) else None for q in self.quantiles],
            'n': list(self.n),
            'floor_mm': self.floor_mm,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ErrorRadius:
        """Take up what `as_dict` gave.

        Raises
        ------
        ValueError
            If it is no calibration.
        """
        try:
            quantiles = [math.inf if q is None else float(q) for q in content['quantiles']]
            return cls(
                tuple(content['labels']),
                float(content['level']),
                tuple(quantiles),
                tuple(content['n']),
                content['floor_mm'],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'the calibration of the error radius is unusable: {error}'
            ) from error


def calibrate(
    errors: np.ndarray,
    dispersions: np.ndarray | None,
    labels: Sequence[str],
    level: float = LEVEL,
    floor_mm: float = FLOOR_MM,
) -> ErrorRadius:
    """Find each target's quantile: the ``ceil((n + 1) level)``-th smallest score.

    Lei et al. 2018, algorithm 2. With fewer than ``level / (1 - level)`` people there is no such
    score, and the quantile is infinite: 8 people are too few for 0.9, 9 are enough.

    Parameters
    ----------
    errors : numpy.ndarray
        Shape (people, targets), mm: distances from the references, of people who were not
        trained on. NaN, a missing reference, is left out; infinity is a point that was not found.
    dispersions : numpy.ndarray or None
        Same shape, mm: of the ensemble. None: the radius is the same for everybody.
    labels : sequence of str
        Targets.
    level : float
        Share of errors inside the radius.
    floor_mm : float
        Added to the dispersions; not used without them.

    Returns
    -------
    ErrorRadius
        To be asked for a new person's radii.

    Raises
    ------
    ValueError
        If shapes differ, an error is negative, or an error has no dispersion.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 2 or errors.shape[1] != len(labels):
        raise ValueError(f'errors must be (people, {len(labels)} targets), not {errors.shape}')
    if (errors < 0).any():
        raise ValueError('an error is a distance and cannot be negative')
    scores = errors if dispersions is None else _normalised(errors, dispersions, floor_mm)
    known = [column[~np.isnan(column)] for column in scores.T]
    return ErrorRadius(
        tuple(labels),
        level,
        tuple(_quantile(column, level) for column in known),
        tuple(len(column) for column in known),
        None if dispersions is None else floor_mm,
    )


def coverage(errors: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Share of the known errors that lie inside the radius.

    Parameters
    ----------
    errors : numpy.ndarray
        Shape (people, targets), mm; NaN is left out.
    radii : numpy.ndarray
        Shape (targets,) or (people, targets), mm; NaN is left out, infinity holds all.

    Returns
    -------
    numpy.ndarray
        Shape (targets,), 0 to 1; NaN where nothing is known.
    """
    errors = np.asarray(errors, dtype=np.float64)
    radii = np.broadcast_to(radii, errors.shape)
    known = ~(np.isnan(errors) | np.isnan(radii))
    inside = np.count_nonzero(known & (errors <= radii), axis=0)
    number = np.count_nonzero(known, axis=0)
    return np.where(number > 0, inside / np.maximum(number, 1), np.nan)


def _normalised(errors: np.ndarray, dispersions: np.ndarray, floor_mm: float) -> np.ndarray:
    dispersions = np.asarray(dispersions, dtype=np.float64)
    if dispersions.shape != errors.shape:
        raise ValueError(f'dispersions are {dispersions.shape}, but errors {errors.shape}')
    # An infinite error is a point that was not found, which has no dispersion either.
    if (np.isfinite(errors) & ~(dispersions >= 0)).any():
        raise ValueError('an error has no dispersion, or a negative one')
    return np.where(np.isinf(errors), np.inf, errors / (dispersions + floor_mm))


def _quantile(scores: np.ndarray, level: float) -> float:
    # As a decimal fraction: in binary, 100 * 0.07 is above 7.
    rank = math.ceil((len(scores) + 1) * Fraction(str(level)))
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])
