"""The test images of the localiser of the locus coeruleus, and what it finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from tmsprep.atomic import write_text
from tmsprep.evaluation.conformal import ErrorRadius
from tmsprep.evaluation.masks import dice
from tmsprep.imaging.isotropic import conform_isotropic
from tmsprep.imaging.labels import resample_labels
from tmsprep.imaging.read import load_nifti
from tmsprep.methods.duennwald2021.search import locate_stages
from tmsprep.methods.duennwald2021.two_stages import TwoStages

from coeruleus_simulation.heads import load_heads
from coeruleus_testing.images import Shown, show_head, show_labels, show_phantom, slice_mm
from coeruleus_testing.results import doubts_of, rows_of
from coeruleus_training.sources import (
    COLIN,
    IXI_REPORTED,
    REPORTED,
    cached,
    colin,
    ixi,
    native,
)

#: Kinds of images, with what they are.
KINDS = {
    'second': 'label maps, second simulator',
    'native': 'real heads of up to 1 mm, simulator of the training',
    'ixi': 'real heads of 2 mm, simulator of the training',
    'phantom': 'stem phantoms',
}

#: Label maps, the first of them for reporting (choices were made on those before), and phantoms.
LABEL_MAPS, FIRST_REPORTED, PHANTOMS = 12, 3, 20


@dataclass(frozen=True)
class Case:
    """One test image.

    Parameters
    ----------
    kind : str
        Key of `KINDS`.
    coverage : str
        'whole', 'slab' or 'stem'.
    head : str
        Name.
    seed : int
        Of all that is drawn.
    """

    kind: str
    coverage: str
    head: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the image."""
        return f'{self.kind}_{self.coverage}_{self.head}_{self.seed}'


def reported() -> list[Case]:
    """List the images of the page."""
    maps = [f'head-{number:02d}' for number in range(FIRST_REPORTED, LABEL_MAPS + 1)]
    heads = [*(f'ds000011_{label}_T1w' for label in REPORTED['ds000011']), COLIN]
    return [
        *(Case('second', 'slab', head, 10 * i + j) for i, head in enumerate(maps) for j in (1, 2)),
        *(Case('second', 'whole', head, 10 * i + 5) for i, head in list(enumerate(maps))[::2]),
        *(
            Case('native', coverage, head, 1000 + 10 * i + j)
            for i, head in enumerate(heads)
            for coverage in ('whole', 'slab')
            for j in range(2)
        ),
        *(
            Case('ixi', coverage, f'{i}', 2000 + i)
            for i in range(IXI_REPORTED)
            for coverage in ('whole', 'slab')
        ),
        *(Case('phantom', 'stem', f'{seed}', seed) for seed in range(1, PHANTOMS + 1)),
    ]


def development() -> list[Case]:
    """List the images that choices may be made on."""
    maps = [f'head-{number:02d}' for number in range(1, FIRST_REPORTED)]
    return [
        *(
            Case('second', 'slab', head, 500 + 20 * i + j)
            for i, head in enumerate(maps)
            for j in range(8)
        ),
        *(Case('native', 'slab', 'ds000011_sub-05_T1w', 600 + j) for j in range(10)),
        # Limits that were chosen on slabs alone let wrong points of whole heads through.
        *(
            Case('second', 'whole', head, 700 + 20 * i + j)
            for i, head in enumerate(maps)
            for j in range(6)
        ),
        *(Case('native', 'whole', 'ds000011_sub-05_T1w', 800 + j) for j in range(6)),
    ]


def make(case: Case, data: Path, cache: Path) -> Shown:
    """Simulate one image."""
    if case.kind == 'phantom':
        return show_phantom(case.seed)
    if case.kind == 'second':
        labels = load_nifti(data / 'label_maps' / f'{case.head}.nii.gz')
        numbers = np.asanyarray(labels.dataobj).astype(int)
        return show_labels(numbers, labels.affine, case.coverage, case.seed)
    if case.kind == 'ixi':
        source = ixi(data, 'test', IXI_REPORTED)[int(case.head)]
    elif case.head == COLIN:
        source = colin(data)
    else:
        dataset, label, _ = case.head.split('_')
        (source,) = native(data, {dataset: (label,)})
    (head,) = load_heads(cached([source], cache))
    return show_head(head, case.coverage, case.seed)


def measure(case: Case, model: TwoStages, data: Path, cache: Path) -> list[dict]:
    """Localise in one image; one row per side."""
    shown = make(case, data, cache)
    volume = conform_isotropic(shown.image, model.crop.voxel_mm)
    intensities = np.asarray(volume.dataobj, dtype=np.float32)
    found = locate_stages(model, intensities, volume.affine)
    middle = apply_affine(shown.image.affine, (np.array(shown.image.shape) - 1) / 2)
    rows = rows_of(shown, found.points, middle)
    truth = np.asarray(shown.masks.dataobj)
    there = np.linalg.inv(volume.affine) @ shown.masks.affine
    back = np.linalg.inv(there)
    labels = resample_labels(found.labels(intensities.shape), there, truth.shape)
    through = resample_labels(truth, back, intensities.shape)
    ceiling = resample_labels(through, there, truth.shape)
    rater, pair = _raters(shown)
    radii = {}
    if model.calibration is not None:
        spread = dict(zip(model.labels, found.dispersion_mm.tolist(), strict=True))
        radii = ErrorRadius.from_dict(model.calibration).finite_radii(spread)
    for side, row in enumerate(rows):
        mask = truth == side + 1
        first = found.first.mean(axis=0)[model.finder.labels.index(model.labels[side])]
        row |= {
            **asdict(case),
            'image': case.name,
            'slice_mm': slice_mm(shown.image),
            'first_mm': float(np.linalg.norm(first - shown.expected[side])),
            'radius_mm': radii.get(model.labels[side], np.nan),
            'visibility': float(found.visibility[side]),
            'spread_mm': float(found.spread_mm[side]),
            'dispersion_mm': float(found.dispersion_mm[side]),
            'shift_mm': float(found.shift_mm[side]),
            'finder_mm': found.finder_mm,
            'misfit_mm': found.misfit_mm,
            'dice': dice(labels == side + 1, mask) if mask.any() else np.nan,
            'ceiling': dice(ceiling == side + 1, mask) if mask.any() else np.nan,
            'raters_mm': pair[side],
            'rater_mm': rater[side],
            'raters_dice': _rater_dice(shown.raters, side),
        }
    return rows


def _raters(shown: Shown) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the first rater from the truth, and of two raters from each other, mm."""
    if len(shown.rater_points) < 2:
        return np.full(2, np.nan), np.full(2, np.nan)
    first, second = shown.rater_points[:2]
    return (
        np.linalg.norm(first - shown.points, axis=1),
        np.linalg.norm(first - second, axis=1),
    )


def _rater_dice(raters: Sequence[nib.Nifti1Image], side: int) -> float:
    if len(raters) < 2:
        return float('nan')
    first, second = (np.asarray(mask.dataobj) == side + 1 for mask in raters[:2])
    return dice(first, second)


def measure_all(
    cases: Sequence[Case], model: TwoStages, data: Path, cache: Path, path: Path
) -> pd.DataFrame:
    """Localise in all images; those in the table at `path` are not measured again.

    The rows are those of the table, which has few digits, so that a run that was resumed finds the
    same.
    """
    known = _read(path) if path.exists() else pd.DataFrame()
    for case in cases:
        if len(known) and case.name in set(known['image']):
            continue
        rows = pd.DataFrame(measure(case, model, data, cache))
        known = pd.concat([known, rows], ignore_index=True)
        write_text(path, known.to_csv(sep='\t', index=False, float_format='%.4f'))
    wanted = {case.name for case in cases}
    known = _read(path)
    rows = known[known['image'].isin(wanted)].reset_index(drop=True)
    return rows.assign(status=doubts_of(rows, model.limits))


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep='\t', dtype={'head': str})
