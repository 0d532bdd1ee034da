"""Masks of the loci coerulei: the exact ones, and those of two simulated raters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import gaussian_filter1d

from tmsprep.phantoms.deformation import SmoothMap
from tmsprep.phantoms.neuromelanin.anatomy import MIDDLE, Nucleus, Rod
from tmsprep.phantoms.scanner import Grid, nifti

#: Edge of the box in which masks are drawn, mm.
_MASK_BOX = 54.0

#: Factor by which errors grow as the contrast falls from 1.35 to 1.05: faint nuclei are drawn less
#: reliably.
_FAINT = 1.5

#: Thickness at which the errors of `RATERS` hold, mm; they are proportional to it.
_USUAL_THICKNESS = 2.0

#: Smoothness of the errors along the nucleus, in nodes of the centreline (about 1 mm).
_SMOOTH = 2.0


@dataclass(frozen=True)
class Rater:
    """How a rater draws; all in mm, or a share of the length.

    Parameters
    ----------
    wider : float
        Mean error of the radius.
    unsure : float
        Standard deviation of that error, one value for each nucleus.
    shift : float
        Standard deviation of the position of the whole mask, for each axis.
    wobble : float
        Standard deviation of the position of each slice, smooth from slice to slice.
    missed : float
        Largest share of the length that is not drawn at either end.
    """

    wider: float
    unsure: float
    shift: float
    wobble: float
    missed: float


#: The first draws the core, the second draws generously. Chosen for a mean Dice of about 0.6
#: between them: human raters reach 0.499 to 0.64 (Dünnwald et al. 2021, Introduction), 0.54 to
#: 0.64 in Tona et al. 2017, Brain Struct Funct 222:4203-4217.
RATERS = (
    Rater(wider=-0.05, unsure=0.06, shift=0.14, wobble=0.10, missed=0.20),
    Rater(wider=0.15, unsure=0.10, shift=0.16, wobble=0.12, missed=0.15),
)


def draw_masks(
    nuclei: tuple[Nucleus | None, ...], grid: Grid, mapping: SmoothMap, seed: int
) -> tuple[nib.Nifti1Image, tuple[nib.Nifti1Image, nib.Nifti1Image]]:
    """Draw the exact mask and those of the two raters.

    Parameters
    ----------
    nuclei : tuple of Nucleus or None
        Left and right, labels 1 and 2.
    grid : Grid
        Grid of the scan.
    mapping : SmoothMap
        From the template to the participant; the box lies around the template's nuclei.
    seed : int
        Random seed of the raters' errors.

    Returns
    -------
    truth, raters : tuple
        uint8 images on one grid of half the voxel size.
    """
    shape, affine = _mask_grid(grid, mapping)

    def mask(rods: Iterable[Rod | None]) -> nib.Nifti1Image:
        labels = np.zeros(shape, np.uint8)
        for value, rod in enumerate(rods, start=1):
            if rod is not None:
                rod.label(labels, affine, value)
        return nifti(labels, affine)

    def drawn(number: int) -> nib.Nifti1Image:
        rng = np.random.default_rng([seed, 14, number])
        return mask(None if n is None else _as_drawn(n, RATERS[number], rng) for n in nuclei)

    return mask(None if n is None else n.rod for n in nuclei), (drawn(0), drawn(1))


def _mask_grid(grid: Grid, mapping: SmoothMap) -> tuple[tuple[int, ...], np.ndarray]:
    """Box around the nuclei at half the voxel size, its first voxel on one of the image's."""
    middle = mapping.forward((MIDDLE * [0, 1, 1])[None])[0]
    centre = apply_affine(np.linalg.inv(grid.affine), middle)
    reach = _MASK_BOX / 2 / voxel_sizes(grid.affine)
    low = np.floor(centre - reach).astype(int).clip(0, None)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, grid.shape)
    affine = grid.affine.copy()
    affine[:3, 3] = apply_affine(grid.affine, low)
    affine[:3, :3] /= 2
    return tuple(((high - low) * 2).tolist()), affine


def _as_drawn(nucleus: Nucleus, rater: Rater, rng: np.random.Generator) -> Rod:
    """Return the rod that a rater draws: ends missed, thicker or thinner, shifted and wavy."""
    faint = 1 + (_FAINT - 1) * np.clip((1.35 - nucleus.contrast) / 0.3, 0, 1)
    rod, nodes = nucleus.rod, len(nucleus.rod.line)
    start, end = (rng.uniform(0, rater.missed, 2) * [1, -1] * (nodes - 1) + [0, nodes - 1]).round()
    line, radii = rod.line[int(start) : int(end) + 1], rod.radii[int(start) : int(end) + 1]
    careful = nucleus.thickness / _USUAL_THICKNESS
    shift = rng.normal(0, rater.shift * faint * careful, 3)
    waves = gaussian_filter1d(rng.standard_normal((len(line), 3)), _SMOOTH, axis=0)
    waves *= rater.wobble * faint * careful / waves.std()
    wider = rng.normal(rater.wider, rater.unsure * faint)
    return Rod(line + shift + waves, np.maximum(radii + wider, 0.25))
