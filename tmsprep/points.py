"""Named points in millimetres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine


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

    Examples
    --------
    >>> points = PointSet(('LOFC', 'ROFC'), [[-30, 36, -14], [np.nan, np.nan, np.nan]])
    >>> points['LOFC']
    array([-30.,  36., -14.])
    >>> points.found
    array([ True, False])
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
        """Build from coordinates by name; `labels` sets the order, other names are missing.

        >>> PointSet.from_mapping({'ROFC': (29, 37, -13)}, ['LOFC', 'ROFC']).coordinates
        array([[ nan,  nan,  nan],
               [ 29.,  37., -13.]])
        """
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

    @property
    def found(self) -> np.ndarray:
        """Which points are not missing: boolean, shape (n,)."""
        return np.isfinite(self.coordinates).all(axis=1)

    def reindex(self, labels: Iterable[str]) -> PointSet:
        """Return the points named in `labels`, in that order; new names are missing.

        >>> points = PointSet(('LOFC', 'ROFC'), [[-30, 36, -14], [29, 37, -13]])
        >>> points.reindex(['ROFC', 'LFEF']).coordinates
        array([[ 29.,  37., -13.],
               [ nan,  nan,  nan]])
        """
        order = tuple(labels)
        if order == self.labels:
            return self
        return PointSet.from_mapping(dict(zip(self.labels, self.coordinates, strict=True)), order)

    def distance(self, other: PointSet) -> np.ndarray:
        """Return the distances in mm to the points of the same names, shape (n,), NaN if missing.

        >>> points = PointSet(('LOFC', 'ROFC'), [[-30, 36, -14], [29, 37, -13]])
        >>> points.distance(PointSet(('LOFC',), [[-30, 33, -10]]))
        array([ 5., nan])
        """
        return np.linalg.norm(self.coordinates - other.reindex(self.labels).coordinates, axis=1)

    def transformed(self, affine: np.ndarray) -> PointSet:
        """Return the points moved by an affine, shape (4, 4), mm, RAS+ to RAS+.

        >>> shift = np.eye(4)
        >>> shift[2, 3] = 10
        >>> PointSet(('LOFC',), [[-30, 36, -14]]).transformed(shift).coordinates
        array([[-30.,  36.,  -4.]])
        """
        return PointSet(self.labels, apply_affine(affine, self.coordinates))
