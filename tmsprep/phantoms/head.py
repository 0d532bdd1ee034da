"""A T1-weighted scan of a head in which the position of every target is known exactly."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter, spline_filter

from tmsprep.phantoms.anatomy import head_template
from tmsprep.phantoms.deformation import BRAIN_CENTRE, SmoothMap, random_map
from tmsprep.phantoms.scanner import (
    WHITE_MATTER,
    Grid,
    add_rician_noise,
    coil_sensitivity,
    nifti,
    sample,
    template_places,
    voxel_blur,
)
from tmsprep.points import PointSet

#: Middle of the field of view relative to the brain's centre, mm, RAS+: the brain lies above and
#: behind it, as in clinical scans that include the face.
FOV_OFFSET = (0.0, 13.0, -17.0)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A phantom head.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        T1-weighted whole head, int16.
    points : PointSet
        The targets, mm, RAS+ of `image`: the atlas points moved by `mapping`.
    brain_mask : nibabel.Nifti1Image
        On the grid of `image`, uint8.
    mapping : SmoothMap
        From the template to the frame of `image`.
    """

    image: nib.Nifti1Image
    points: PointSet
    brain_mask: nib.Nifti1Image
    mapping: SmoothMap


def make_head(
    seed: int,
    *,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    axcodes: str = 'RAS',
    oblique: tuple[float, float, float] = (0.0, 0.0, 0.0),
    fov: tuple[float, float, float] = (180.0, 240.0, 240.0),
    noise: float = 0.015,
    bias: float = 0.15,
) -> Phantom:
    """Scan a phantom head.

    The head is nilearn's bundled MNI152 brain (ICBM 2009a nonlinear symmetric) with a skull,
    scalp, face and neck drawn around it, deformed by `random_map`. Its position in the scanner
    depends on `seed` alone: the parameters of the grid change the array, not the world.

    Parameters
    ----------
    seed : int
        Random seed of deformation, position, coil field and noise.
    voxel_size : tuple of float
        Along the axes of the array, mm.
    axcodes : str
        Directions of the axes of the array, in nibabel's letters.
    oblique : tuple of float
        Rotation of the grid about the scanner's x, y and z axes, degrees.
    fov : tuple of float
        Extent from left to right, back to front and bottom to top, mm.
    noise : float
        Standard deviation of the noise in each channel, white matter = 1.
    bias : float
        Strength of the coil field, see `coil_sensitivity`.

    Raises
    ------
    ValueError
        If a voxel size is not positive or `axcodes` is not an orientation.
    """
    mapping, rng = random_map(seed), np.random.default_rng([seed, 2])
    brain_centre = mapping.forward(BRAIN_CENTRE[None])[0]
    middle = brain_centre + FOV_OFFSET + rng.uniform(-1, 1, 3) * [2, 3, 4]
    grid = Grid.around(middle, fov=fov, voxel_size=voxel_size, axcodes=axcodes, oblique=oblique)
    places = template_places(mapping, grid)
    signal = _scan(places, grid) * coil_sensitivity(grid, brain_centre, rng, strength=bias)
    image = WHITE_MATTER * add_rician_noise(signal, rng, deviation=noise)
    template, atlas = head_template(), atlas_points()
    brain = sample(template.brain, template.affine, places, order=1) > 0.5
    return Phantom(
        image=nifti(np.round(image).astype(np.int16), grid.affine),
        points=PointSet(atlas.labels, mapping.forward(atlas.coordinates)),
        brain_mask=nifti(brain.astype(np.uint8), grid.affine),
        mapping=mapping,
    )


def _scan(places: np.ndarray, grid: Grid) -> np.ndarray:
    """Noise-free signal in each voxel."""
    coefficients = _spline_coefficients(voxel_blur(grid))
    return np.maximum(sample(coefficients, head_template().affine, places), 0)


@lru_cache(maxsize=1)
def _spline_coefficients(blur: tuple[float, float, float]) -> np.ndarray:
    """Coefficients of the blurred head; cached, as the heads of a data set share them."""
    seen = gaussian_filter(head_template().t1w, blur, truncate=3)
    return spline_filter(seen, order=3, output=np.float32)


def atlas_rows() -> list[dict[str, str]]:
    """Rows of the atlas table in the package, text by column name, in protocol order."""
    table = files('tmsprep.data') / 'atlas_targets_MNI152NLin2009aSym.tsv'
    return list(csv.DictReader(table.read_text(encoding='utf-8').splitlines(), delimiter='\t'))


def atlas_points() -> PointSet:
    """Atlas points in mm, RAS+ of the template."""
    return PointSet.from_mapping(
        {row['label']: [float(row[axis]) for axis in 'xyz'] for row in atlas_rows()}
    )
