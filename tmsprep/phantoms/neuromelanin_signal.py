"""The template's head as a FLASH scan sees it: what the rods of a phantom are painted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import spline_filter

from tmsprep.phantoms.anatomy import head_template

# T1 in s of white matter, grey matter and fluid at 3 T. Wansapura et al. 1999, J Magn Reson
# Imaging 9:531-538 (0.832 and 1.331); fluid about 4 s, a common value.
_T1 = {'white': 0.832, 'grey': 1.331, 'fluid': 4.0}

# Share of water in each, a common textbook value.
_WATER = {'white': 0.70, 'grey': 0.82, 'fluid': 1.0}

# Repetition time in s and flip angle in degrees: a 3D FLASH like that of Betts et al. 2017,
# NeuroImage 163:150-159 (T1-weighted, 3 T, 0.75 mm isotropic); these two values are our choice.
_TR, _FLIP = 0.020, 23.0

# Where the phantom head has fluid, grey and white matter (see phantoms/anatomy.py).
_HEAD = (0.18, 0.69, 1.0)

# Ball in the middle of the pons of the template whose mean is the reference. Our choice, seen on
# the template: centre (mm, RAS+) and radius.
PONS_CENTRE, PONS_RADIUS = np.array([0.0, -26.0, -29.0]), 5.0


@dataclass(frozen=True, eq=False)
class Tissue:
    """A head without nuclei and vessels, in the frame of the template.

    Parameters
    ----------
    coefficients : numpy.ndarray
        Cubic spline coefficients of the signal, white matter = 1, float32, shape (n, m, k).
    affine : numpy.ndarray
        Shape (4, 4), mm, RAS+ of the template.
    pons : float
        Mean signal in the ball `PONS_CENTRE`, `PONS_RADIUS`.
    """

    coefficients: np.ndarray
    affine: np.ndarray
    pons: float


@lru_cache(maxsize=1)
def template_tissue() -> Tissue:
    """Give the phantom head FLASH contrast; built once for each process."""
    head = head_template()
    return _tissue(head.t1w, head.affine)


def source_tissue(source: nib.Nifti1Image) -> Tissue:
    """Give a person's T1w FLASH contrast.

    Parameters
    ----------
    source : nibabel.Nifti1Image
        3D T1w that has been registered to MNI152 and resampled there (any voxel size), with or
        without skull. Its pons is scaled to the signal of the template's pons.

    Raises
    ------
    ValueError
        If it is not three-dimensional, or is empty where the template has its pons.
    """
    data = np.asanyarray(source.dataobj, dtype=np.float32)
    if data.ndim != 3:
        raise ValueError(f'the source T1w has {data.ndim} dimensions; give a 3D image')
    if not np.isfinite(data).all():
        raise ValueError('the source T1w holds values that are not finite; clean it first')
    measured = _ball_mean(data, source.affine)
    if not measured > 0:
        raise ValueError(
            'the source T1w is empty at the pons of MNI152 '
            f'({", ".join(f"{v:g}" for v in PONS_CENTRE)} mm); '
            'register it to MNI152 and resample it there first'
        )
    head = head_template()
    scale = _ball_mean(head.t1w, head.affine) / measured
    return _tissue(data * np.float32(scale), source.affine)


def flash(signal: np.ndarray) -> np.ndarray:
    """Change the head's T1w contrast into that of a FLASH scan at 3 T, white matter = 1.

    Fluid, grey and white matter get the steady-state signal of a spoilt gradient echo (Ernst and
    Anderson 1966), ``water sin(a) (1 - E) / (1 - E cos(a))`` with ``E = exp(-TR / T1)``; all else
    lies on straight lines between them, from 0.

    Parameters
    ----------
    signal : numpy.ndarray
        T1w signal, white matter = 1, any shape.
    """
    values = [_steady_state(tissue) for tissue in ('fluid', 'grey', 'white')]
    levels = np.array(values) / values[-1]
    slope = (levels[2] - levels[1]) / (_HEAD[2] - _HEAD[1])
    brightest = 1.3
    return np.interp(
        signal,
        [0, *_HEAD, brightest],
        [0, *levels, 1 + slope * (brightest - 1)],
    ).astype(np.float32)


def _steady_state(tissue: str) -> float:
    angle, decay = np.deg2rad(_FLIP), np.exp(-_TR / _T1[tissue])
    return float(_WATER[tissue] * np.sin(angle) * (1 - decay) / (1 - decay * np.cos(angle)))


def _tissue(t1w: np.ndarray, affine: np.ndarray) -> Tissue:
    seen = flash(t1w)
    coefficients = spline_filter(seen, order=3, output=np.float32)
    return Tissue(coefficients, affine, _ball_mean(seen, affine))


def _ball_mean(volume: np.ndarray, affine: np.ndarray) -> float:
    """Mean over the pons' ball, 0 where the volume does not reach it."""
    centre = apply_affine(np.linalg.inv(affine), PONS_CENTRE)
    reach = PONS_RADIUS / nib.affines.voxel_sizes(affine).min() + 1
    low = np.floor(centre - reach).astype(int)
    high = np.ceil(centre + reach).astype(int) + 1
    if (low < 0).any() or (high > volume.shape).any():
        return 0.0
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing='ij'), -1)
    inside = np.linalg.norm(apply_affine(affine, index) - PONS_CENTRE, axis=-1) <= PONS_RADIUS
    return float(volume[box][inside].mean(dtype=np.float64))
