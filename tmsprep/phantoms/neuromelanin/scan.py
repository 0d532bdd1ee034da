"""A FLASH scan of the phantom head with loci coerulei."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import gaussian_filter, spline_filter
from scipy.spatial.transform import Rotation

from tmsprep.phantoms.anatomy import head_template
from tmsprep.phantoms.deformation import BRAIN_CENTRE, SmoothMap, random_map
from tmsprep.phantoms.head import FOV_OFFSET
from tmsprep.phantoms.neuromelanin.anatomy import (
    MIDDLE,
    Nucleus,
    draw_distractors,
    draw_nuclei,
)
from tmsprep.phantoms.neuromelanin.masks import draw_masks
from tmsprep.phantoms.scanner import (
    WHITE_MATTER,
    Grid,
    add_rician_noise,
    coil_sensitivity,
    nifti,
    sample,
    template_places,
)
from tmsprep.points import PointSet

COVERAGES = ('whole', 'slab', 'stem')
_LABELS = ('LLC', 'RLC')

#: Field of view from left to right, back to front and bottom to top, mm; its middle relative to
#: the brain's centre ('whole', as in phantoms/head.py) or to the middle of the nuclei; and the
#: range of that. A slab is scanned along the brainstem.
_FOV = {'whole': (180.0, 240.0, 240.0), 'slab': (180.0, 240.0, 48.0), 'stem': (72.0, 78.0, 54.0)}
_OFFSET = {'whole': FOV_OFFSET, 'slab': (0.0, 20.0, 0.0), 'stem': (0.0, 0.0, 0.0)}
_VARIES = {'whole': (2.0, 3.0, 4.0), 'slab': (3.0, 6.0, 6.0), 'stem': (10.0, 10.0, 8.0)}

#: Rotation of a slab about the x axis, degrees: its slices cut the floor of the fourth ventricle
#: (16 degrees in the template) at right angles.
_SLAB_TILT = (-20.0, -12.0)

#: T1 in s of fluid, grey and white matter at 3 T. Wansapura et al. 1999, J Magn Reson Imaging
#: 9:531-538 (1.331 and 0.832); fluid about 4 s, a common value. Their share of water, common
#: textbook values, and their signal in the phantom head (see phantoms/anatomy.py).
_T1 = np.array([4.0, 1.331, 0.832])
_WATER = np.array([1.0, 0.82, 0.70])
_HEAD = (0.18, 0.69, 1.0)

#: Repetition time in s and flip angle in degrees of a 3D FLASH like that of Betts et al. 2017,
#: NeuroImage 163:150-159 (T1-weighted, 3 T, 0.75 mm isotropic); chosen for these phantoms.
_TR, _FLIP = 0.020, 23.0

#: Ball in the middle of the template's pons whose mean is the reference: centre (mm, RAS+) and
#: radius.
PONS_CENTRE, _PONS_RADIUS = np.array([0.0, -26.0, -29.0]), 5.0


@dataclass(frozen=True, eq=False)
class NeuromelaninPhantom:
    """A simulated scan and its ground truth.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        FLASH-like, int16.
    points : PointSet
        Centres of mass of LLC and RLC, mm, RAS+ of `image`, from their curves; NaN where absent.
        Those of the voxels in `truth` differ by 0.04 mm on average and 0.22 mm at most (157 nuclei
        of seeds 1 to 82), as thin nuclei are only three voxels wide.
    truth : nibabel.Nifti1Image
        uint8, 1 left, 2 right, in a box around the brainstem, voxels half as large as those of
        `image`: voxel (0, 0, 0) of the box coincides with a voxel of `image`, as after sinc
        interpolation.
    raters : tuple of nibabel.Nifti1Image
        Masks of two raters, on the grid of `truth`.
    parameters : Mapping
        Random parameters, to be stored as JSON: contrast, length_mm and thickness_mm of both sides
        (None where absent), pons_signal (in the unit of `image`, before noise and coil field)
        and the scanner's blur_mm, noise and bias.
    """

    image: nib.Nifti1Image
    points: PointSet
    truth: nib.Nifti1Image
    raters: tuple[nib.Nifti1Image, nib.Nifti1Image]
    parameters: Mapping[str, object]


def make_neuromelanin(
    seed: int,
    *,
    coverage: str = 'slab',
    voxel_mm: float = 0.75,
    source: nib.Nifti1Image | None = None,
    clean: bool = False,
) -> NeuromelaninPhantom:
    """Scan the brainstem of a simulated participant.

    The template's head (or `source`) in FLASH contrast is deformed by `random_map`; rods are
    painted where its loci coerulei are, and other bright structures elsewhere. Anatomy depends on
    `seed` alone: coverage and voxel size change the array, not the world.

    Parameters
    ----------
    seed : int
        Random seed of participant, scan and raters' errors.
    coverage : str
        'whole': a head; 'slab': the head's width, 48 mm thick, oblique; 'stem': 72 x 78 x 54 mm
        around the brainstem.
    voxel_mm : float
        Edge of the voxels, mm; masks are drawn on voxels of half that size. 0.75 and 0.375 mm in
        Betts et al. 2017 and Dünnwald et al. 2021, 2.1.
    source : nibabel.Nifti1Image, optional
        T1w, registered to MNI152 and resampled there (any voxel size), with or without skull,
        instead of the template.
    clean : bool
        Leave out noise, coil field and blur.

    Raises
    ------
    ValueError
        If `coverage` is none of the three, a size is not positive, or `source` does not fit.
    """
    if coverage not in COVERAGES:
        raise ValueError(f'coverage must be one of {", ".join(COVERAGES)}, not {coverage!r}')
    if seed < 0 or voxel_mm <= 0:
        raise ValueError('the seed must not be negative, and voxel_mm must be positive')
    tissue = _template_tissue() if source is None else _source_tissue(source)
    mapping = random_map(seed)
    nuclei = draw_nuclei(mapping, np.random.default_rng([seed, 11]))
    rng = np.random.default_rng([seed, 12])
    grid = lay_grid(mapping, coverage, voxel_mm, rng)
    faults = _Faults.draw(rng)
    faults = _Faults() if clean else faults
    signal = tissue.scan(mapping, grid)
    for rod, level in draw_distractors(mapping, np.random.default_rng([seed, 13])):
        rod.paint(signal, grid.affine, level * tissue.pons)
    for nucleus in filter(None, nuclei):
        nucleus.rod.paint(signal, grid.affine, nucleus.contrast * tissue.pons)
    image = WHITE_MATTER * faults.apply(signal, grid, mapping, rng)
    truth, raters = draw_masks(nuclei, grid, mapping, seed)
    points = {
        label: n.rod.centroid for label, n in zip(_LABELS, nuclei, strict=True) if n is not None
    }
    return NeuromelaninPhantom(
        image=nifti(np.round(image).clip(0, 32767).astype(np.int16), grid.affine),
        points=PointSet.from_mapping(points, _LABELS),
        truth=truth,
        raters=raters,
        parameters=_parameters(nuclei, tissue, faults),
    )


def lay_grid(mapping: SmoothMap, coverage: str, voxel_mm: float, rng: np.random.Generator) -> Grid:
    """Place the field of view of one scan.

    Parameters
    ----------
    mapping : SmoothMap
        From the template to the participant.
    coverage : str
        One of `COVERAGES`.
    voxel_mm : float
        Edge of the voxels, mm.
    rng : numpy.random.Generator
        Draws the position of the middle and the tilt of a slab.
    """
    anchor = BRAIN_CENTRE if coverage == 'whole' else MIDDLE * [0, 1, 1]
    shift, tilt = rng.uniform(-1, 1, 3), rng.uniform(*_SLAB_TILT)
    oblique = (tilt if coverage == 'slab' else 0.0, 0.0, 0.0)
    offset = np.array(_OFFSET[coverage]) + shift * _VARIES[coverage]
    turned = Rotation.from_euler('xyz', oblique, degrees=True).apply(offset)
    centre = mapping.forward(anchor[None])[0] + turned
    return Grid.around(centre, fov=_FOV[coverage], voxel_size=(voxel_mm,) * 3, oblique=oblique)


def flash(signal: np.ndarray) -> np.ndarray:
    """Change the head's T1w contrast into that of a FLASH scan at 3 T, white matter = 1.

    Fluid, grey and white matter get the steady-state signal of a spoiled gradient echo (Ernst and
    Anderson 1966), ``water sin(a) (1 - E) / (1 - E cos(a))`` with ``E = exp(-TR / T1)``; other
    signals are interpolated linearly between them, from 0.

    Parameters
    ----------
    signal : numpy.ndarray
        T1w signal, white matter = 1, any shape.
    """
    angle, decay = np.deg2rad(_FLIP), np.exp(-_TR / _T1)
    values = _WATER * np.sin(angle) * (1 - decay) / (1 - decay * np.cos(angle))
    levels = values / values[-1]
    slope = (levels[2] - levels[1]) / (_HEAD[2] - _HEAD[1])
    brightest = 1.3
    return np.interp(
        signal,
        [0, *_HEAD, brightest],
        [0, *levels, 1 + slope * (brightest - 1)],
    ).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Tissue:
    """A head without nuclei and vessels: spline coefficients, affine, and mean of the pons.

    White matter is 1; the affine is mm, RAS+ of the template.
    """

    coefficients: np.ndarray
    affine: np.ndarray
    pons: float

    @classmethod
    def of(cls, t1w: np.ndarray, affine: np.ndarray) -> _Tissue:
        """Give a T1w FLASH contrast."""
        seen = flash(t1w)
        coefficients = spline_filter(seen, order=3, output=np.float32)
        return cls(coefficients, affine, _pons_mean(seen, affine))

    def scan(self, mapping: SmoothMap, grid: Grid) -> np.ndarray:
        """Signal on a grid, float32."""
        places = template_places(mapping, grid)
        return np.maximum(sample(self.coefficients, self.affine, places), 0)


@lru_cache(maxsize=1)
def _template_tissue() -> _Tissue:
    """Give the phantom head FLASH contrast, once per process."""
    head = head_template()
    return _Tissue.of(head.t1w, head.affine)


def _source_tissue(source: nib.Nifti1Image) -> _Tissue:
    """Give a participant's T1w FLASH contrast, its pons scaled to that of the template."""
    data = np.asanyarray(source.dataobj, dtype=np.float32)
    if data.ndim != 3:
        raise ValueError(f'the source T1w has {data.ndim} dimensions; give a 3D image')
    if not np.isfinite(data).all():
        raise ValueError('the source T1w has values that are not finite; clean it first')
    measured = _pons_mean(data, source.affine)
    if not measured > 0:
        raise ValueError(
            'the source T1w is empty at the pons of MNI152 '
            f'({", ".join(f"{v:g}" for v in PONS_CENTRE)} mm); '
            'register it to MNI152 and resample it there first'
        )
    head = head_template()
    scale = _pons_mean(head.t1w, head.affine) / measured
    return _Tissue.of(data * np.float32(scale), source.affine)


def _pons_mean(volume: np.ndarray, affine: np.ndarray) -> float:
    """Mean over the ball in the pons, 0 where the volume does not cover it."""
    centre = apply_affine(np.linalg.inv(affine), PONS_CENTRE)
    reach = _PONS_RADIUS / voxel_sizes(affine).min() + 1
    low = np.floor(centre - reach).astype(int)
    high = np.ceil(centre + reach).astype(int) + 1
    if (low < 0).any() or (high > volume.shape).any():
        return 0.0
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing='ij'), -1)
    inside = np.linalg.norm(apply_affine(affine, index) - PONS_CENTRE, axis=-1) <= _PONS_RADIUS
    return float(volume[box][inside].mean(dtype=np.float64))


@dataclass(frozen=True)
class _Faults:
    """Blur of motion along the axes of the array (SD, mm), noise (SD, white matter = 1), bias."""

    blur_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    bias: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Faults:
        """Draw the faults of one scan.

        At noise of 2 to 4.5 % a nucleus of contrast 1.15 is 3 to 7 standard deviations above its
        surroundings in every voxel. The coil field is what a bias field correction leaves
        (Dünnwald et al. 2021, 2.1) or a little more.
        """
        x, y, z = rng.uniform(0, 0.4, 3).tolist()
        blur = (round(x, 4), round(y, 4), round(z, 4))
        return cls(blur, rng.uniform(0.02, 0.045), rng.uniform(0.03, 0.12))

    def apply(
        self, signal: np.ndarray, grid: Grid, mapping: SmoothMap, rng: np.random.Generator
    ) -> np.ndarray:
        """Blur a signal, multiply it by a coil field centred on the brain, and add noise."""
        seen = gaussian_filter(signal, np.array(self.blur_mm) / voxel_sizes(grid.affine))
        if self.bias > 0:
            centre = mapping.forward(BRAIN_CENTRE[None])[0]
            seen *= coil_sensitivity(grid, centre, rng, strength=self.bias)
        return add_rician_noise(seen, rng, deviation=self.noise) if self.noise > 0 else seen


def _parameters(
    nuclei: tuple[Nucleus | None, ...], tissue: _Tissue, faults: _Faults
) -> dict[str, object]:
    found: dict[str, object] = {}
    for label, nucleus in zip(_LABELS, nuclei, strict=True):
        for name in ('contrast', 'length', 'thickness'):
            value = None if nucleus is None else round(getattr(nucleus, name), 4)
            found[f'{label}_{name}' + ('' if name == 'contrast' else '_mm')] = value
    return found | {
        'pons_signal': round(WHITE_MATTER * tissue.pons, 2),
        'blur_mm': list(faults.blur_mm),
        'noise': round(faults.noise, 4),
        'bias': round(faults.bias, 4),
    }
