"""Small images of two bright rods with masks, for tests of the locus coeruleus."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.bids import ImageRef

SHAPE, VOXEL_MM = (32, 32, 24), 0.75
STEM = 'acq-neuromelanin'


def centres_mm(seed: int) -> np.ndarray:
    """Known centres of the left and the right rod, mm, RAS+, shape (2, 3)."""
    shift = np.random.default_rng(seed).integers(-2, 3, 3) * VOXEL_MM
    return np.array([[-3.0, 0, 0], [3.0, 0, 0]]) + shift


def image_affine(voxel_mm: float = VOXEL_MM) -> np.ndarray:
    """Affine of the image, with the origin in the middle of its field of view."""
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = -np.array(SHAPE) * VOXEL_MM / 2 + voxel_mm / 2
    return affine


def rods(seed: int, voxel_mm: float = 0.375) -> np.ndarray:
    """Mask of a box of 1.5 x 1.5 x 6 mm around each centre."""
    shape = tuple(round(n * VOXEL_MM / voxel_mm) for n in SHAPE)
    affine = image_affine(voxel_mm)
    places = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    labels = np.zeros(shape, np.uint8)
    for label, centre in enumerate(centres_mm(seed), start=1):
        inside = (np.abs(places - centre) < (0.75, 0.75, 3.0)).all(axis=-1)
        labels[inside] = label
    return labels


def intensities(seed: int) -> np.ndarray:
    """Noise of mean 100 and standard deviation 5 with rods of 140."""
    noise = 100 + 5 * np.random.default_rng(seed).standard_normal(SHAPE)
    return np.where(rods(seed, VOXEL_MM) > 0, 140, noise).astype(np.float32)


def write_bids(bids: Path) -> Path:
    """Write a data set without participants."""
    bids.mkdir(parents=True, exist_ok=True)
    description = {'Name': 'rods (simulated)', 'BIDSVersion': '1.9.0'}
    (bids / 'dataset_description.json').write_text(json.dumps(description))
    return bids


def write_image(bids: Path, label: str, seed: int) -> ImageRef:
    """Write the image of one participant.

    With a hundredth of noise in the rods as well: a brightest value that many voxels share exactly
    is padding, and no measured image has one.
    """
    path = bids / f'sub-{label}' / 'anat' / f'sub-{label}_{STEM}_T1w.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.01 * np.random.default_rng(1000 + seed).standard_normal(SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(intensities(seed) + noise, image_affine()), path)
    return ImageRef.from_path(bids, path)


def write_mask(
    folder: Path,
    label: str,
    labels: np.ndarray,
    affine: np.ndarray | None = None,
    name: str = 'desc-manual_dseg',
) -> Path:
    """Write a mask at 0.375 mm."""
    path = folder / f'sub-{label}' / 'anat' / f'sub-{label}_{STEM}_{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = image_affine(0.375) if affine is None else affine
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path
