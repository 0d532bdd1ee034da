"""A named set of points in millimetres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PointSet:
    """Named points in mm, RAS+, in the scanner frame of one image.

    A missing point is a row of NaN. It is never (0, 0, 0), which is a place in the brain.

    Parameters
    ----------
    labels : tuple of str
        One name per point, unique.
    coordinates : numpy.ndarray
        Shape (n, 3), mm, RAS+. A row is either finite or all NaN.

    Raises
    ------
    ValueError
        If names repeat, the shape is wrong, or a point is known on some axes only.
    """

    labels: tuple[str, ...]
    coordinates: np.ndarray

    def __post_init__(self) -> None:
        labels = tuple(self.labels)
        coordinates = np.array(self.coordinates, dtype=np.float64)
        if len(set(labels)) != len(labels):
            repeated = sorted({label for label in labels if labels.count(label) > 1})
            raise ValueError(f'point names must be unique; repeated: {", ".join(repeated)}')
        if coordinates.shape != (len(labels), 3):
            raise ValueError(
                f'{len(labels)} names need coordinates of shape ({len(labels)}, 3), '
                f'not {coordinates.shape}'
            )
        known = np.isfinite(coordinates)
        if np.any(known.any(axis=1) != known.all(axis=1)) or np.isinf(coordinates).any():
            raise ValueError('a point has three finite coordinates or is missing (all NaN)')
        coordinates.setflags(write=False)
        object.__setattr__(self, 'labels', labels)
        object.__setattr__(self, 'coordinates', coordinates)

    @classmethod
    def from_mapping(
        cls, points: Mapping[str, Iterable[float]], labels: Iterable[str] | None = None
    ) -> PointSet:
        """Build from a name-to-coordinates mapping; `labels` sets the order and adds missing."""
        order = tuple(points) if labels is None else tuple(labels)
        missing = (np.nan,) * 3
        rows = [tuple(points.get(label, missing)) for label in order]
        return cls(order, np.array(rows, dtype=np.float64).reshape(len(order), 3))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, label: str) -> np.ndarray:
        return self.coordinates[self.labels.index(label)]

    def __contains__(self, label: object) -> bool:
        return label in self.labels

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PointSet):
            return NotImplemented
        return self.labels == other.labels and np.array_equal(
            self.coordinates, other.coordinates, equal_nan=True
        )

    __hash__ = None

    @property
    def found(self) -> np.ndarray:
        """Boolean, shape (n,): which points are known."""
        return np.isfinite(self.coordinates).all(axis=1)

    def reindex(self, labels: Iterable[str]) -> PointSet:
        """Return the points named in `labels`, in that order; unknown names become missing."""
        return PointSet.from_mapping(dict(zip(self.labels, self.coordinates, strict=True)), labels)

    def distance(self, other: PointSet) -> np.ndarray:
        """Euclidean distance in mm to the point of the same name, shape (n,), NaN if missing."""
        return np.linalg.norm(self.coordinates - other.reindex(self.labels).coordinates, axis=1)

    def transformed(self, affine: np.ndarray) -> PointSet:
        """Return the points moved by a 4 x 4 matrix acting on RAS+ column vectors."""
        moved = self.coordinates @ affine[:3, :3].T + affine[:3, 3]
        return PointSet(self.labels, moved)
