"""Regions of a parcellation as landmarks, and the spline from their places in a template.

Codes are those of MUSE: even on the right, and one more on the left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine, from_matvec
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import find_objects

from tmsprep.gyri.crown import hull_depth
from tmsprep.imaging.read import load_nifti
from tmsprep.imaging.similarity import affine_fit

Mapping = Callable[[np.ndarray], np.ndarray]

#: Landmarks of the template: name, and x, y, z in mm.
TABLE = Path(__file__).with_name('region_centroids.tsv')

#: First code of a cortical region: right even, left one more. Those before are deep structures,
#: cerebellum and white matter, with pairs of their own, and the midline.
_CORTEX = 100
_PAIRS = (
    *((23, 30), (31, 32), (36, 37), (38, 39), (40, 41), (47, 48), (49, 50), (51, 52), (55, 56)),
    *((57, 58), (59, 60), (61, 62), (75, 76), (81, 82), (83, 84), (85, 86), (87, 88), (89, 90)),
    *((91, 92), (93, 94)),
)
_OTHER = {**dict(_PAIRS), **{b: a for a, b in _PAIRS}}

#: Cerebrospinal fluid around the brain is labelled by some programs and not by others.
_FLUID = 1

#: A region smaller than this has no reliable centroid, mm^3.
_SMALLEST = 300.0

#: Share of a cortical region that counts as its crown: that nearest to the hull.
_CROWN = 0.2

#: Smoothing of the spline, mm^2 per unit of bending: borders of regions differ between people by
#: a few mm, which the spline should not follow to the point.
SMOOTHING = 1.0

#: Fewest landmarks for a spline.
_FEWEST = 60


@dataclass(frozen=True, eq=False)
class Parcellation:
    """Labels of one brain.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (a, b, c), integer, MUSE codes.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    depth : numpy.ndarray
        Shape (a, b, c), mm below the hull.
    """

    labels: np.ndarray
    affine: np.ndarray
    depth: np.ndarray

    @classmethod
    def make(cls, labels: np.ndarray, affine: np.ndarray) -> Parcellation:
        """Measure the depth, and cut off what lies beyond the brain: every label but the fluid.

        Raises
        ------
        ValueError
            If there is no brain.
        """
        brain = labels > _FLUID
        if not brain.any():
            raise ValueError('the parcellation is empty')
        box = find_objects(brain.astype(np.uint8))[0]
        moved = affine @ from_matvec(np.eye(3), [part.start for part in box])
        return cls(labels[box], moved, hull_depth(brain[box], moved))

    @classmethod
    def read(cls, path: Path) -> Parcellation:
        """Read a label image."""
        image = load_nifti(path)
        return cls.make(np.asanyarray(image.dataobj).astype(np.int16), image.affine)

    def mask(self, codes: tuple[int, ...], *, left: bool) -> np.ndarray:
        """Return the voxels of some regions, given by the codes of the right side."""
        wanted = np.zeros(self.labels.max() + 1, bool)
        known = [code + left for code in codes if code + left < len(wanted)]
        wanted[known] = True
        return wanted[self.labels]


def landmarks(brain: Parcellation) -> dict[str, np.ndarray]:
    """Return the centroids of all regions, and of the crowns of the cortical ones.

    The crowns lie on the surface: without them, points there would be extrapolated.

    Parameters
    ----------
    brain : Parcellation
        Its regions below 300 mm^3 are left out.

    Returns
    -------
    dict
        Name, such as ``183`` or ``183 crown``, to shape (3,), mm, RAS+.
    """
    indices = np.flatnonzero(brain.labels > _FLUID)
    codes = brain.labels.ravel()[indices]
    order = np.argsort(codes, kind='stable')
    places = apply_affine(
        brain.affine, np.column_stack(np.unravel_index(indices[order], brain.labels.shape))
    )
    depths = brain.depth.ravel()[indices[order]]
    known, first = np.unique(codes[order], return_index=True)
    voxel = abs(np.linalg.det(brain.affine[:3, :3]))
    found = {}
    for code, start, end in zip(known, first, [*first[1:], len(order)], strict=True):
        if (end - start) * voxel < _SMALLEST:
            continue
        own, deep = places[start:end], depths[start:end]
        found[str(code)] = own.mean(axis=0)
        if code >= _CORTEX:
            # Voxels of one depth are taken or left together, whatever their order.
            outer = deep <= np.quantile(deep, _CROWN)
            found[f'{code} crown'] = own[outer].mean(axis=0)
    return found


@dataclass(frozen=True, eq=False)
class Frame:
    """The ways between a brain and the template.

    Parameters
    ----------
    spline, affine : callable
        Move points of the template to the brain: shape (n, 3) to (n, 3), mm, RAS+.
    matrix : numpy.ndarray
        Shape (4, 4): the affine from the brain to the template.
    residual_mm : float
        Root mean square of the distances that the affine leaves: about 3 mm for a parcellation as
        it should be.
    """

    spline: Mapping
    affine: Mapping
    matrix: np.ndarray
    residual_mm: float


def fit(brain: Parcellation, template: pd.DataFrame) -> Frame:
    """Fit a thin-plate spline and an affine to the landmarks of the template and of a brain.

    Parameters
    ----------
    brain : Parcellation
        The brain.
    template : pandas.DataFrame
        Landmarks of the template, as `read_landmarks` gives them.

    Raises
    ------
    ValueError
        If fewer than 60 landmarks are in both.
    """
    own = landmarks(brain)
    names = [name for name in template.index if name in own]
    if len(names) < _FEWEST:
        raise ValueError(f'only {len(names)} regions of the template are in the parcellation')
    there, here = template.loc[names].to_numpy(), np.array([own[name] for name in names])
    spline = RBFInterpolator(there, here, kernel='thin_plate_spline', smoothing=SMOOTHING)
    matrix = affine_fit(there, here)
    left = apply_affine(matrix, there) - here
    residual = float(np.sqrt(np.square(left).sum(axis=1).mean()))
    return Frame(spline, partial(apply_affine, matrix), np.linalg.inv(matrix), residual)


def read_landmarks(path: Path = TABLE) -> pd.DataFrame:
    """Read the landmarks of the template: columns x, y, z in mm, RAS+, by name."""
    return pd.read_csv(path, sep='\t', dtype={'region': str}).set_index('region')


def mirrored_code(code: int) -> int:
    """Return the region of the other side; one on the midline is its own."""
    if code >= _CORTEX:
        return code + (1 if code % 2 == 0 else -1)
    return _OTHER.get(code, code)


def mirrored_name(name: str) -> str:
    """Return the landmark of the other side."""
    code, *rest = name.split(' ')
    return ' '.join([str(mirrored_code(int(code))), *rest])


def mean_landmarks(people: list[dict[str, np.ndarray]]) -> pd.DataFrame:
    """Average landmarks of several brains in one template, and of their mirror images.

    Parameters
    ----------
    people : list of dict
        From `landmarks`; only those that all have are kept.
    """
    shared = sorted(set.intersection(*(set(person) for person in people)))
    shared = [name for name in shared if mirrored_name(name) in shared]
    mean = {name: np.mean([person[name] for person in people], axis=0) for name in shared}
    both = {name: (mean[name] + mean[mirrored_name(name)] * [-1, 1, 1]) / 2 for name in shared}
    table = pd.DataFrame.from_dict(both, orient='index', columns=['x', 'y', 'z']).round(2)
    return table.rename_axis('region')


def majority(volumes: list[np.ndarray]) -> np.ndarray:
    """Return the label that most volumes and their mirror images have at each voxel.

    Parameters
    ----------
    volumes : list of numpy.ndarray
        Shape (a, b, c) each, uint8, on one grid that is symmetric about the middle of axis a.

    Returns
    -------
    numpy.ndarray
        Uint8; the smallest of equally frequent labels.
    """
    other = np.array([mirrored_code(code) for code in range(256)], np.int16).astype(np.uint8)
    both = [*volumes, *(other[volume[::-1]] for volume in volumes)]
    best, most = np.zeros_like(volumes[0]), np.zeros(volumes[0].shape, np.uint8)
    for code in np.unique(np.concatenate([np.unique(volume) for volume in both])):
        count = np.zeros_like(most)
        for volume in both:
            count += volume == code
        better = count > most
        best[better], most[better] = code, count[better]
    return best


def parcellation_path(data: Path, name: str) -> Path:
    """Return the parcellation of a participant in the training data."""
    return data / 'derivatives' / 'dlmuse' / name / 'anat' / f'{name}_desc-dlmuse_dseg.nii.gz'
