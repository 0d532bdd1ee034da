"""Probabilities of the gyri in both hemispheres of one image, on the grids of `frame`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from tmsprep.atomic import atomic_path
from tmsprep.gyri.crown import CLOSING_MM, height_depth, hull_depth
from tmsprep.gyri.frame import SHAPE, SIDES, VOXEL_MM
from tmsprep.gyri.labels import CLASSES, NAMES, OUTSIDE
from tmsprep.gyri.limits import Limits

#: Probabilities are kept with 8 bits.
_STEPS = 255


@dataclass(frozen=True, eq=False)
class Parcellation:
    """Probabilities of the classes in both hemispheres of one image.

    Parameters
    ----------
    probabilities : mapping
        Side ('L', 'R') to an array of shape (classes, 40, 64, 64), float32.
    affines : mapping
        Side to the affine, shape (4, 4), from voxel indices to scanner mm, RAS+.
    limits : Limits
        Of the network.
    """

    probabilities: Mapping[str, np.ndarray]
    affines: Mapping[str, np.ndarray]
    limits: Limits = field(default_factory=Limits)

    def at(self, side: str, places: np.ndarray) -> np.ndarray:
        """Interpolate the probabilities at places.

        Parameters
        ----------
        side : str
            Hemisphere from which the places are seen: 'L' or 'R'.
        places : numpy.ndarray
            Shape (n, 3), mm, RAS+, scanner frame.

        Returns
        -------
        numpy.ndarray
            Shape (n, classes); NaN outside the grid.
        """
        index = apply_affine(np.linalg.inv(self.affines[side]), places).T
        maps = [
            map_coordinates(one, index, order=1, mode='constant', cval=np.nan)
            for one in self.probabilities[side]
        ]
        return np.stack(maps, axis=1)

    @cached_property
    def hull_depths(self) -> dict[str, np.ndarray]:
        """Side to the depth of each voxel below the hull of the brain, mm; see `hull_depth`."""
        outside = NAMES.index(OUTSIDE)
        margin = int(np.ceil(CLOSING_MM / VOXEL_MM))
        inner = tuple(slice(margin, margin + n) for n in SHAPE)
        depths = {}
        for side in SIDES:
            # The brain goes on where the grid ends, so that its border is no surface.
            brain = np.pad(self.probabilities[side][outside] < 0.5, margin, mode='edge')
            depths[side] = hull_depth(brain, self.affines[side])[inner]
        return depths

    def height_depths(self, side: str) -> np.ndarray:
        """Depth of each voxel against the upward direction of the head, mm; see `height_depth`."""
        affine = self.affines[side]
        return height_depth(SHAPE, affine, affine[:3, 2])

    def save(self, path: Path) -> Path:
        """Write as one file, probabilities with 8 bits, not compressed, which is faster."""
        content: dict[str, Any] = {
            **{side: _in_steps(self.probabilities[side]) for side in SIDES},
            **{f'affine_{side}': self.affines[side] for side in SIDES},
            'limits': np.array(json.dumps(asdict(self.limits))),
        }
        with atomic_path(path) as partial, partial.open('wb') as file:
            np.savez(file, **content)
        return path

    @classmethod
    def load(cls, path: Path) -> Parcellation:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is missing, damaged or something else; the message names it.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                shares = {side: content[side].astype(np.float32) / _STEPS for side in SIDES}
                affines = {side: content[f'affine_{side}'] for side in SIDES}
                limits = Limits(**json.loads(str(content['limits'])))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f'{path}: damaged ({error}); start the command again') from error
        shape = (len(CLASSES), *SHAPE)
        if any(shares[side].shape != shape or affines[side].shape != (4, 4) for side in SIDES):
            raise ValueError(f'{path}: damaged (its parts do not fit); start the command again')
        return cls(shares, affines, limits)


def _in_steps(shares: np.ndarray) -> np.ndarray:
    steps = shares * np.float32(_STEPS)
    return np.rint(steps, out=steps).astype(np.uint8)
