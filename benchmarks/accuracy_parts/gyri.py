"""Points against the labels of gyri: in the right one or not, and how far from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import map_coordinates

from tmsprep.gyri.crown import crown_level, height_depth, hull_depth
from tmsprep.gyri.labels import NAMES, class_lookup
from tmsprep.imaging.read import load_nifti
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, Target, load_protocol

from default_data import target_gyri

#: A point that is no further from its gyrus counts as near it: a voxel of the training images.
NEAR_MM = 2.0

#: Gyri in which targets lie.
MEASURED = target_gyri(load_protocol('tms'))

#: First number of the cortex in the Neuromorphometrics protocol: odd numbers are left.
FIRST_CORTEX = 100

#: Numbers from here on are brain.
_FIRST_BRAIN = 2

#: The crown of a gyrus is the outermost tenth of it around a point: standard deviation of the
#: kernel, and distance at which it is cut off, mm.
_CROWN_MM, _CROWN_REACH_MM = 10.0, 25.0

#: Gyri inside the Sylvian fissure, whose crowns face upwards instead of the hull of the brain.
_FACING_UP = ('transverse temporal gyrus',)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of gyri on a grid of voxels.

    Parameters
    ----------
    codes : numpy.ndarray
        Shape (a, b, c), uint8, numbers of the Neuromorphometrics protocol.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+, without shear.
    """

    codes: np.ndarray
    affine: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Labels:
        """Read a parcellation."""
        image = load_nifti(path)
        assert isinstance(image, nib.Nifti1Image)
        return cls(np.asanyarray(image.dataobj).astype(np.uint8), image.affine)

    def mask(self, gyrus: str, side: str) -> np.ndarray:
        """Voxels of one gyrus in one hemisphere ('L' or 'R'); boolean, the shape of `codes`."""
        return (class_lookup(side) == NAMES.index(gyrus))[self.codes]

    def centres(self, gyrus: str, side: str) -> np.ndarray:
        """Centres of the voxels of `mask`, shape (n, 3), mm, RAS+."""
        key = gyrus, side
        if key not in self._centres:
            self._centres[key] = apply_affine(self.affine, np.argwhere(self.mask(gyrus, side)))
        return self._centres[key]

    @cached_property
    def _centres(self) -> dict[tuple[str, str], np.ndarray]:
        """Found once for the points of all methods."""
        return {}

    @cached_property
    def coarse(self) -> Labels:
        """Every nth voxel, so that they are about 2 mm apart: enough for a smooth hull."""
        steps = np.maximum(np.rint(2 / voxel_sizes(self.affine)), 1).astype(int)
        i, j, k = steps.tolist()
        return Labels(self.codes[::i, ::j, ::k], self.affine @ np.diag([i, j, k, 1.0]))

    @cached_property
    def hull_depth(self) -> np.ndarray:
        """Depth of each voxel below the hull of the brain, mm."""
        return hull_depth(self.codes >= _FIRST_BRAIN, self.affine)

    def depth_mm(self, place: np.ndarray, target: Target, up: np.ndarray) -> float:
        """Depth of a place below the crown of a target's gyrus around it, by the labels alone.

        Parameters
        ----------
        place, up : numpy.ndarray
            Shape (3,), mm, RAS+: the place, and the direction from the feet to the head.
        target : Target
            It should lie in the gyrus.

        Returns
        -------
        float
            mm, negative above the crown; NaN without a gyrus there.
        """
        gyrus = target.gyrus
        coarse = self.coarse
        places = coarse.centres(gyrus, target.hemisphere)
        near = np.linalg.norm(places - place, axis=1) < _CROWN_REACH_MM
        if not near.any():
            return np.nan
        depth = coarse.hull_depth
        if gyrus in _FACING_UP:
            depth = height_depth(coarse.codes.shape, coarse.affine, up)
        voxels = np.rint(apply_affine(np.linalg.inv(coarse.affine), places[near])).astype(int)
        depths = depth[tuple(voxels.T)]
        level = crown_level(places[near], np.ones(len(depths)), depths, place, _CROWN_MM)
        index = apply_affine(np.linalg.inv(coarse.affine), place)[:, None]
        return float(map_coordinates(depth, index, order=1, mode='nearest')[0] - level)

    def code_at(self, place: np.ndarray) -> int:
        """Return the number of the voxel that holds a place (mm, RAS+); 0 outside the image."""
        index = np.floor(apply_affine(np.linalg.inv(self.affine), place) + 0.5).astype(int)
        inside = ((index >= 0) & (index < self.codes.shape)).all()
        return int(self.codes[tuple(index)]) if inside else 0


def words_of(code: int) -> str:
    """Side and class of a number of the protocol.

    >>> words_of(182), words_of(183), words_of(44)
    ('right precentral gyrus', 'left precentral gyrus', 'white matter')
    """
    side, word = ('L', 'left') if code % 2 else ('R', 'right')
    name = NAMES[class_lookup(side)[code]]
    return f'{word} {name}' if code >= FIRST_CORTEX else name


def distance_mm(place: np.ndarray, centres: np.ndarray) -> float:
    """Distance of a place from the nearest of a set of voxels, from centre to centre.

    Parameters
    ----------
    place : numpy.ndarray
        Shape (3,), mm, RAS+.
    centres : numpy.ndarray
        Shape (n, 3), mm, RAS+: of the voxels.

    Returns
    -------
    float
        mm; NaN if the place is missing or the set empty. In a voxel of 2 mm that belongs to the
        set it is 1.7 mm at most.

    Examples
    --------
    >>> distance_mm(np.array([3.0, 0, 4]), np.array([[0.0, 0, 0], [9, 0, 4]]))
    5.0
    """
    if not len(centres) or not np.isfinite(place).all():
        return np.nan
    return float(np.linalg.norm(centres - place, axis=1).min())


def against_labels(
    points: PointSet, labels: Labels, protocol: Protocol, up: np.ndarray
) -> pd.DataFrame:
    """Compare points with the labels of their gyri.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    labels : Labels
        Of the same head.
    protocol : Protocol
        The targets.
    up : numpy.ndarray
        Shape (3,), RAS+: direction from the feet to the head.

    Returns
    -------
    pandas.DataFrame
        One row per target: `label`; `gyrus_mm`, see `distance_mm`; `inside`, whether the voxel
        that holds the point belongs to the gyrus (0 or 1); `depth_mm`, see `Labels.depth_mm`;
        all NaN without a point or a gyrus; and `lies_in`, the class of that voxel in words.
    """
    rows = []
    for target in protocol.targets:
        place = points[target.label]
        away = distance_mm(place, labels.centres(target.gyrus, target.hemisphere))
        code = labels.code_at(place) if np.isfinite(away) else 0
        own = class_lookup(target.hemisphere)[code] == NAMES.index(target.gyrus)
        rows.append(
            {
                'label': target.label,
                'gyrus_mm': away,
                'inside': float(own) if np.isfinite(away) else np.nan,
                'depth_mm': np.nan if np.isnan(away) else labels.depth_mm(place, target, up),
                'lies_in': words_of(code) if np.isfinite(away) else 'n/a',
            }
        )
    return pd.DataFrame(rows)


def box_of(affine: np.ndarray, shape: tuple[int, ...], labels: Labels) -> tuple[slice, ...]:
    """Voxels of the labels around a grid.

    Parameters
    ----------
    affine : numpy.ndarray
        Shape (4, 4), voxel indices of the grid to mm, RAS+.
    shape : tuple of int
        Of the grid.
    labels : Labels
        On another grid.

    Returns
    -------
    tuple of slice
        Into `Labels.codes`.
    """
    corners = np.array(list(product(*((0, n - 1) for n in shape))))
    index = apply_affine(np.linalg.inv(labels.affine) @ affine, corners)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, labels.codes.shape)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, labels.codes.shape)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def voxel_centres(box: tuple[slice, ...], affine: np.ndarray) -> np.ndarray:
    """Centres of the voxels of a box, mm, RAS+; shape (a, b, c, 3)."""
    ranges = [np.arange(one.start, one.stop) for one in box]
    return apply_affine(affine, np.stack(np.meshgrid(*ranges, indexing='ij'), axis=-1))
