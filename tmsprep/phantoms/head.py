"""A T1-weighted scan of a head in which every target is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter, spline_filter

from tmsprep.phantoms.anatomy import head_template
from tmsprep.phantoms.atlas_points import atlas_points
from tmsprep.phantoms.deformation import BRAIN_CENTRE, SmoothMap, random_map
from tmsprep.phantoms.grid import Grid, sample, template_places, voxel_blur
from tmsprep.phantoms.scanner import add_rician_noise, coil_sensitivity
from tmsprep.points import PointSet

# Signal of white matter in the stored image. Our choice.
WHITE_MATTER = 1000

# Middle of the field of view seen from the brain's centre: the brain lies above and behind it,
# as in clinical scans that include the face. mm, RAS+, our choice.
_FOV_OFFSET = np.array([0.0, 13.0, -17.0])


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
    scalp, face and neck drawn around it, deformed by `random_map`. Where it lies in the scanner
    depends on `seed` alone: the grid's parameters change the array, not the world.

    Parameters
    ----------
    seed : int
        Which head: deformation, position, coil field and noise.
    voxel_size : tuple of float
        Along the axes of the array, mm.
    axcodes : str
        Where the axes of the array run to, in nibabel's letters.
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
    middle = brain_centre + _FOV_OFFSET + rng.uniform(-1, 1, 3) * [2, 3, 4]
    grid = Grid.around(middle, fov=fov, voxel_size=voxel_size, axcodes=axcodes, oblique=oblique)
    places = template_places(mapping, grid)
    signal = _scan(places, grid) * coil_sensitivity(grid, brain_centre, rng, strength=bias)
    image = WHITE_MATTER * add_rician_noise(signal, rng, deviation=noise)
    template = head_template()
    brain = sample(template.brain, template.affine, places, order=1) > 0.5
    return Phantom(
        image=_nifti(np.round(image).astype(np.int16), grid.affine),
        points=PointSet(atlas_points().labels, mapping.forward(atlas_points().coordinates)),
        brain_mask=_nifti(brain.astype(np.uint8), grid.affine),
        mapping=mapping,
    )


def _scan(places: np.ndarray, grid: Grid) -> np.ndarray:
    """Noise-free signal at each voxel."""
    coefficients = _spline_coefficients(voxel_blur(grid))
    return np.maximum(sample(coefficients, head_template().affine, places), 0)


@lru_cache(maxsize=1)
def _spline_coefficients(blur: tuple[float, float, float]) -> np.ndarray:
    """Of the head seen with larger voxels; kept, as a data set's heads share them."""
    seen = gaussian_filter(head_template().t1w, blur, truncate=3)
    return spline_filter(seen, order=3, output=np.float32)


def _nifti(data: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """Image whose qform and sform are the same scanner frame."""
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units('mm', 'sec')
    return image
