"""The grid of finer voxels that masks are drawn on, and all masks of one person."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.phantoms.deformation import SmoothMap
from tmsprep.phantoms.grid import Grid
from tmsprep.phantoms.neuromelanin_anatomy import MIDDLE, Nucleus
from tmsprep.phantoms.neuromelanin_raters import RATERS, draw_masks

# Edge of the box in which masks are drawn, mm. Our choice.
_MASK_BOX = 54.0


def draw_all_masks(
    nuclei: tuple[Nucleus | None, ...], grid: Grid, mapping: SmoothMap, seed: int
) -> tuple[nib.Nifti1Image, tuple[nib.Nifti1Image, nib.Nifti1Image]]:
    """Draw the true masks and those of the two raters.

    Parameters
    ----------
    nuclei : tuple of Nucleus or None
        Left and right, labels 1 and 2.
    grid : Grid
        Of the scan.
    mapping : SmoothMap
        From the template to the person: the box lies around the template's nuclei.
    seed : int
        Of the raters' errors.

    Returns
    -------
    tuple
        Truth, and the masks of both raters, uint8, on the same grid of half the voxel size.
    """
    shape, affine = _mask_grid(grid, mapping)
    truth = np.zeros(shape, np.uint8)
    for value, nucleus in enumerate(nuclei, start=1):
        if nucleus is not None:
            nucleus.rod.label(truth, affine, value)
    drawn = [
        draw_masks(nuclei, rater, np.random.default_rng([seed, 14, i]), shape=shape, affine=affine)
        for i, rater in enumerate(RATERS)
    ]
    return nifti(truth, affine), (nifti(drawn[0], affine), nifti(drawn[1], affine))


def _mask_grid(grid: Grid, mapping: SmoothMap) -> tuple[tuple[int, ...], np.ndarray]:
    """Box around the nuclei at half the voxel size, its first voxel on one of the image's."""
    middle = mapping.forward((MIDDLE * [0, 1, 1])[None])[0]
    centre = apply_affine(np.linalg.inv(grid.affine), middle)
    reach = _MASK_BOX / 2 / nib.affines.voxel_sizes(grid.affine)
    low = np.floor(centre - reach).astype(int).clip(0, None)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, grid.shape)
    affine = grid.affine.copy()
    affine[:3, 3] = apply_affine(grid.affine, low)
    affine[:3, :3] /= 2
    return tuple(((high - low) * 2).tolist()), affine


def nifti(data: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """Make an image whose qform and sform are the same scanner frame.

    Parameters
    ----------
    data : numpy.ndarray
        Shape (n, m, k).
    affine : numpy.ndarray
        Shape (4, 4), mm, RAS+.
    """
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units('mm', 'sec')
    return image
