"""Radius that holds nine of ten errors in new participants: split conformal prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

#: Share of errors inside the radius.
LEVEL = 0.9

#: Added to the dispersion before scaling, so that members that agree by chance do not promise a
#: perfect point.
FLOOR_MM = 1.0


@dataclass(frozen=True)
class ErrorRadius:
    """Calibration of the distance at which the reference probably lies from a predicted point.

    Split conformal prediction (Vovk et al. 2005, section 4.1; Lei et al. 2018, algorithm 2), with
    scores that are normalised if a floor is given (Papadopoulos et al. 2008). If the participants
    of the calibration and the next one are exchangeable, the radius holds that participant's
    error with a probability of at least `level`. Nothing is promised for images of another kind.

    Parameters
    ----------
    labels : tuple of str
        Targets.
    level : float
        Probability, between 0 and 1.
    quantiles : tuple of float
        Per target; mm, or without unit if scaled. Infinite if too few participants were measured.
    n : tuple of int
        Participants of the calibration per target.
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
        if not len(self.labels) == len(self.quantiles) == len(self.n):
            raise ValueError(
                'a calibration needs one quantile and one number of participants per label'
            )
        if not 0 < self.level < 1:
            raise ValueError(f'the level must lie between 0 and 1, not be {self.level}')
        if not all(quantile >= 0 for quantile in self.quantiles):
            raise ValueError('a quantile of errors cannot be negative or NaN')
        if self.floor_mm is not None and not 0 < self.floor_mm < math.inf:
            raise ValueError(f'floor_mm must be a positive number, not {self.floor_mm}')

    def finite_radii(self, dispersions: Mapping[str, float]) -> dict[str, float]:
        """Radii of the balls around the predicted points of one participant, mm.

        Targets whose radius is infinite, so that nothing is promised, are left out.

        Parameters
        ----------
        dispersions : Mapping
            Target to dispersion of the ensemble in mm, for every predicted target; 0 for a single
            network.
        """
        radii = {
            label: quantile * self._scale(float(dispersions[label]))
            for label, quantile in zip(self.labels, self.quantiles, strict=True)
            if label in dispersions
        }
        return {label: radius for label, radius in radii.items() if math.isfinite(radius)}

    def _scale(self, dispersion_mm: float) -> float:
        return 1.0 if self.floor_mm is None else dispersion_mm + self.floor_mm

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, JSON-ready; an infinite quantile is None."""
        quantiles = [q if math.isfinite(q) else None for q in self.quantiles]
        lists = {'labels': list(self.labels), 'quantiles': quantiles, 'n': list(self.n)}
        return asdict(self) | lists

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ErrorRadius:
        """Read the result of `as_dict`.

        Raises
        ------
        ValueError
            If it is not a calibration.
        """
        try:
            return cls(
                tuple(content['labels']),
                float(content['level']),
                tuple(math.inf if q is None else float(q) for q in content['quantiles']),
                tuple(int(n) for n in content['n']),
                content['floor_mm'],
            )
        except (KeyError, TypeError, ValueError) as error:
            message = f'the calibration of the error radius is unusable: {error}'
            raise ValueError(message) from error


def calibrate(
    errors: np.ndarray,
    dispersions: np.ndarray | None,
    labels: Sequence[str],
    level: float = LEVEL,
    floor_mm: float = FLOOR_MM,
) -> ErrorRadius:
    """Find each target's quantile: the ``ceil((n + 1) level)``-th smallest score.

    Lei et al. 2018, algorithm 2. With fewer than ``level / (1 - level)`` participants there is no
    such score, and the quantile is infinite: 8 are too few for 0.9, 9 are enough.

    Parameters
    ----------
    errors : numpy.ndarray
        Shape (participants, targets), mm: distances from the references, in participants who were
        not trained on. NaN, a missing reference, is left out; infinity is a point that was not
        found.
    dispersions : numpy.ndarray or None
        Same shape, mm: of the ensemble. None: the radius is the same for all participants.
    labels : sequence of str
        Targets.
    level : float
        Share of errors inside the radius.
    floor_mm : float
        Added to the dispersions; not used without them.

    Raises
    ------
    ValueError
        If shapes differ, an error is negative, or an error has no dispersion.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 2 or errors.shape[1] != len(labels):
        raise ValueError(f'errors must be (n, {len(labels)} targets), not {errors.shape}')
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
