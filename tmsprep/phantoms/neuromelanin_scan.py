"""The field of view of a neuromelanin scan, and what the scanner spoils."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from tmsprep.phantoms.deformation import BRAIN_CENTRE, SmoothMap
from tmsprep.phantoms.grid import Grid
from tmsprep.phantoms.neuromelanin_anatomy import MIDDLE
from tmsprep.phantoms.scanner import add_rician_noise, coil_sensitivity

COVERAGES = ('whole', 'slab', 'stem')

# Field of view from left to right, back to front and bottom to top, mm: of a head as in
# phantoms/head.py, of a slab as scanned along the brainstem, of the brainstem alone. Our choice.
_FOV = {'whole': (180.0, 240.0, 240.0), 'slab': (180.0, 240.0, 48.0), 'stem': (72.0, 78.0, 54.0)}

# Middle of the field of view seen from the brain's centre ('whole', as in phantoms/head.py) or
# from the middle of the nuclei, and how far it varies; mm, our choice.
_OFFSET = {'whole': (0.0, 13.0, -17.0), 'slab': (0.0, 20.0, 0.0), 'stem': (0.0, 0.0, 0.0)}
_VARIES = {'whole': (2.0, 3.0, 4.0), 'slab': (3.0, 6.0, 6.0), 'stem': (10.0, 10.0, 8.0)}

# A slab is tilted about the x axis by these degrees, so that its slices cut the floor of the
# fourth ventricle at right angles (16 degrees in the template). Our choice.
_SLAB_TILT = (-20.0, -12.0)


@dataclass(frozen=True)
class ScannerFaults:
    """What one scan suffers from.

    Parameters
    ----------
    blur_mm : tuple of float
        Standard deviation of the motion's blur along the axes of the array, mm.
    noise : float
        Standard deviation of the noise in each channel, white matter = 1.
    bias : float
        Strength of the coil field that is left, see `coil_sensitivity`.
    """

    blur_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    bias: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> ScannerFaults:
        """Draw a scan's faults.

        Ranges are our choice: blur to 0.4 mm; noise of 2 to 4.5 %, at which a nucleus of contrast
        1.15 stands 3 to 7 standard deviations above its surroundings in every voxel; a coil field
        as is left after a bias field correction (Dünnwald et al. 2021, 2.1) or a little more.
        """
        blur = tuple(round(v, 4) for v in rng.uniform(0, 0.4, 3).tolist())
        return cls(blur, rng.uniform(0.02, 0.045), rng.uniform(0.03, 0.12))


def lay_grid(mapping: SmoothMap, coverage: str, voxel_mm: float, rng: np.random.Generator) -> Grid:
    """Lay the field of view of one scan over a person.

    Parameters
    ----------
    mapping : SmoothMap
        From the template to the person.
    coverage : str
        One of `COVERAGES`.
    voxel_mm : float
        Edge of the voxels, mm.
    rng : numpy.random.Generator
        Draws where the middle lies and how a slab is tilted.
    """
    anchor = BRAIN_CENTRE if coverage == 'whole' else MIDDLE * [0, 1, 1]
    shift, tilt = rng.uniform(-1, 1, 3), rng.uniform(*_SLAB_TILT)
    oblique = (tilt if coverage == 'slab' else 0.0, 0.0, 0.0)
    offset = np.array(_OFFSET[coverage]) + shift * _VARIES[coverage]
    turned = Rotation.from_euler('xyz', oblique, degrees=True).apply(offset)
    centre = mapping.forward(anchor[None])[0] + turned
    return Grid.around(centre, fov=_FOV[coverage], voxel_size=(voxel_mm,) * 3, oblique=oblique)


def apply_faults(
    signal: np.ndarray,
    grid: Grid,
    mapping: SmoothMap,
    faults: ScannerFaults,
    rng: np.random.Generator,
) -> np.ndarray:
    """Blur a signal, multiply it by the coil field, and add noise.

    Parameters
    ----------
    signal : numpy.ndarray
        Shape `grid.shape`, white matter = 1.
    grid : Grid
        Of the scan.
    mapping : SmoothMap
        From the template to the person: the coil is centred on the brain.
    faults : ScannerFaults
        How much of each; 0 is none.
    rng : numpy.random.Generator
        Draws the coil field and the noise.

    Returns
    -------
    numpy.ndarray
        Shape `grid.shape`, float32.
    """
    sizes = nib.affines.voxel_sizes(grid.affine)
    seen = gaussian_filter(signal, np.array(faults.blur_mm) / sizes)
    if faults.bias > 0:
        centre = mapping.forward(BRAIN_CENTRE[None])[0]
        seen *= coil_sensitivity(grid, centre, rng, strength=faults.bias)
    return add_rician_noise(seen, rng, deviation=faults.noise) if faults.noise > 0 else seen
