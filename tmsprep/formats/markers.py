"""A target as files for neuronavigators hold it, and the comparison of such files with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tmsprep.formats.parsing import PointsFileError

#: Largest difference between a number and what is read back from a file, in mm, and in the axes of
#: a pose, which have length 1.
TOLERANCE_MM = 0.001


def _missing() -> np.ndarray:
    return np.full(3, np.nan)


@dataclass(frozen=True, eq=False)
class Marker:
    """One target, with what is known of it, in mm, RAS+, in the scanner frame of its image.

    Parameters
    ----------
    label : str
        Name of the target in tables.
    target : numpy.ndarray
        Shape (3,), the point in the brain; NaN if it is missing or must not be used.
    name : str
        The target in words.
    entry : numpy.ndarray
        Shape (3,), the point on the scalp; NaN if it is not known.
    pose : numpy.ndarray or None
        Shape (4, 4), the coil in SimNIBS's convention: columns x, y (along the handle), z (into
        the head) and the centre of the coil. None if it is not known.
    status : str
        As in the table that the point is from.
    radius_mm : float
        Of the ball that holds 90 % of errors; NaN if it is not known.
    method : str
        Title of the method, rater or reviewer that gave the point.
    warning : str
        What is doubtful about the point, in one or two words that become part of its name in
        every file; '' for nothing.
    reason : str
        Why this point, or why there is none.
    no_entry : str
        Why there is no entry, if that is known.
    """

    label: str
    target: np.ndarray = field(default_factory=_missing)
    name: str = ''
    entry: np.ndarray = field(default_factory=_missing)
    pose: np.ndarray | None = None
    status: str = ''
    radius_mm: float = math.nan
    method: str = ''
    warning: str = ''
    reason: str = ''
    no_entry: str = ''

    @property
    def found(self) -> bool:
        """Whether there is a point."""
        return bool(np.isfinite(self.target).all())

    @property
    def has_entry(self) -> bool:
        """Whether the point on the scalp is known."""
        return self.found and bool(np.isfinite(self.entry).all())

    @property
    def has_pose(self) -> bool:
        """Whether a pose of the coil is known."""
        return self.found and self.pose is not None

    @property
    def axes(self) -> np.ndarray | None:
        """The axes of the pose as columns, shape (3, 3); None if it is not known."""
        return None if self.pose is None else self.pose[:3, :3]

    @property
    def title(self) -> str:
        """Name in files: the label, and the warning if there is one.

        >>> Marker('LDLPFC', warning='near_edge').title
        'LDLPFC (check: near_edge)'
        """
        return f'{self.label} (check: {self.warning})' if self.warning else self.label

    @property
    def description(self) -> str:
        """What is known of the point, in one line."""
        if not self.found:
            return f'{self.name or self.label}: no point. {self.reason}'.strip()
        radius = '' if math.isnan(self.radius_mm) else f'90 % radius {self.radius_mm:.1f} mm'
        parts = (self.name, self.method, f'status {self.status}' if self.status else '', radius)
        return '; '.join(part for part in parts if part)


def largest_difference(
    expected: Sequence[Marker], found: Sequence[Marker], holds: Sequence[str]
) -> float:
    """Compare markers with what was read back from a file.

    Parameters
    ----------
    expected : sequence of Marker
        What the file should hold.
    found : sequence of Marker
        What it holds; a label there is a title here.
    holds : sequence of str
        What the format holds of each: 'target', 'entry', 'pose', or 'axes' of the pose alone.

    Returns
    -------
    float
        Largest difference of a number in mm, or of an axis; inf if one is missing on one side.

    Raises
    ------
    PointsFileError
        If the file holds other names.
    """
    titles = [marker.title for marker in expected]
    if [marker.label for marker in found] != titles:
        names = ', '.join(marker.label for marker in found) or 'none'
        raise PointsFileError(f'holds the targets {names}, not {", ".join(titles) or "none"}')
    return max(
        (
            _difference(getattr(one, what), getattr(other, what))
            for one, other in zip(expected, found, strict=True)
            for what in holds
        ),
        default=0.0,
    )


def _difference(one: np.ndarray | None, other: np.ndarray | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return math.inf
    finite = np.isfinite(one)
    return float(np.abs(one[finite] - other[finite]).max(initial=0.0))
