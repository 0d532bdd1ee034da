"""Neuromelanin-sensitive scans in which both loci coerulei are known exactly."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from tmsprep.phantoms.deformation import SmoothMap, random_map
from tmsprep.phantoms.grid import Grid, sample, template_places
from tmsprep.phantoms.neuromelanin_anatomy import LABELS, Nucleus, draw_nuclei
from tmsprep.phantoms.neuromelanin_distractors import draw_distractors
from tmsprep.phantoms.neuromelanin_masks import draw_all_masks, nifti
from tmsprep.phantoms.neuromelanin_scan import COVERAGES, ScannerFaults, apply_faults, lay_grid
from tmsprep.phantoms.neuromelanin_signal import Tissue, source_tissue, template_tissue
from tmsprep.points import PointSet

# Signal of white matter in the stored image. Our choice.
WHITE_MATTER = 1000


@dataclass(frozen=True, eq=False)
class NeuromelaninPhantom:
    """A simulated scan and what is known about it.

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
        `image`: voxel (0, 0, 0) of the box lies on a voxel of `image`, as a sinc-upsampled image
        has it.
    raters : tuple of nibabel.Nifti1Image
        What two raters draw, on the grid of `truth`.
    parameters : Mapping
        What was drawn, to be stored as JSON: contrast, length_mm and thickness_mm of both sides
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
    """Scan the brainstem of a simulated person.

    The template's head (or `source`) in FLASH contrast is deformed by `random_map`; rods are
    painted where its loci coerulei are, and other bright structures elsewhere. Anatomy depends on
    `seed` alone: coverage and voxel size change the array, not the world.

    Parameters
    ----------
    seed : int
        Which person and scan, and the raters' errors.
    coverage : str
        'whole': a head; 'slab': the head's width, 48 mm thick, oblique; 'stem': 72 x 78 x 54 mm
        around the brainstem.
    voxel_mm : float
        Edge of the voxels, mm; masks are drawn on voxels of half that size. 0.75 and 0.375 mm in
        Betts et al. 2017 and Dünnwald et al. 2021, 2.1.
    source : nibabel.Nifti1Image, optional
        T1w of a person, registered to MNI152 and resampled there, instead of the template.
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
    tissue = template_tissue() if source is None else source_tissue(source)
    mapping = random_map(seed)
    nuclei = draw_nuclei(mapping, np.random.default_rng([seed, 11]))
    scan_rng = np.random.default_rng([seed, 12])
    grid = lay_grid(mapping, coverage, voxel_mm, scan_rng)
    faults = ScannerFaults.draw(scan_rng)
    faults = ScannerFaults() if clean else faults
    signal = _signal(tissue, mapping, grid, nuclei, np.random.default_rng([seed, 13]))
    image = apply_faults(signal, grid, mapping, faults, scan_rng)
    truth, raters = draw_all_masks(nuclei, grid, mapping, seed)
    return NeuromelaninPhantom(
        image=nifti(np.round(WHITE_MATTER * image).clip(0, 32767).astype(np.int16), grid.affine),
        points=_points(nuclei),
        truth=truth,
        raters=raters,
        parameters=_parameters(nuclei, tissue, faults),
    )


def _signal(
    tissue: Tissue,
    mapping: SmoothMap,
    grid: Grid,
    nuclei: tuple[Nucleus | None, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Signal without the scanner's faults, white matter = 1, float32."""
    places = template_places(mapping, grid)
    signal = np.maximum(sample(tissue.coefficients, tissue.affine, places), 0)
    for rod, level in draw_distractors(mapping, rng):
        rod.paint(signal, grid.affine, level * tissue.pons)
    for nucleus in nuclei:
        if nucleus is not None:
            nucleus.rod.paint(signal, grid.affine, nucleus.contrast * tissue.pons)
    return signal


def _points(nuclei: tuple[Nucleus | None, ...]) -> PointSet:
    missing = np.full(3, np.nan)
    rows = [missing if n is None else n.rod.centroid for n in nuclei]
    return PointSet(LABELS, np.array(rows))


def _parameters(
    nuclei: tuple[Nucleus | None, ...], tissue: Tissue, faults: ScannerFaults
) -> dict[str, object]:
    found: dict[str, object] = {}
    for label, nucleus in zip(LABELS, nuclei, strict=True):
        for name in ('contrast', 'length', 'thickness'):
            value = None if nucleus is None else round(getattr(nucleus, name), 4)
            found[f'{label}_{name}' + ('' if name == 'contrast' else '_mm')] = value
    return found | {
        'pons_signal': round(WHITE_MATTER * tissue.pons, 2),
        'blur_mm': list(faults.blur_mm),
        'noise': round(faults.noise, 4),
        'bias': round(faults.bias, 4),
    }


if __name__ == '__main__':
    from tmsprep.phantoms.neuromelanin_command import main

    sys.exit(main())
